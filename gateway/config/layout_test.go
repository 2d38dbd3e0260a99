package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"belfry/decoders"
	"belfry/gateway/event"
)

// layoutModels returns the models of testdata/layouts and their frames, by name.
func layoutModels(t testing.TB) (map[string]*event.Model, map[string]*txtar.Archive) {
	t.Helper()
	files, err := filepath.Glob("testdata/layouts/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no layouts", err)
	}
	folder, archives := fstest.MapFS{}, map[string]*txtar.Archive{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		must(t, err)
		archives[strings.TrimSuffix(filepath.Base(file), ".txtar")] = archive
		folder[archive.Files[0].Name] = &fstest.MapFile{Data: archive.Files[0].Data}
	}
	models, problems := TestedModels("", Env{Models: folder})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return models, archives
}

// layoutFrame reads a line "port hex".
func layoutFrame(line string) (decoders.Uplink, bool) {
	port, digits, _ := strings.Cut(line, " ")
	number, err := strconv.ParseUint(port, 10, 8)
	payload, errHex := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	uplink := decoders.Uplink{Port: uint8(number), Payload: payload, Received: time.Date(2026, 1, 14, 17, 0, 0, 0, time.UTC)}
	return uplink, err == nil && errHex == nil
}

// show prints what a decoder returned, a sample a line.
func show(output decoders.Output, err error) string {
	if err != nil {
		return "  error: " + err.Error() + "\n"
	}
	var b strings.Builder
	for _, sample := range output.Samples {
		b.WriteString("  " + output.Kind)
		if !sample.Time.IsZero() {
			b.WriteString(" " + sample.Time.Format(time.RFC3339))
		}
		b.WriteString(":")
		for _, field := range sample.Fields {
			fmt.Fprintf(&b, " %s", field.Name)
			if field.Channel > 1 {
				fmt.Fprintf(&b, "#%d", field.Channel)
			}
			fmt.Fprintf(&b, "=%s", field.Value.AppendJSON(nil))
			if field.Unit != "1" {
				b.WriteString(field.Unit)
			}
		}
		b.WriteString("\n")
	}
	for _, warning := range output.Warnings {
		b.WriteString("  warning: " + warning + "\n")
	}
	return b.String()
}

func TestLayoutsOfProductsReadTheirFrames(t *testing.T) {
	models, archives := layoutModels(t)
	for name, archive := range archives {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			for line := range strings.Lines(string(archive.Files[1].Data)) {
				if strings.HasPrefix(line, "  ") {
					continue
				}
				got.WriteString(line)
				if uplink, ok := layoutFrame(strings.TrimSpace(line)); ok {
					got.WriteString(show(decoders.Run(models[name].Decode, uplink)))
				} else if !strings.Contains(line, ": ") {
					t.Errorf("neither a frame nor where it is from: %s", line)
				}
			}
			if *update {
				archive.Files[1].Data = []byte(got.String())
				write(t, "testdata/layouts/"+name+".txtar", string(txtar.Format(archive)))
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTheLayoutInTheReadmeIsTheOneTested(t *testing.T) {
	_, archives := layoutModels(t)
	_, tested, _ := strings.Cut(string(archives["worked-example"].Files[0].Data), "service: waste\n")
	if readme := readText(t, "../../configs/models/README.md"); !strings.Contains(readme, "```yaml\n"+tested+"```\n") {
		t.Errorf("not in the README:\n%s", tested)
	}
}

// checkLayoutOutput holds what every layout promises.
func checkLayoutOutput(t *testing.T, output decoders.Output, err error) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, decoders.ErrMalformed) && !errors.Is(err, decoders.ErrUnknownKind) {
			t.Errorf("got %v, want ErrMalformed or ErrUnknownKind", err)
		}
		return
	}
	if !slices.IsSortedFunc(output.Samples, func(a, b decoders.Sample) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("samples are not in the order of their time: %v", output.Samples)
	}
	for _, sample := range output.Samples {
		for _, field := range sample.Fields {
			number := field.Value.Number()
			if field.Value.Kind() == decoders.KindNone || math.IsNaN(number) || math.IsInf(number, 0) || field.Channel < 0 ||
				(field.Value.Kind() == decoders.KindNumber) != (field.Unit != "") {
				t.Errorf("field %+v", field)
			}
		}
	}
}

func FuzzLayoutFrames(f *testing.F) {
	models, archives := layoutModels(f)
	var names []string
	for name := range archives {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		for line := range strings.Lines(string(archives[name].Files[1].Data)) {
			if uplink, ok := layoutFrame(strings.TrimSpace(line)); ok {
				f.Add(uint8(i), uplink.Port, uplink.Payload)
			}
		}
	}
	f.Fuzz(func(t *testing.T, model, port uint8, payload []byte) {
		decode := models[names[int(model)%len(names)]].Decode
		output, err := decoders.Run(decode, decoders.Uplink{Port: port, Payload: payload})
		checkLayoutOutput(t, output, err)
	})
}

// FuzzLayouts damages layouts and frames both: a layout is refused with the key of a mistake, or it reads what it may.
func FuzzLayouts(f *testing.F) {
	_, archives := layoutModels(f)
	for _, archive := range archives {
		for line := range strings.Lines(string(archive.Files[1].Data)) {
			if uplink, ok := layoutFrame(strings.TrimSpace(line)); ok {
				f.Add(string(archive.Files[0].Data), uplink.Port, uplink.Payload)
				break
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string, port uint8, payload []byte) {
		d := parseDocument("fuzz.yaml", []byte(text), newReport())
		if d == nil {
			return
		}
		var written modelForm
		d.fill("", d.root, &written)
		decode, err := decoders.NewLayout(written.Layout)
		if err != nil {
			return
		}
		output, err := decoders.Run(decode, decoders.Uplink{Port: port, Payload: payload})
		checkLayoutOutput(t, output, err)
	})
}

func BenchmarkLayout(b *testing.B) {
	models, archives := layoutModels(b)
	for name, archive := range archives {
		for line := range strings.Lines(string(archive.Files[1].Data)) {
			uplink, ok := layoutFrame(strings.TrimSpace(line))
			if !ok {
				continue
			}
			output, err := decoders.Run(models[name].Decode, uplink)
			if err != nil {
				continue
			}
			b.Run(fmt.Sprintf("%s/%s/%d_bytes_%d_samples", name, output.Kind, len(uplink.Payload), len(output.Samples)), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := decoders.Run(models[name].Decode, uplink); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
