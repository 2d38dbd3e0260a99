package event

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"belfry/decoders"
)

// ErrUnmapped says that a field's value has no meaning in the model.
var ErrUnmapped = errors.New("value without a meaning in the model")

// Apply turns one sample into measurements, in the order of its fields, and alarm levels, sorted by code. Check must have
// been called on the model before.
func (m *Mapping) Apply(sample decoders.Sample) ([]Measurement, []AlarmLevel, error) {
	var measurements []Measurement
	var levels []AlarmLevel
	for i := range sample.Fields {
		field := &sample.Fields[i]
		uses := m.uses[field.Name]
		for _, rule := range uses.measurements {
			measurement, err := rule.apply(field)
			if err != nil {
				return nil, nil, err
			}
			if measurement.Value.Kind() == decoders.KindNone || holds(measurements, measurement) {
				continue
			}
			if measurements == nil {
				measurements = make([]Measurement, 0, len(sample.Fields)-i)
			}
			measurements = append(measurements, measurement)
		}
		for _, rule := range uses.alarms {
			levels = raise(levels, AlarmLevel{rule.Code, rule.active(field.Value)})
		}
	}
	slices.SortFunc(levels, func(a, b AlarmLevel) int { return strings.Compare(a.Code, b.Code) })
	return measurements, levels, nil
}

// holds says whether a measurement of the same name and channel is there; the first field of a frame wins.
func holds(measurements []Measurement, measurement Measurement) bool {
	for i := range measurements {
		if measurements[i].Name == measurement.Name && max(measurements[i].Channel, 1) == max(measurement.Channel, 1) {
			return true
		}
	}
	return false
}

// raise adds a level; an alarm that several channels report is active when one of them is.
func raise(levels []AlarmLevel, level AlarmLevel) []AlarmLevel {
	for i := range levels {
		if levels[i].Code == level.Code {
			levels[i].Active = levels[i].Active || level.Active
			return levels
		}
	}
	return append(levels, level)
}

func (r *MeasurementRule) apply(field *decoders.Field) (Measurement, error) {
	measurement := Measurement{Name: r.Name, Channel: field.Channel, Unit: r.term.Unit}
	value := field.Value
	if mapped, ok := r.Values[value.String()]; ok {
		value = mapped
	} else if len(r.Values) > 0 {
		return Measurement{}, r.unmapped(value, "")
	}
	switch {
	case value.Kind() == decoders.KindNone:
		return measurement, nil
	case r.term.Kind == "state":
		if value.Kind() == decoders.KindText || value.Kind() == decoders.KindNumber && value.Number() != 0 && value.Number() != 1 {
			return Measurement{}, r.unmapped(value, ": a state is true or false")
		}
		measurement.Value = decoders.Bool(value.Bool())
		return measurement, nil
	case value.Kind() != decoders.KindNumber:
		return Measurement{}, r.unmapped(value, ": it must be a number")
	}
	number := value.Number()
	if r.Scale != 0 && r.Scale != 1 {
		number = round(number * r.Scale)
	}
	if r.Offset != 0 {
		number = round(number + r.Offset)
	}
	unit := field.Unit
	if r.Unit != "" {
		unit = r.Unit
	}
	number, ok := convert(number, unit, r.term.Unit)
	if !ok {
		return Measurement{}, fmt.Errorf("%w: field %s is in %q, %s is in %q", ErrUnmapped, r.Field, unit, r.Name, r.term.Unit)
	}
	if r.term.Kind == "counter" {
		number = math.Floor(number)
	}
	measurement.Value = decoders.Number(number)
	measurement.Suspect = r.term.Min != nil && number < *r.term.Min || r.term.Max != nil && number > *r.term.Max
	return measurement, nil
}

func (r *MeasurementRule) unmapped(value decoders.Value, hint string) error {
	return fmt.Errorf("%w: field %s = %s for %s%s", ErrUnmapped, r.Field, value, r.Name, hint)
}

func (r *AlarmRule) active(value decoders.Value) bool {
	switch {
	case r.Equals != nil:
		return value == *r.Equals
	case r.Above != nil && r.Below != nil:
		return value.Number() > *r.Above || value.Number() < *r.Below
	case r.Above != nil:
		return value.Number() > *r.Above
	case r.Below != nil:
		return value.Number() < *r.Below
	default:
		return value.Bool()
	}
}
