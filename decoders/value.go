package decoders

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Kind says what a Value holds.
type Kind uint8

// The kinds of a Value. The zero Value is KindNone.
const (
	KindNone Kind = iota
	KindNumber
	KindBool
	KindText
)

// Value is a number, a boolean or a short text. Numbers are float64: integers are exact up to 2^53.
type Value struct {
	kind   Kind
	number float64
	text   string
}

// Number makes a numeric value. NaN and infinities become the zero Value, which is "not known".
func Number[T ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uint | ~float32 | ~float64](number T) Value {
	f := float64(number)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Value{}
	}
	return Value{kind: KindNumber, number: f}
}

// Bool makes a boolean value.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, number: 1}
	}
	return Value{kind: KindBool}
}

// Text makes a text value.
func Text(text string) Value { return Value{kind: KindText, text: text} }

// Kind says what the value holds.
func (v Value) Kind() Kind { return v.kind }

// Number returns the number; false becomes 0 and true 1; 0 for a text.
func (v Value) Number() float64 { return v.number }

// Bool returns whether the value is true or a number other than 0.
func (v Value) Bool() bool { return v.number != 0 }

// Text returns the text, "" for other kinds.
func (v Value) Text() string { return v.text }

// String prints the value as it stands in JSON, without quotes round a text.
func (v Value) String() string {
	if v.kind == KindText {
		return v.text
	}
	return string(v.AppendJSON(nil))
}

// AppendJSON appends the value as JSON; null for the zero Value.
func (v Value) AppendJSON(b []byte) []byte {
	switch v.kind {
	case KindNumber:
		if v.number == math.Trunc(v.number) && math.Abs(v.number) < 1<<53 {
			return strconv.AppendInt(b, int64(v.number), 10)
		}
		return strconv.AppendFloat(b, v.number, 'g', -1, 64)
	case KindBool:
		return strconv.AppendBool(b, v.number != 0)
	case KindText:
		quoted, err := json.Marshal(v.text)
		if err != nil {
			return append(b, `""`...)
		}
		return append(b, quoted...)
	default:
		return append(b, "null"...)
	}
}

// MarshalJSON implements json.Marshaler.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (v *Value) UnmarshalJSON(b []byte) error {
	var decoded any
	if err := json.Unmarshal(b, &decoded); err != nil {
		return err
	}
	switch d := decoded.(type) {
	case float64:
		*v = Number(d)
	case bool:
		*v = Bool(d)
	case string:
		*v = Text(d)
	case nil:
		*v = Value{}
	default:
		return fmt.Errorf("a value is a number, a boolean or a text, not %T", decoded)
	}
	return nil
}
