package decoders

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected values in testdata (then check them by hand)")

// evidence is one frame of testdata/<decoder>.txt and what it means. A block there is
//
//	== what this frame shows
//	from: where the bytes and values come from
//	frame: port payload-in-hex
//	received: when it was received, where a time is counted from that; left out otherwise
//	key: AES key in hex, where the payload is encrypted; meter: address of the meter in hex, where the frame leaves it out
//	lengths: other lengths at which this frame, cut off or with a zero byte added, is still a message
//	kind, sample, its fields, warnings; or error: as render prints them
type evidence struct {
	name     string
	from     string
	frame    string
	received string
	key      string
	meter    string
	lengths  string
	want     string

	uplink Uplink
}

func readEvidence(t testing.TB, decoder string) (head string, frames []evidence) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", decoder+".txt"))
	if err != nil {
		t.Fatalf("every decoder needs frames with expected values: %v", err)
	}
	blocks := strings.Split("\n"+string(file), "\n== ")
	for _, block := range blocks[1:] {
		lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
		frame := evidence{name: lines[0]}
		for i, line := range lines[1:] {
			key, value, _ := strings.Cut(line, ": ")
			switch key {
			case "from":
				frame.from = value
			case "frame":
				frame.frame = value
			case "received":
				frame.received = value
			case "key":
				frame.key = value
			case "meter":
				frame.meter = value
			case "lengths":
				frame.lengths = value
			default:
				frame.want += strings.Join(lines[1+i:], "\n") + "\n"
			}
			if frame.want != "" {
				break
			}
		}
		frame.parse(t)
		frames = append(frames, frame)
	}
	return strings.TrimPrefix(blocks[0], "\n"), frames
}

func (e *evidence) parse(t testing.TB) {
	t.Helper()
	port, payload, _ := strings.Cut(e.frame, " ")
	number, err := strconv.ParseUint(port, 10, 8)
	if err != nil {
		t.Fatalf("%s: port: %v", e.name, err)
	}
	bytes, err := hex.DecodeString(payload)
	if err != nil {
		t.Fatalf("%s: payload: %v", e.name, err)
	}
	if e.from == "" {
		t.Fatalf("%s: does not say where the frame is from", e.name)
	}
	e.uplink = Uplink{Port: uint8(number), Payload: bytes, Key: e.secret(t, e.key), Meter: e.secret(t, e.meter)}
	if e.received != "" {
		if e.uplink.Received, err = time.Parse(time.RFC3339Nano, e.received); err != nil {
			t.Fatalf("%s: received: %v", e.name, err)
		}
	}
}

// secret reads the digits of a key or an address, nil for none.
func (e *evidence) secret(t testing.TB, digits string) []byte {
	t.Helper()
	if digits == "" {
		return nil
	}
	bytes, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatalf("%s: %q: %v", e.name, digits, err)
	}
	return bytes
}

func (e *evidence) mayBeLong(t testing.TB, length int) bool {
	t.Helper()
	for word := range strings.FieldsSeq(e.lengths) {
		first, last, isRange := strings.Cut(word, "-")
		if !isRange {
			last = first
		}
		from, errFrom := strconv.Atoi(first)
		to, errTo := strconv.Atoi(last)
		if errFrom != nil || errTo != nil {
			t.Fatalf("%s: lengths: %q", e.name, word)
		}
		if length >= from && length <= to {
			return true
		}
	}
	return length == len(e.uplink.Payload) && !strings.HasPrefix(e.want, "error: ")
}

// render prints what a decoder returned in the form of testdata.
func render(output Output, err error) string {
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "kind: %s\n", output.Kind)
	for _, sample := range output.Samples {
		b.WriteString("sample:")
		if !sample.Time.IsZero() {
			b.WriteString(" " + sample.Time.Format(time.RFC3339Nano))
		}
		b.WriteString("\n")
		for _, field := range sample.Fields {
			b.WriteString("  " + field.Name)
			if field.Channel > 1 {
				fmt.Fprintf(&b, "#%d", field.Channel)
			}
			fmt.Fprintf(&b, " = %s", field.Value.AppendJSON(nil))
			if field.Unit != "" {
				b.WriteString(" " + field.Unit)
			}
			b.WriteString("\n")
		}
	}
	for _, warning := range output.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	return b.String()
}

func TestEveryDecoderReadsItsEvidence(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			head, frames := readEvidence(t, name)
			if *update {
				writeEvidence(t, name, head, frames)
				return
			}
			if len(frames) == 0 {
				t.Fatal("no frames")
			}
			for _, frame := range frames {
				output, err := Run(Native(name), frame.uplink)
				if diff := cmp.Diff(frame.want, render(output, err)); diff != "" {
					t.Errorf("%s (%s): want -, got +\n%s", frame.name, frame.frame, diff)
				}
			}
		})
	}
}

func writeEvidence(t *testing.T, name, head string, frames []evidence) {
	t.Helper()
	var b strings.Builder
	b.WriteString(strings.TrimRight(head, "\n") + "\n")
	for _, frame := range frames {
		fmt.Fprintf(&b, "\n== %s\nfrom: %s\nframe: %s\n", frame.name, frame.from, frame.frame)
		if frame.received != "" {
			fmt.Fprintf(&b, "received: %s\n", frame.received)
		}
		if frame.key != "" {
			fmt.Fprintf(&b, "key: %s\n", frame.key)
		}
		if frame.meter != "" {
			fmt.Fprintf(&b, "meter: %s\n", frame.meter)
		}
		if frame.lengths != "" {
			fmt.Fprintf(&b, "lengths: %s\n", frame.lengths)
		}
		b.WriteString(render(Run(Native(name), frame.uplink)))
	}
	if err := os.WriteFile(filepath.Join("testdata", name+".txt"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEvidenceBelongsToADecoder(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".txt"); Native(name) == nil {
			t.Errorf("%s: no decoder %q", file, name)
		}
	}
}

func TestCutOffAndPaddedFramesAreErrors(t *testing.T) {
	for _, name := range Names() {
		_, frames := readEvidence(t, name)
		for _, frame := range frames {
			if strings.HasPrefix(frame.want, "error: ") {
				continue
			}
			longer := append(slices.Clone(frame.uplink.Payload), 0)
			for length := range len(longer) + 1 {
				uplink := frame.uplink
				uplink.Payload = longer[:length]
				output, err := Run(Native(name), uplink)
				if want := frame.mayBeLong(t, length); want != (err == nil) {
					t.Errorf("%s: %s, %d of %d bytes: got %v, want a message: %v", name, frame.name, length, len(frame.uplink.Payload), err, want)
				}
				if err != nil && (output.Kind != "" || output.Samples != nil || output.Warnings != nil) {
					t.Errorf("%s: %s, %d bytes: a partial result beside the error %v", name, frame.name, length, err)
				}
			}
		}
	}
}

func TestAFrameIsNeitherKeptNorChanged(t *testing.T) {
	for _, name := range Names() {
		_, frames := readEvidence(t, name)
		for _, frame := range frames {
			payload := slices.Clone(frame.uplink.Payload)
			uplink := frame.uplink
			uplink.Payload, uplink.Key, uplink.Meter = payload, slices.Clone(frame.uplink.Key), slices.Clone(frame.uplink.Meter)
			output, err := Run(Native(name), uplink)
			if !slices.Equal(payload, frame.uplink.Payload) || !slices.Equal(uplink.Key, frame.uplink.Key) || !slices.Equal(uplink.Meter, frame.uplink.Meter) {
				t.Errorf("%s: %s: the payload, the key or the address was changed", name, frame.name)
			}
			clear(payload)
			clear(uplink.Key)
			clear(uplink.Meter)
			if got := render(output, err); got != frame.want {
				t.Errorf("%s: %s: the result depends on the payload after the call", name, frame.name)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range Names() {
		_, frames := readEvidence(b, name)
		for _, frame := range frames {
			if strings.HasPrefix(frame.want, "error: ") {
				continue
			}
			b.Run(name+"/"+strings.ReplaceAll(frame.name, " ", "_"), func(b *testing.B) {
				decoder := Native(name)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Run(decoder, frame.uplink); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
