package event

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"belfry/decoders"
)

// ModelError is a mistake in a model.
type ModelError struct {
	Key string // "measurements.fill_levle", "alarms.fire", "examples[2]"
	Err error  // what is wrong and what would be right
}

func (e *ModelError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *ModelError) Unwrap() error { return e.Err }

const defaultMaxAge = 36 * time.Hour

// Check prepares the model for use and runs its examples. It returns all mistakes, each a *ModelError, joined.
func (m *Model) Check() error {
	if err := m.Prepare(); err != nil {
		return err
	}
	var mistakes []error
	for i := range m.Examples {
		if err := m.RunExample(i); err != nil {
			mistakes = append(mistakes, &ModelError{fmt.Sprintf("examples[%d]", i), err})
		}
	}
	return errors.Join(mistakes...)
}

// Prepare makes the model ready for use and holds its names and units against the vocabulary. It returns all mistakes, each a
// *ModelError, joined.
func (m *Model) Prepare() error {
	if m.MaxAge == 0 {
		m.MaxAge = defaultMaxAge
	}
	var mistakes []error
	if !slices.Contains(services, m.Service) {
		mistakes = append(mistakes, &ModelError{"service", fmt.Errorf("no service %q (there are %s)", m.Service, strings.Join(services, ", "))})
	}
	mistakes = append(mistakes, m.Mapping.check()...)
	if m.Decode == nil {
		mistakes = append(mistakes, &ModelError{"decoder", errors.New("no decoder")})
	}
	return errors.Join(mistakes...)
}

type uses struct {
	measurements []*MeasurementRule
	alarms       []*AlarmRule
}

func (m *Mapping) check() []error {
	var mistakes []error
	vocabulary := Terms()
	m.uses = map[string]uses{}
	for i := range m.Measurements {
		rule := &m.Measurements[i]
		rule.term = vocabulary.Term(rule.Name)
		if err := rule.check(vocabulary); err != nil {
			mistakes = append(mistakes, &ModelError{"measurements." + rule.Name, err})
		}
		use := m.uses[rule.Field]
		use.measurements = append(use.measurements, rule)
		m.uses[rule.Field] = use
	}
	for i := range m.Alarms {
		rule := &m.Alarms[i]
		if !vocabulary.HasAlarm(rule.Code) {
			mistakes = append(mistakes, &ModelError{"alarms." + rule.Code, unknown("alarm code", rule.Code, vocabulary.AlarmCodes())})
		} else if rule.Field == "" {
			mistakes = append(mistakes, &ModelError{"alarms." + rule.Code, errors.New("names no field of the decoder")})
		}
		use := m.uses[rule.Field]
		use.alarms = append(use.alarms, rule)
		m.uses[rule.Field] = use
	}
	return mistakes
}

func (r *MeasurementRule) check(vocabulary *Vocabulary) error {
	if r.term == nil {
		return unknown("measurement", r.Name, vocabulary.Names())
	}
	if r.Field == "" {
		return errors.New("names no field of the decoder")
	}
	if _, ok := convert(1, r.Unit, r.term.Unit); !ok {
		return fmt.Errorf("unit %q cannot become %q, which %s is in", r.Unit, r.term.Unit, r.Name)
	}
	return nil
}

func unknown(what, written string, choices []string) error {
	if near := Nearest(written, choices); near != "" {
		return fmt.Errorf("no %s %q in the vocabulary (did you mean %q?)", what, written, near)
	}
	return fmt.Errorf("no %s %q in the vocabulary (see schema/vocabulary.json)", what, written)
}

// RunExample returns every difference between what the i-th example becomes and what it must become. Prepare must have
// been called before.
func (m *Model) RunExample(i int) error {
	example := &m.Examples[i]
	received := example.Received
	if received.IsZero() {
		received = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	output, err := decoders.Run(m.Decode, decoders.Uplink{
		Port: example.Port, Payload: example.Payload, Received: received, Key: example.Key, Meter: example.Meter,
	})
	if example.Error != "" {
		if err == nil || !strings.Contains(err.Error(), example.Error) {
			return fmt.Errorf("want an error with %q, got %v", example.Error, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if want := max(example.Samples, 1); len(output.Samples) != want {
		return fmt.Errorf("got %d samples, want %d", len(output.Samples), want)
	}
	measurements, levels, err := m.Mapping.Apply(output.Samples[len(output.Samples)-1])
	if err != nil {
		return err
	}
	return errors.Join(compareMeasurements(measurements, example.Measurements), compareAlarms(levels, example.Alarms))
}

func compareMeasurements(got []Measurement, want map[string]decoders.Value) error {
	var differences []error
	seen := map[string]bool{}
	for i := range got {
		key := got[i].Key()
		seen[key] = true
		if value, ok := want[key]; !ok {
			differences = append(differences, fmt.Errorf("got %s = %s, which is not expected", key, got[i].Value))
		} else if value != got[i].Value {
			differences = append(differences, fmt.Errorf("got %s = %s, want %s", key, got[i].Value, value))
		}
	}
	for key, value := range want {
		if !seen[key] {
			differences = append(differences, fmt.Errorf("got no %s, want %s", key, value))
		}
	}
	return errors.Join(differences...)
}

func compareAlarms(levels []AlarmLevel, want []string) error {
	got := []string{}
	for _, level := range levels {
		if level.Active {
			got = append(got, level.Code)
		}
	}
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		return fmt.Errorf("got alarms %v, want %v", got, want)
	}
	return nil
}
