package decoders

import (
	"bytes"
	"fmt"
)

// w1Records are the M-Bus value descriptions a W1 may name, longer ones before those they begin with.
var w1Records = []struct {
	code    []byte
	content string
	unit    string
}{
	{[]byte{0xff, 0x89, 0x13}, "time", ""},
	{[]byte{0xfd, 0x17}, "status", ""},
	{[]byte{0x93, 0xbd, 0x1e}, "volume_history", "[foz_us]"},
	{[]byte{0x93, 0x1e}, "volume_history", "L"},
	{[]byte{0x93, 0x3d}, "volume", "[foz_us]"},
	{[]byte{0x93, 0xbd}, "volume", "[foz_us]"},
	{[]byte{0x93}, "volume", "L"},
	{[]byte{0x13}, "volume", "L"},
}

const (
	w1VariableLength     = 0x0d
	w1PositiveDifference = 0x01
	w1SpacingLength      = 3
)

// w1Configuration reads the list of M-Bus data headers (DIF, VIF) a log consists of. Its last one is the history, followed by
// its length, the spacing control byte (EN 13757-3: way of counting, unit, size) and the spacing.
//
//	record, record_unit, record_size (By), record_stored   channel n: the n-th part of a log; stored: as of the log's time
//	log_length (By), log_value_size (By), log_spacing (s, min, h or d)
func w1Configuration(payload []byte) (Output, error) {
	if err := checkRadioLength(payload); err != nil {
		return Output{}, err
	}
	fields := make([]Field, 0, len(payload)+len(payload)/2)
	rest := payload
	for channel := 1; ; channel++ {
		if len(rest) == 0 {
			return Output{}, fmt.Errorf("%w: %d bytes, a configuration ends with a history and its spacing", ErrMalformed, len(payload))
		}
		header := rest[0]
		record := w1Record(rest[1:])
		if record < 0 {
			return Output{}, fmt.Errorf("%w: no known value at byte %d of the configuration", ErrMalformed, len(payload)-len(rest)+1)
		}
		description := w1Records[record]
		fields = append(fields,
			Field{Name: "record", Channel: channel, Value: Text(description.content)},
			Field{Name: "record_stored", Channel: channel, Value: Bool(header&0x40 != 0)})
		if description.unit != "" {
			fields = append(fields, Field{Name: "record_unit", Channel: channel, Value: Text(description.unit)})
		}
		rest = rest[1+len(description.code):]
		if header&0x0f == w1VariableLength {
			break
		}
		fields = append(fields, Field{Name: "record_size", Channel: channel, Unit: "By", Value: Number(header & 0x0f)})
	}
	if len(rest) != w1SpacingLength {
		return Output{}, fmt.Errorf("%w: %d bytes after the history of a configuration, its spacing has %d", ErrMalformed, len(rest), w1SpacingLength)
	}
	control := rest[1]
	if control>>6 != w1PositiveDifference {
		return Output{}, fmt.Errorf("%w: way of counting %d in spacing control 0x%02x, a W1 uses %d", ErrMalformed, control>>6, control, w1PositiveDifference)
	}
	fields = append(fields,
		Field{Name: "log_length", Unit: "By", Value: Number(rest[0])},
		Field{Name: "log_value_size", Unit: "By", Value: Number(control & 0x0f)},
		Field{Name: "log_spacing", Unit: [...]string{"s", "min", "h", "d"}[control>>4&3], Value: Number(rest[2])})
	return Output{Kind: "configuration", Samples: []Sample{{Fields: fields}}}, nil
}

// w1Record returns the index of the value description that b begins with, -1 if there is none.
func w1Record(b []byte) int {
	for i := range w1Records {
		if bytes.HasPrefix(b, w1Records[i].code) {
			return i
		}
	}
	return -1
}
