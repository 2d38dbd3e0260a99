package decoders

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var binOptions = JSONOptions{
	Time: &JSONTime{Path: "ts"},
	ID:   "id",
	Kind: "type",
	Fields: []JSONField{
		{Name: "level", Path: "level_pct", Unit: "%", Required: true},
		{Name: "voltage", Path: "battery.0.volt", Unit: "V"},
		{Name: "voltage", Path: "battery.1.volt", Unit: "V", Channel: 2},
		{Name: "tilt", Path: "tilt"},
		{Name: "mode", Path: `the\.mode`},
	},
}

func mustJSON(t testing.TB, options JSONOptions) Decoder {
	t.Helper()
	decoder, err := NewJSON(options)
	if err != nil {
		t.Fatal(err)
	}
	return decoder
}

func TestJSONFieldsAreReadInTheOrderOfTheOptions(t *testing.T) {
	message := `{"id": "a-17", "type": "heartbeat", "ts": "2026-01-14T18:02:10+01:00", "tilt": false, "the.mode": "eco",
		"battery": [{"volt": 3.55}, {"volt": 12}], "level_pct": 61}`
	output, err := Run(mustJSON(t, binOptions), Uplink{Payload: []byte(message)})
	want := `kind: heartbeat
sample: 2026-01-14T17:02:10Z
  level = 61 %
  voltage = 3.55 V
  voltage#2 = 12 V
  tilt = false
  mode = "eco"
`
	if diff := cmp.Diff(want, render(output, err)); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	if output.MessageID != "a-17" {
		t.Errorf("got id %q, want a-17", output.MessageID)
	}
}

func TestJSONValues(t *testing.T) {
	const short = "kind: json\nsample:\n  level = 61 %\n"
	deep := func(levels int) string {
		return `{"level_pct": 61, "x": ` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
	}
	tests := []struct{ name, message, want string }{
		{"optional fields may be missing", `{"level_pct": 61}`, short},
		{"null is left out", `{"level_pct": 61, "tilt": null, "ts": null, "id": null, "type": null}`, short},
		{"an empty text is left out", `{"level_pct": 61, "the.mode": ""}`, short},
		{"a number in quotes stays a text", `{"level_pct": "12.5"}`, "kind: json\nsample:\n  level = \"12.5\" %\n"},
		{"an id may be a number", `{"level_pct": 61, "id": 17}`, short},
		{"as deep as may be", deep(maxJSONDepth), short},
		{"brackets in a text are no depth", `{"level_pct": 61, "x": "` + strings.Repeat(`[\"{`, 20) + `"}`, short},
		{"a great integer", `{"level_pct": 9007199254740991}`, "kind: json\nsample:\n  level = 9007199254740991 %\n"},

		{"nothing", ``, "error: malformed payload: not JSON\n"},
		{"cut off", `{"level_pct": 61`, "error: malformed payload: not JSON\n"},
		{"something behind it", `{"level_pct": 61} x`, "error: malformed payload: not JSON\n"},
		{"NaN", `{"level_pct": NaN}`, "error: malformed payload: not JSON\n"},
		{"not UTF-8", "{\"level_pct\": 61, \"the.mode\": \"\xff\"}", "error: malformed payload: not JSON\n"},
		{"a bare value", `61`, "error: malformed payload: not a JSON object or list\n"},
		{"NaN as a text", `{"level_pct": "NaN"}`, "error: malformed payload: level_pct is \"NaN\" instead of a number\n"},
		{"infinity as a text", `{"level_pct": "-Infinity"}`, "error: malformed payload: level_pct is \"-Infinity\" instead of a number\n"},
		{"too great", `{"level_pct": 1e999}`, "error: malformed payload: level_pct is not a number that can be held: 1e999\n"},
		{"an object", `{"level_pct": {"value": 61}}`, "error: malformed payload: level_pct is an object or a list, not a value\n"},
		{"a list", `{"level_pct": 61, "tilt": [true]}`, "error: malformed payload: tilt is an object or a list, not a value\n"},
		{"required and missing", `{"tilt": true}`, "error: malformed payload: level_pct is missing\n"},
		{"required and null", `{"tilt": true, "level_pct": null}`, "error: malformed payload: level_pct is missing\n"},
		{"none of the fields", `{"hello": 1}`, "error: unknown kind of message: none of the fields is in it\n"},
		{"too deep", deep(maxJSONDepth + 1), "error: malformed payload: deeper than 16 levels\n"},
		{"much too deep", strings.Repeat("[", 200_000), "error: malformed payload: deeper than 16 levels\n"},
		{"too long", `{"level_pct": 61, "x": "` + strings.Repeat("x", maxJSONBytes) + `"}`, "error: malformed payload: 262170 bytes, a message has at most 262144\n"},
		{"too long a text", `{"level_pct": 61, "the.mode": "` + strings.Repeat("x", maxTextBytes+1) + `"}`, "error: malformed payload: the\\.mode has 257 bytes, a text has at most 256\n"},
		{"too long an id", `{"level_pct": 61, "id": "` + strings.Repeat("x", maxTextBytes+1) + `"}`, "error: malformed payload: id has 257 bytes, a text has at most 256\n"},
		{"an id that is none", `{"level_pct": 61, "id": true}`, "error: malformed payload: id is neither a text nor a number\n"},
		{"a kind that is none", `{"level_pct": 61, "type": []}`, "error: malformed payload: type is neither a text nor a number\n"},
		{"a bad time", `{"level_pct": 61, "ts": "yesterday"}`, "error: malformed payload: ts: \"yesterday\" is not a time in the form rfc3339\n"},
		{"a time that is a number", `{"level_pct": 61, "ts": 1768410130}`, "error: malformed payload: ts: 1768410130 is not a time in the form rfc3339\n"},
	}
	decoder := mustJSON(t, binOptions)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, render(Run(decoder, Uplink{Payload: []byte(test.message)}))); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		})
	}
}

var listOptions = JSONOptions{
	Samples: "data.rows", Time: &JSONTime{Path: "t", Format: "unix"}, ID: "id",
	Fields: []JSONField{{Name: "level", Path: "v.0", Unit: "%"}, {Name: "tilt", Path: "tilt", Required: true}},
	Common: []JSONField{{Name: "voltage", Path: "battery", Unit: "V"}},
}

func TestJSONSamples(t *testing.T) {
	rows := func(count int) string {
		return `{"data": {"rows": [` + strings.TrimSuffix(strings.Repeat(`{},`, count), ",") + `]}}`
	}
	tests := []struct{ name, message, want string }{
		{"in the order of their time", `{"id": "a", "battery": 3.5, "t": 1, "data": {"rows": [
			{"t": 1768413600, "v": [2], "tilt": true}, {"t": 1768410000, "v": [1], "tilt": false}, {"t": 1768417200, "tilt": true}]}}`, `kind: json
sample: 2026-01-14T17:00:00Z
  level = 1 %
  tilt = false
  voltage = 3.5 V
sample: 2026-01-14T18:00:00Z
  level = 2 %
  tilt = true
  voltage = 3.5 V
sample: 2026-01-14T19:00:00Z
  tilt = true
  voltage = 3.5 V
`},
		{"one without a time", `{"data": {"rows": [{"tilt": true}]}}`, "kind: json\nsample:\n  tilt = true\n"},
		{"an element without fields is no sample", `{"data": {"rows": [{"t": 1}, {"tilt": true}, {}]}}`, "kind: json\nsample:\n  tilt = true\n"},
		{"two, one without a time", `{"data": {"rows": [{"tilt": true}, {"t": 1, "tilt": true}]}}`, "error: malformed payload: 1 of 2 samples have no time\n"},
		{"a bad time", `{"data": {"rows": [{"t": "x", "tilt": true}]}}`, "error: malformed payload: t: \"x\" is not a time in the form unix\n"},
		{"required and missing", `{"data": {"rows": [{"t": 1, "tilt": true}, {"t": 2, "v": [1]}]}}`, "error: malformed payload: tilt is missing\n"},
		{"paths start in the element", `{"tilt": true, "data": {"rows": [{"t": 1}]}}`, "error: unknown kind of message: none of the fields is in it\n"},
		{"an empty list", `{"battery": 3.5, "data": {"rows": []}}`, "error: unknown kind of message: none of the fields is in it\n"},
		{"no list", `{"battery": 3.5}`, "error: unknown kind of message: none of the fields is in it\n"},
		{"an object instead", `{"data": {"rows": {"tilt": true}}}`, "error: malformed payload: data.rows is not a list\n"},
		{"a number in the list", `{"data": {"rows": [{"tilt": true}, 5]}}`, "error: malformed payload: element 1 of data.rows is not an object\n"},
		{"as many as may be", rows(1000), "error: unknown kind of message: none of the fields is in it\n"},
		{"too many", rows(1001), "error: malformed payload: more than 1000 samples\n"},
	}
	decoder := mustJSON(t, listOptions)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, render(Run(decoder, Uplink{Payload: []byte(test.message)}))); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		})
	}
	needed := listOptions
	needed.Common = []JSONField{{Name: "voltage", Path: "battery", Required: true}}
	if _, err := Run(mustJSON(t, needed), Uplink{Payload: []byte(`{"data": {"rows": [{"tilt": true}]}}`)}); !errors.Is(err, ErrMalformed) {
		t.Errorf("without a required common field: got %v, want ErrMalformed", err)
	}
	whole := listOptions
	whole.Samples, whole.ID, whole.Common = ".", "", nil
	want := "kind: json\nsample: 1970-01-01T00:00:01Z\n  tilt = true\n"
	if got := render(Run(mustJSON(t, whole), Uplink{Payload: []byte(`[{"t": 1, "tilt": true}]`)})); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzJSONSamples(f *testing.F) {
	f.Add([]byte(`{"battery": 3.5, "data": {"rows": [{"t": 2, "v": [2], "tilt": true}, {"t": 1, "v": [1], "tilt": false}]}}`))
	options := listOptions
	options.ID = ""
	decoder := mustJSON(f, options)
	f.Fuzz(func(t *testing.T, payload []byte) {
		output, err := Run(decoder, Uplink{Payload: payload})
		for _, sample := range output.Samples {
			for i := range sample.Fields {
				if field := &sample.Fields[i]; field.Value.Kind() != KindNumber {
					field.Unit = "" // the mapping refuses these
				} else if field.Unit == "" {
					field.Unit = "1"
				}
			}
		}
		checkOutput(t, output, err)
	})
}

func TestJSONTime(t *testing.T) {
	const local = "2006-01-02 15:04:05"
	tests := []struct {
		name         string
		format, zone string
		value        string
		received     string
		want         string // "" for an error
	}{
		{"seconds", "unix", "", `1768410130`, "", "2026-01-14T17:02:10Z"},
		{"seconds as a text", "unix", "", `"1768410130"`, "", "2026-01-14T17:02:10Z"},
		{"parts of a second", "unix", "", `1768410130.25`, "", "2026-01-14T17:02:10.25Z"},
		{"milliseconds", "unix_ms", "", `1768410130412`, "", "2026-01-14T17:02:10.412Z"},
		{"before 1970", "unix", "", `-1`, "", ""},
		{"after 9999", "unix", "", `1768410130412`, "", ""},
		{"NaN seconds", "unix", "", `"NaN"`, "", ""},
		{"true", "unix", "", `true`, "", ""},
		{"winter in Paris", local, "Europe/Paris", `"2026-01-14 18:02:10"`, "", "2026-01-14T17:02:10Z"},
		{"summer in Paris", local, "Europe/Paris", `"2026-07-14 18:02:10"`, "", "2026-07-14T16:02:10Z"},
		{"no zone is UTC", local, "", `"2026-07-14 18:02:10"`, "", "2026-07-14T18:02:10Z"},
		{"a layout with a zone", local + "Z07:00", "", `"2026-07-14 18:02:10+02:00"`, "", "2026-07-14T16:02:10Z"},
		{"the hour that comes twice, first", local, "Europe/Paris", `"2026-10-25 02:30:00"`, "2026-10-25T00:30:05Z", "2026-10-25T00:30:00Z"},
		{"the hour that comes twice, second", local, "Europe/Paris", `"2026-10-25 02:30:00"`, "2026-10-25T01:30:05Z", "2026-10-25T01:30:00Z"},
		{"a digit layout", "20060102150405", "", `20260114170210`, "", "2026-01-14T17:02:10Z"},
		{"another form", local, "", `"14/01/2026"`, "", ""},
		{"an object", local, "", `{}`, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			decoder := mustJSON(t, JSONOptions{
				Time:   &JSONTime{Path: "t", Format: test.format, Zone: test.zone},
				Fields: []JSONField{{Name: "level", Path: "v", Unit: "%"}},
			})
			uplink := Uplink{Payload: fmt.Appendf(nil, `{"v": 1, "t": %s}`, test.value)}
			if test.received != "" {
				received, err := time.Parse(time.RFC3339, test.received)
				if err != nil {
					t.Fatal(err)
				}
				uplink.Received = received
			}
			output, err := Run(decoder, uplink)
			if test.want == "" {
				if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "t: ") {
					t.Errorf("got %v, want ErrMalformed with the path", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := output.Samples[0].Time.Format(time.RFC3339Nano); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestJSONOptionsSayWhichKeyIsWrong(t *testing.T) {
	good := JSONField{Name: "level", Path: "level"}
	with := func(field JSONField) JSONOptions { return JSONOptions{Fields: []JSONField{good, field}} }
	clock := func(clock JSONTime) JSONOptions { return JSONOptions{Time: &clock, Fields: []JSONField{good}} }
	tests := []struct {
		want    string
		options JSONOptions
	}{
		{"fields: there must be at least one", JSONOptions{}},
		{"fields[1].name: ", with(JSONField{Name: "Level", Path: "l"})},
		{"fields[1].name: ", with(JSONField{Path: "l"})},
		{`fields[1].name: "level" of this channel is already fields[0]`, with(JSONField{Name: "level", Path: "l", Channel: 1})},
		{"fields[1].channel: -1 is negative", with(JSONField{Name: "tilt", Path: "l", Channel: -1})},
		{"fields[1].path: ", with(JSONField{Name: "tilt"})},
		{"fields[1].path: ", with(JSONField{Name: "tilt", Path: "a..b"})},
		{"fields[1].path: ", with(JSONField{Name: "tilt", Path: "a."})},
		{"fields[1].path: ", with(JSONField{Name: "tilt", Path: `a\`})},
		{"fields[1].path: ", with(JSONField{Name: "tilt", Path: "a.#"})},
		{"fields[1].path: ", with(JSONField{Name: "tilt", Path: "a*"})},
		{"fields[1].path: ", with(JSONField{Name: "tilt", Path: "a|b"})},
		{"fields[1].path: ", with(JSONField{Name: "tilt", Path: "a.@pretty"})},
		{"fields[1].path: ", with(JSONField{Name: "tilt", Path: "{a,b}"})},
		{"id: ", JSONOptions{ID: "@this", Fields: []JSONField{good}}},
		{"kind: ", JSONOptions{Kind: "a?", Fields: []JSONField{good}}},
		{"samples: ", JSONOptions{Samples: "a.#", Time: &JSONTime{Path: "t"}, Fields: []JSONField{good}}},
		{"samples: each needs its time", JSONOptions{Samples: "a", Fields: []JSONField{good}}},
		{"common: only with samples", JSONOptions{Common: []JSONField{good}, Fields: []JSONField{good}}},
		{`common[0].name: "level" of this channel is already fields[0]`,
			JSONOptions{Samples: "a", Time: &JSONTime{Path: "t"}, Common: []JSONField{good}, Fields: []JSONField{good}}},
		{"time.path: ", clock(JSONTime{})},
		{"time.format: ", clock(JSONTime{Path: "t", Format: "yyyy-mm-dd"})},
		{"time.format: ", clock(JSONTime{Path: "t", Format: "15:04:05"})},
		{"time.format: ", clock(JSONTime{Path: "t", Format: time.RFC1123})},
		{"time.zone: ", clock(JSONTime{Path: "t", Zone: "Europe/Paris"})},
		{"time.zone: ", clock(JSONTime{Path: "t", Format: time.DateTime, Zone: "Europe/Pari"})},
		{"time.zone: ", clock(JSONTime{Path: "t", Format: time.DateTime, Zone: "Local"})},
	}
	for _, test := range tests {
		if _, err := NewJSON(test.options); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("got %v, want %s...", err, test.want)
		}
	}
}

func TestJSONKeepsNothingOfTheMessage(t *testing.T) {
	message := []byte(`{"level_pct": 61, "the.mode": "eco", "id": "a-17"}`)
	output, err := Run(mustJSON(t, binOptions), Uplink{Payload: message})
	before := render(output, err) + output.MessageID
	clear(message)
	if after := render(output, err) + output.MessageID; after != before {
		t.Errorf("got %s, want %s", after, before)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"id": "a-17", "type": "x", "ts": "2026-01-14T18:02:10+01:00", "the.mode": "eco", "battery": [{"volt": 3.55}], "level_pct": 61}`))
	f.Add([]byte(`{"level_pct": "NaN", "tilt": [[[]]]}`))
	decoder := mustJSON(f, binOptions)
	f.Fuzz(func(t *testing.T, payload []byte) {
		output, err := Run(decoder, Uplink{Payload: payload})
		output.Kind = jsonKind // the message's own words
		if err == nil {
			for i := range output.Samples[0].Fields {
				if field := &output.Samples[0].Fields[i]; field.Value.Kind() != KindNumber {
					field.Unit = "" // the mapping refuses these
				} else if field.Unit == "" {
					field.Unit = "1"
				}
			}
		}
		checkOutput(t, output, err)
	})
}

func BenchmarkJSON(b *testing.B) {
	decoder := mustJSON(b, binOptions)
	uplink := Uplink{Payload: []byte(`{"id": "a-17", "type": "heartbeat", "ts": "2026-01-14T18:02:10+01:00", "tilt": false, "battery": [{"volt": 3.55}], "level_pct": 61}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Run(decoder, uplink); err != nil {
			b.Fatal(err)
		}
	}
}
