package decoders

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"testing"
	"time"
	"unicode/utf8"
)

var (
	fieldName  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	knownUnits = []string{"", "%", "1", "1/h", "A", "By", "Cel", "K", "L", "L/h", "V", "W", "W.h", "[cft_i]", "[cft_i]/h", "[gal_us]", "[gal_us]/h", "[ppm]", "a", "cm", "d", "dB", "dBm", "deg", "h", "hPa", "kW.h", "lx", "m", "m3", "m3/h", "mA", "mV", "min", "mm", "ms", "s", "udeg", "ug/m3",
		"GJ", "GJ/h", "Hz", "J", "J/h", "MW", "MW.h", "[degF]", "bar", "kg", "kg/h", "m3/min", "m3/s", "mo", "t", "[g]", "deg/s"}
)

// checkOutput holds what every decoder promises, whatever it was given.
func checkOutput(t *testing.T, output Output, err error) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownKind) {
			t.Errorf("got %v, want ErrMalformed or ErrUnknownKind", err)
		}
		return
	}
	if !fieldName.MatchString(output.Kind) || len(output.Samples) == 0 {
		t.Errorf("kind %q with %d samples", output.Kind, len(output.Samples))
	}
	if !slices.IsSortedFunc(output.Samples, func(a, b Sample) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("samples are not in the order of their time: %v", output.Samples)
	}
	for _, sample := range output.Samples {
		if sample.Time.Location() != time.UTC {
			t.Errorf("time %v is not in UTC", sample.Time)
		}
		for _, field := range sample.Fields {
			checkField(t, field)
		}
	}
}

func checkField(t *testing.T, field Field) {
	t.Helper()
	if !fieldName.MatchString(field.Name) || field.Channel < 0 || !slices.Contains(knownUnits, field.Unit) {
		t.Errorf("field %+v", field)
	}
	switch field.Value.Kind() {
	case KindNone:
		t.Errorf("%s has no value; what is not known is left out", field.Name)
	case KindNumber:
		if n := field.Value.Number(); math.IsNaN(n) || math.IsInf(n, 0) || field.Unit == "" {
			t.Errorf("%s = %v %q", field.Name, n, field.Unit)
		}
	default:
		if field.Unit != "" {
			t.Errorf("%s has the unit %q and is no number", field.Name, field.Unit)
		}
		if !utf8.ValidString(field.Value.Text()) || field.Value.Kind() == KindText && field.Value.Text() == "" {
			t.Errorf("%s = %q", field.Name, field.Value.Text())
		}
	}
}

func FuzzDecode(f *testing.F) {
	for i, name := range Names() {
		_, frames := readEvidence(f, name)
		for _, frame := range frames {
			f.Add(uint8(i), frame.uplink.Port, frame.uplink.Payload, frame.uplink.Key, frame.uplink.Meter)
		}
	}
	names := Names()
	received := time.Date(2025, 3, 1, 6, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, decoder, port uint8, payload, key, meter []byte) {
		name := names[int(decoder)%len(names)]
		output, err := Run(Native(name), Uplink{Port: port, Payload: payload, Received: received, Key: key, Meter: meter})
		checkOutput(t, output, err)
	})
}
