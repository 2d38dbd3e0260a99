package decoders

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sampleOf is a decoder of one message.
func sampleOf(fields ...Field) Decoder {
	return func(Uplink) (Output, error) {
		return Output{Kind: "reading", Samples: []Sample{{Fields: append([]Field(nil), fields...)}}}, nil
	}
}

var computeFields = []Field{
	{Name: "distance", Unit: "mm", Value: Number(1250)},
	{Name: "voltage", Channel: 1, Unit: "V", Value: Number(0.1)},
	{Name: "voltage", Channel: 2, Unit: "V", Value: Number(0.2)},
	{Name: "flags", Unit: "1", Value: Number(0x1a5)},
	{Name: "zero", Unit: "1", Value: Number(0)},
	{Name: "great", Unit: "1", Value: Number(1e300)},
	{Name: "tilt", Value: Bool(true)},
	{Name: "mode", Value: Text("eco")},
	{Name: "text_number", Value: Text("12.5")},
	{Name: "level.raw", Unit: "1", Value: Number(7)},
	{Name: "min", Unit: "1", Value: Number(3)},
	{Name: "in", Unit: "1", Value: Number(4)},
}

func TestComputedValues(t *testing.T) {
	tests := []struct{ value, want string }{
		{"100 - distance / 20", "37.5 %"},
		{"voltage + voltage_2", "0.3 %"},
		{"level.raw * 2", "14 %"},
		{`$env["level.raw"] + $env["in"]`, "11 %"},
		{"min + min(1, distance)", "4 %"},
		{"distance % 7", "4 %"},
		{"bits(flags, 4, 4)", "10 %"},
		{"bit(flags, 8)", "true"},
		{"bit(flags, 1)", "false"},
		{"round(distance / 100)", "13 %"},
		{"float(text_number) / 5", "2.5 %"},
		{"max(0, min(100, distance))", "100 %"},
		{`mode == "eco" ? 1 : 2`, "1 %"},
		{"tilt and distance > 1000", "true"},
		{"distance in [1249, 1250]", "true"},
		{`upper(mode)`, `"ECO"`},
		{"len(mode)", "3 %"},
		{"9007199254740991 + zero", "9007199254740991 %"},
		{"2 ** 3", "8 %"},

		{"missing + 1", ""},
		{"missing == 1", ""},
		{"voltage_3", ""},
		{"level.other", ""},
		{"level", ""},
		{"missing ?? 5", "5 %"},
		{"(missing ?? distance) + 1", "1251 %"},
		{"missing ?? also_missing", ""},
		{`mode == "eco" ? "" : "x"`, ""},

		{"distance / zero", "warning: level cannot be computed: not a finite number"},
		{"zero / zero", "warning: level cannot be computed: not a finite number"},
		{"distance % zero", "warning: level cannot be computed: not a finite number"},
		{"great * great", "warning: level cannot be computed: not a finite number"},
		{`float("NaN") + zero`, "warning: level cannot be computed: not a finite number"},
		{"bit(great, 1)", "warning: level cannot be computed: bits are those of a whole number from 0 to 2^53"},
		{"bit(flags, -1)", "warning: level cannot be computed: bits are those of a whole number from 0 to 2^53"},
		{"mode * 2", "warning: level cannot be computed: invalid operation: string * float64"},
		{"[distance]", "warning: level cannot be computed: neither a number, a boolean nor a text"},
	}
	for _, test := range tests {
		t.Run(test.value, func(t *testing.T) {
			decoder, err := WithCompute(sampleOf(computeFields...), []Compute{{Name: "level", Unit: "%", Value: test.value}})
			if err != nil {
				t.Fatal(err)
			}
			output, err := Run(decoder, Uplink{})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, field := range output.Samples[0].Fields[len(computeFields):] {
				got += strings.TrimSpace(string(field.Value.AppendJSON(nil)) + " " + field.Unit)
			}
			for _, warning := range output.Warnings {
				got += "warning: " + warning
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestComputedValuesAreForEachSampleAndInOrder(t *testing.T) {
	decoder, err := WithCompute(func(Uplink) (Output, error) {
		return Output{Kind: "reading", Samples: []Sample{
			{Fields: []Field{{Name: "raw", Value: Number(4)}, {Name: "by", Value: Number(0)}}},
			{Fields: []Field{{Name: "raw", Value: Number(6)}, {Name: "by", Value: Number(0)}}},
			{Fields: []Field{{Name: "other", Value: Number(6)}}},
		}}, nil
	}, []Compute{
		{Name: "raw", Value: "raw + 1"}, // in its place
		{Name: "twice", Channel: 2, Unit: "mm", Value: "raw * 2"},
		{Name: "more", Value: "twice_2 + 0.5"},
		{Name: "never", Value: "raw / by"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `kind: reading
sample:
  raw = 5
  by = 0
  twice#2 = 10 mm
  more = 10.5
sample:
  raw = 7
  by = 0
  twice#2 = 14 mm
  more = 14.5
sample:
  other = 6
warning: never cannot be computed: not a finite number
`
	if diff := cmp.Diff(want, render(Run(decoder, Uplink{}))); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

func TestComputeKeepsErrorsOfTheDecoder(t *testing.T) {
	decoder, err := WithCompute(func(Uplink) (Output, error) { return Output{}, ErrMalformed }, []Compute{{Name: "a", Value: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(decoder, Uplink{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

func TestComputeSaysWhichKeyIsWrong(t *testing.T) {
	tests := []struct{ value, want string }{
		{"", "[0].value: missing"},
		{"distance +", "[0].value: unexpected token EOF (character "},
		{"1 + foo(2)", "[0].value: no function foo (character "},
		{"bit(1)", "[0].value: bit has 2 arguments"},
		{"map(1..1000000, #)", "[0].value: "},
		{"sum(1..1000000)", "[0].value: "},
		{"len(1..1000000)", "[0].value: .. is not possible"},
		{`repeat("x", 1000000)`, "[0].value: no function repeat"},
		{"now()", "[0].value: no function now"},
		{`mode matches "(a+)+"`, "[0].value: matches is not possible"},
		{"let a = mode + mode; a + a", "[0].value: this is not possible"},
		{"{a: 1}", "[0].value: "},
		{"a[1]", "[0].value: only names of fields have members"},
		{"a[1:2]", "[0].value: this is not possible"},
		{"a?.b", "[0].value: this is not possible"},
		{`1 + "x"`, "[0].value: invalid operation: + (mismatched types float"},
		{strings.Repeat("1+", 120) + "1", "[0].value: compilation failed: expression exceeds maximum allowed nodes"},
		{strings.Repeat("(", 1001), "[0].value: longer than 1000 bytes"},
		{strings.Repeat("-", 999) + "1", "[0].value: "},
	}
	for _, test := range tests {
		_, err := WithCompute(sampleOf(), []Compute{{Name: "level", Value: test.value}})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40s: got %v, want %s...", test.value, err, test.want)
		}
	}
	_, err := WithCompute(sampleOf(), []Compute{{Name: "Level", Value: "1"}, {Name: "a", Value: "1", Channel: -1}, {Name: "a", Value: "1"}})
	want := `[0].name: "Level" is not a name of a-z, 0-9 and _ that begins with a letter
[1].channel: -1 is negative
[2].name: "a" of this channel is already [1]`
	if fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func FuzzCompute(f *testing.F) {
	for _, seed := range []string{"100 - distance / 20", "missing ?? level.raw", "bits(flags, 4, 4) % 3", `mode + upper(mode) == "x" ? 1 : tilt`, "[1] in [2]", "a.b.c | abs()"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		decoder, err := WithCompute(sampleOf(computeFields...), []Compute{{Name: "level", Unit: "%", Value: value}})
		if err != nil {
			return
		}
		if _, err := Run(decoder, Uplink{}); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkCompute(b *testing.B) {
	decoder, err := WithCompute(sampleOf(computeFields[:2]...), []Compute{{Name: "level", Unit: "%", Value: "100 - distance / 20"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Run(decoder, Uplink{}); err != nil {
			b.Fatal(err)
		}
	}
}
