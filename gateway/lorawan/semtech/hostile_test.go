package semtech

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

const goodFrame = `{"tmst":1000,"freq":868.1,"stat":1,"modu":"LORA","datr":"SF7BW125","codr":"4/5","rssi":-35,"lsnr":5.1,"size":16,"data":"VEVTVF9QQUNLRVRfMTIzNA=="}`

func pushOf(frames ...string) []byte { return []byte(`{"rxpk":[` + strings.Join(frames, ",") + `]}`) }

// change returns the good frame with one part replaced.
func change(old, replacement string) string {
	changed := strings.Replace(goodFrame, old, replacement, 1)
	if changed == goodFrame {
		panic("nothing to change: " + old)
	}
	return changed
}

// hostile are bodies of which nothing at all is taken, with the reason that is given.
var hostile = []struct {
	name, want string
	body       []byte
}{
	{"nothing", "unexpected end", nil},
	{"half", "unexpected end", []byte(`{"rxpk":[{"tmst":`)},
	{"list", "not a JSON object", []byte(`[]`)},
	{"text", "not a JSON object", []byte(`"rxpk"`)},
	{"trailing", "not JSON at offset", []byte(`{"rxpk":[]}x`)},
	{"closing only", "not JSON", []byte(strings.Repeat("]", 1000))},
	{"NaN", "not JSON at offset", pushOf(change("5.1", "NaN"))},
	{"infinity", "not JSON at offset", pushOf(change("5.1", "-Infinity"))},
	{"nested lists", "nested deeper than 8", []byte(`{"rxpk":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`)},
	{"nested objects", "nested deeper than 8", []byte(strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000))},
	{"nested one too deep", "nested deeper than 8", []byte(`{"a":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`)},
	{"10,000 frames", "more than 64 frames", []byte(`{"rxpk":[` + strings.Repeat(`{},`, 10_000) + `{}]}`)},
	{"one frame too many", "more than 64 frames", pushOf(many(MaxFrames + 1)...)},
	{"rxpk is no list", "rxpk: want a list", []byte(`{"rxpk":{}}`)},
	{"rxpk twice", "rxpk: stands twice", []byte(`{"rxpk":[],"rxpk":[]}`)},
	{"stat twice", "stat: stands twice", []byte(`{"stat":{},"stat":{}}`)},
	{"rxpk twice, escaped", "rxpk: stands twice", []byte(`{"rxpk":[],"\u0072xpk":[]}`)},
	{"long text", "text of 1025 bytes", []byte(`{"a":"` + strings.Repeat("a", maxText+1) + `"}`)},
	{"long name", "text of 1025 bytes", []byte(`{"` + strings.Repeat("a", maxText+1) + `":1}`)},
	{"full of escapes", "text of", []byte(`{"a":"` + strings.Repeat(`\u0000`, 10_000) + `"}`)},
}

func many(n int) []string {
	frames := make([]string, n)
	for i := range frames {
		frames[i] = goodFrame
	}
	return frames
}

func TestABodyThatCannotBeReadIsRefusedWithAReason(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			push, err := ParsePush(c.body)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
			if push.Frames != nil || push.Faults != nil {
				t.Errorf("got %+v beside the error", push)
			}
		})
	}
}

func TestWhatIsAtTheLimitsIsTaken(t *testing.T) {
	for name, body := range map[string][]byte{
		"depth":  []byte(`{"a":` + strings.Repeat("[", 7) + strings.Repeat("]", 7) + `}`),
		"text":   []byte(`{"a":"` + strings.Repeat("a", maxText) + `"}`),
		"frames": pushOf(many(MaxFrames)...),
	} {
		if _, err := ParsePush(body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABadFrameCostsNoneBesideIt(t *testing.T) {
	for _, c := range []struct{ name, frame, want string }{
		{"no object", `5`, "want an object"},
		{"null", `null`, "want an object"},
		{"nothing", `{}`, "data: 0 bytes"},
		{"timestamp too large", change("1000", "4294967296"), "tmst: want an integer"},
		{"timestamp negative", change("1000", "-1"), "tmst: want an integer"},
		{"timestamp twice", change(`"tmst":1000`, `"tmst":1000,"tmst":1000`), "tmst: stands twice"},
		{"frequency in Hz", change("868.1", "868100000"), "freq: 8.681e+08 is not a frequency in MHz"},
		{"no frequency", change(`"freq":868.1,`, ""), "freq: 0 is not a frequency"},
		{"frequency beyond numbers", change("868.1", "1e999"), "freq: number is too large"},
		{"frequency as text", change("868.1", `"868.1"`), "freq: want a number"},
		{"status", change(`"stat":1`, `"stat":2`), "stat: 2 is neither"},
		{"modulation", change("LORA", "MORSE"), `modu: "MORSE" is neither`},
		{"data rate", change("SF7BW125", "SF13BW125"), "datr: "},
		{"data rate is a number", change(`"SF7BW125"`, "50000"), "datr: "},
		{"FSK with a text", change(`"LORA"`, `"FSK"`), "datr: want a number"},
		{"LR-FHSS with LoRa's", change(`"LORA"`, `"LR-FHSS"`), "not a data rate such as M0CW137"},
		{"size", change(`"size":16`, `"size":17`), "data: 16 bytes, size says 17"},
		{"base64", change("VEVT", "V*VT"), "data: base64: bad character"},
		{"short", change(`"size":16,"data":"VEVTVF9QQUNLRVRfMTIzNA=="`, `"data":"VEVTVF9QQUNLRVQ="`), "data: 11 bytes"},
		{"long", change(`"size":16,"data":"VEVTVF9QQUNLRVRfMTIzNA=="`, `"data":"`+strings.Repeat("AAAA", 85)+`AA=="`), "data: 256 bytes"},
		{"signal", change("-35", "-3500"), "rssi: want a number between"},
		{"antennas", change(`"rssi":-35`, `"rsig":[{"lsnr":"good"}]`), "rsig: lsnr: want a number"},
		{"channel", change(`"tmst"`, `"chan":-1,"tmst"`), "chan: want the number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			push, err := ParsePush(pushOf(goodFrame, c.frame, goodFrame))
			if err != nil || len(push.Frames) != 2 || len(push.Faults) != 1 {
				t.Fatalf("got %d frames, faults %v, error %v; want 2 and 1", len(push.Frames), push.Faults, err)
			}
			if got := push.Faults[0].Error(); !strings.HasPrefix(got, "rxpk[1]: ") || !strings.Contains(got, c.want) {
				t.Errorf("got fault %q, want one of rxpk[1] with %q", got, c.want)
			}
		})
	}
}

func TestWhatRadioGatewaysWriteDifferentlyIsTaken(t *testing.T) {
	for name, frame := range map[string]string{
		"unpadded":              change("NA==", "NA"),
		"no size":               change(`"size":16,`, ""),
		"no stat":               change(`"stat":1,`, ""),
		"no CRC":                change(`"stat":1`, `"stat":0`),
		"broken time":           change(`"tmst"`, `"time":"yesterday","tmst"`),
		"empty time":            change(`"tmst"`, `"time":"","tmst"`),
		"fractions of a dBm":    change("-35", "-35.4"),
		"number with a point":   change("1000", "1000.0"),
		"unknown members":       change(`"tmst"`, `"mid":8,"foff":-7,"meta":{"network":"a"},"tmst"`),
		"unknown members twice": change(`"tmst"`, `"x":1,"x":2,"tmst"`),
	} {
		push, err := ParsePush(pushOf(frame))
		if err != nil || len(push.Frames) != 1 || push.Faults != nil {
			t.Errorf("%s: got %+v, %v", name, push, err)
			continue
		}
		if got := push.Frames[0]; got.Timestamp != 1000 || got.Frequency != 868_100_000 || got.RSSI != -35 || string(got.PHY) != "TEST_PACKET_1234" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestGarbledFramesAreOnlyCounted(t *testing.T) {
	push, err := ParsePush(pushOf(goodFrame, change(`"stat":1`, `"stat":-1`), `{"stat":-1,"data":"AA"}`))
	if err != nil || len(push.Frames) != 1 || push.BadCRC != 2 || push.Faults != nil {
		t.Errorf("got %+v, %v; want 1 frame and 2 garbled", push, err)
	}
}

// TestADatagramCostsLessThanAMegabyte measures all that is allocated, which is more than what is in use at any time.
func TestADatagramCostsLessThanAMegabyte(t *testing.T) {
	full := func(begin, repeated, end string) []byte {
		n := (MaxDatagram - bodyAt - len(begin) - len(end)) / len(repeated)
		return []byte(begin + strings.Repeat(repeated, n) + end)
	}
	wide := make([]string, MaxFrames)
	for i := range wide {
		wide[i] = change("SF7BW125", strings.Repeat(`\u0041`, 130))
	}
	bodies := map[string][]byte{
		"full of spaces":        full(`{"rxpk":[`, " ", "]}"),
		"full of numbers":       full(`{"rxpk":[`, "1,", "1]}"),
		"full of unknown names": full(`{`, `"\u0061":1,`, `"b":1}`),
		"full of antennas":      full(`{"rxpk":[{"rsig":[`, `{"\u006csnr":1},`, `{}]}]}`),
		"full of states":        full(`{`, `"stat":1,`, `"stat":1}`),
		"bad to the end":        full(`{"a":[`, "1,", "x"),
		"escaped data rates":    pushOf(wide...),
		"as many as there may":  pushOf(many(MaxFrames)...),
	}
	for _, c := range hostile {
		bodies[c.name] = c.body
	}
	for name, body := range bodies {
		if len(body) > MaxDatagram-bodyAt {
			t.Fatalf("%s: %d bytes are no datagram", name, len(body))
		}
		if used := allocated(func() { _, _ = ParsePush(body) }); used >= 1<<20 {
			t.Errorf("%s: %d bytes allocated for a body of %d", name, used, len(body))
		}
		if used := allocated(func() { _, _ = ParseTxAck(body) }); used >= 1<<20 {
			t.Errorf("%s as TX_ACK: %d bytes allocated for a body of %d", name, used, len(body))
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestNothingOfTheDatagramIsKept(t *testing.T) {
	body := pushOf(goodFrame)
	push, err := ParsePush(body)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	if got := push.Frames[0]; !bytes.Equal(got.PHY, []byte("TEST_PACKET_1234")) {
		t.Errorf("the frame changed with the buffer it came in: %x", got.PHY)
	}
}

func BenchmarkPushData(b *testing.B) {
	datagram := append([]byte{2, 0x12, 0x34, 0, 0xb8, 0x27, 0xeb, 0xff, 0xfe, 1, 2, 3}, fmt.Sprintf(
		`{"rxpk":[{"jver":1,"tmst":3512348611,"time":"2026-01-14T17:02:10.412000Z","tmms":1452445348412,"chan":2,"rfch":0,"freq":868.100000,`+
			`"mid":8,"stat":1,"modu":"LORA","datr":"SF7BW125","codr":"4/5","rssis":-98,"lsnr":6.2,"foff":-512,"rssi":-97,"size":16,"data":%q}]}`,
		"VEVTVF9QQUNLRVRfMTIzNA==")...)
	b.SetBytes(int64(len(datagram)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := Parse(datagram)
		if err != nil {
			b.Fatal(err)
		}
		if push, err := ParsePush(d.Body); err != nil || len(push.Frames) != 1 {
			b.Fatal(push, err)
		}
	}
}
