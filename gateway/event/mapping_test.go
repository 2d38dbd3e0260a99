package event

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belfry/decoders"
)

func model(mapping Mapping) *Model {
	return &Model{
		Name: "test", Service: "water", Kind: "water_meter", Mapping: mapping,
		Decode: func(decoders.Uplink) (decoders.Output, error) {
			return decoders.Output{Samples: []decoders.Sample{{}}}, nil
		},
	}
}

func apply(t *testing.T, mapping Mapping, fields ...decoders.Field) ([]Measurement, []AlarmLevel, error) {
	t.Helper()
	m := model(mapping)
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	return m.Mapping.Apply(decoders.Sample{Fields: fields})
}

func TestUnitsAreConvertedExactly(t *testing.T) {
	for _, c := range []struct {
		name   string
		rule   MeasurementRule
		value  float64
		unit   string
		want   float64
		wanted string
	}{
		{"m3 to L", MeasurementRule{Name: "water_volume"}, 1234.567, "m3", 1234567, "L"},
		{"m3 to L, a case that binary arithmetic spoils", MeasurementRule{Name: "water_volume"}, 4.035, "m3", 4035, "L"},
		{"US gallons to L", MeasurementRule{Name: "water_volume"}, 1000, "[gal_us]", 3785, "L"},
		{"cubic feet to L", MeasurementRule{Name: "water_volume"}, 1000, "[cft_i]", 28316, "L"},
		{"kW.h to W.h", MeasurementRule{Name: "active_energy"}, 0.057, "kW.h", 57, "W.h"},
		{"cm to mm", MeasurementRule{Name: "fill_distance"}, 43.5, "cm", 435, "mm"},
		{"as it is", MeasurementRule{Name: "voltage"}, 229.1, "V", 229.1, "V"},
		{"no unit is the right one", MeasurementRule{Name: "voltage"}, 229, "", 229, "V"},
		{"the rule's unit over the field's", MeasurementRule{Name: "voltage", Unit: "mV"}, 3612, "", 3.612, "V"},
		{"scale and offset before the unit", MeasurementRule{Name: "air_temperature", Scale: 0.1, Offset: -40}, 655, "", 25.5, "Cel"},
		{"Fahrenheit", MeasurementRule{Name: "air_temperature"}, 212, "[degF]", 100, "Cel"},
		{"a part of a litre does not count yet", MeasurementRule{Name: "water_volume"}, 1.2349, "m3", 1234, "L"},
	} {
		c.rule.Field = "f"
		got, _, err := apply(t, Mapping{Measurements: []MeasurementRule{c.rule}},
			decoders.Field{Name: "f", Unit: c.unit, Value: decoders.Number(c.value)})
		if err != nil || len(got) != 1 || got[0].Value.Number() != c.want || got[0].Unit != c.wanted || got[0].Suspect {
			t.Errorf("%s: got %+v, %v, want %v %s", c.name, got, err, c.want, c.wanted)
		}
	}
}

func TestValueOutOfRangeStaysAndIsSuspect(t *testing.T) {
	got, _, err := apply(t, Mapping{Measurements: []MeasurementRule{{Name: "dim_level", Field: "f"}}},
		decoders.Field{Name: "f", Value: decoders.Number(101)})
	want := []Measurement{{Name: "dim_level", Value: decoders.Number(101), Unit: "%", Suspect: true}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b decoders.Value) bool { return a == b })); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestStatesAreTrueOrFalseOnly(t *testing.T) {
	words := MeasurementRule{Name: "lid_open", Field: "f", Values: map[string]decoders.Value{
		"open": decoders.Bool(true), "closed": decoders.Bool(false)}}
	plain := MeasurementRule{Name: "lid_open", Field: "f"}
	for _, c := range []struct {
		rule  MeasurementRule
		value decoders.Value
		want  string // "" is an error
	}{
		{words, decoders.Text("open"), "true"}, {words, decoders.Text("closed"), "false"}, {words, decoders.Text("ajar"), ""},
		{plain, decoders.Bool(true), "true"}, {plain, decoders.Number(0), "false"}, {plain, decoders.Number(2), ""},
		{plain, decoders.Text("true"), ""},
	} {
		got, _, err := apply(t, Mapping{Measurements: []MeasurementRule{c.rule}}, decoders.Field{Name: "f", Value: c.value})
		if c.want == "" {
			if !errors.Is(err, ErrUnmapped) {
				t.Errorf("%s: got %v, %v, want ErrUnmapped", c.value, got, err)
			}
		} else if err != nil || len(got) != 1 || got[0].Value.String() != c.want {
			t.Errorf("%s: got %v, %v, want %s", c.value, got, err, c.want)
		}
	}
}

func TestAlarmOfSeveralChannelsIsUpWhenOneIs(t *testing.T) {
	low := 3.2
	mapping := Mapping{Alarms: []AlarmRule{{Code: "lamp_failure", Field: "failure"}, {Code: "battery_low", Field: "battery", Below: &low}}}
	_, got, err := apply(t, mapping,
		decoders.Field{Name: "failure", Channel: 2, Value: decoders.Bool(false)},
		decoders.Field{Name: "failure", Channel: 3, Value: decoders.Bool(true)},
		decoders.Field{Name: "failure", Channel: 4, Value: decoders.Bool(false)},
		decoders.Field{Name: "battery", Value: decoders.Number(3.2)})
	want := []AlarmLevel{{"battery_low", false}, {"lamp_failure", true}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestFirstFieldOfAChannelWins(t *testing.T) {
	got, _, err := apply(t, Mapping{Measurements: []MeasurementRule{{Name: "voltage", Field: "a"}, {Name: "voltage", Field: "b"}}},
		decoders.Field{Name: "a", Value: decoders.Number(1)}, decoders.Field{Name: "b", Channel: 1, Value: decoders.Number(2)},
		decoders.Field{Name: "b", Channel: 2, Value: decoders.Number(3)})
	if err != nil || len(got) != 2 || got[0].Key() != "voltage" || got[1].Key() != "voltage_2" || got[0].Value.Number() != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCheckReportsEveryMistakeOfAModelWithItsKey(t *testing.T) {
	m := model(Mapping{
		Measurements: []MeasurementRule{{Name: "fill_levle", Field: "a"}, {Name: "voltage", Field: "b", Unit: "kg"}, {Name: "co2"}},
		Alarms:       []AlarmRule{{Code: "on_fire", Field: "c"}},
	})
	m.Service = "parks"
	err := m.Check()
	for _, want := range []string{
		`service: no service "parks"`, `measurements.fill_levle: no measurement "fill_levle" in the vocabulary (did you mean "fill_level"?)`,
		`measurements.voltage: unit "kg" cannot become "V"`, `measurements.co2: names no field`, `alarms.on_fire: no alarm code "on_fire"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant in it: %s", err, want)
		}
	}
}

func TestModelWhoseExampleFailsIsRefused(t *testing.T) {
	m := model(Mapping{Measurements: []MeasurementRule{{Name: "water_volume", Field: "v"}}, Alarms: []AlarmRule{{Code: "water_leak", Field: "leak"}}})
	m.Decode = func(u decoders.Uplink) (decoders.Output, error) {
		if len(u.Payload) == 0 {
			return decoders.Output{}, decoders.ErrMalformed
		}
		return decoders.Output{Samples: []decoders.Sample{{Fields: []decoders.Field{
			{Name: "v", Unit: "L", Value: decoders.Number(u.Payload[0])}, {Name: "leak", Value: decoders.Bool(true)}}}}}, nil
	}
	good := Example{Payload: []byte{7}, Measurements: map[string]decoders.Value{"water_volume": decoders.Number(7)}, Alarms: []string{"water_leak"}}
	try := func(name string, want string, change func(e *Example)) {
		t.Helper()
		example := good
		change(&example)
		m.Examples = []Example{good, example}
		err := m.Check()
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), "examples[1]: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	try("good", "", func(*Example) {})
	try("an error that is expected", "", func(e *Example) { e.Payload, e.Error = nil, "malformed" })
	try("another value", "got water_volume = 7, want 8", func(e *Example) {
		e.Measurements = map[string]decoders.Value{"water_volume": decoders.Number(8)}
	})
	try("a value more", "got no voltage", func(e *Example) {
		e.Measurements = map[string]decoders.Value{"water_volume": decoders.Number(7), "voltage": decoders.Number(1)}
	})
	try("a value less", "not expected", func(e *Example) { e.Measurements = nil })
	try("no alarm", "got alarms [water_leak], want []", func(e *Example) { e.Alarms = nil })
	try("no error", `want an error with "malformed"`, func(e *Example) { e.Error = "malformed" })
	try("other samples", "got 1 samples, want 2", func(e *Example) { e.Samples = 2 })
}

func BenchmarkApply(b *testing.B) {
	m := model(Mapping{
		Measurements: []MeasurementRule{{Name: "voltage", Field: "voltage"}, {Name: "active_power", Field: "power"}, {Name: "active_energy", Field: "energy"}},
		Alarms:       []AlarmRule{{Code: "lamp_failure", Field: "failure"}},
	})
	if err := m.Check(); err != nil {
		b.Fatal(err)
	}
	sample := decoders.Sample{Fields: []decoders.Field{
		{Name: "voltage", Unit: "V", Value: decoders.Number(229)}, {Name: "power", Unit: "W", Value: decoders.Number(38.4)},
		{Name: "energy", Unit: "W.h", Value: decoders.Number(41287)}, {Name: "failure", Value: decoders.Bool(false)},
	}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := m.Mapping.Apply(sample); err != nil {
			b.Fatal(err)
		}
	}
}
