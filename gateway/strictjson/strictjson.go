// Package strictjson reads foreign JSON member by member, without guesses: unknown names are left alone, a known one that
// stands twice or has another type is an error.
package strictjson

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// Field is the number of a known name in its object, 0 for the unknown, which may stand as often as they like.
type Field uint

// Each calls set with every member of an object, in order. set returns the number of the name it knew.
func Each(object gjson.Result, set func(name string, value gjson.Result) (Field, error)) error {
	if object.Type == gjson.Null {
		return nil
	}
	if !object.IsObject() {
		return errors.New("want an object, not " + typeName(object))
	}
	var seen uint
	var failed error
	object.ForEach(func(key, value gjson.Result) bool {
		known, err := set(key.Str, value)
		switch {
		case err != nil:
			failed = fmt.Errorf("%s: %w", key.Str, err)
		case known > 0 && seen&(1<<known) != 0:
			failed = fmt.Errorf("%s: stands twice", key.Str)
		}
		seen |= 1 << known
		return failed == nil
	})
	return failed
}

// List calls each with every element of a list, in order.
func List(list gjson.Result, each func(value gjson.Result) error) error {
	if list.Type == gjson.Null {
		return nil
	}
	if !list.IsArray() {
		return errors.New("want a list, not " + typeName(list))
	}
	var failed error
	list.ForEach(func(_, value gjson.Result) bool {
		failed = each(value)
		return failed == nil
	})
	return failed
}

// Text sets to from a text; null leaves it as it is, as with all that follow.
func Text(to *string, value gjson.Result) error {
	switch value.Type {
	case gjson.String:
		*to = value.Str
	case gjson.Null:
	default:
		return errors.New("want a text, not " + typeName(value))
	}
	return nil
}

// Bool sets to from true or false.
func Bool(to *bool, value gjson.Result) error {
	switch value.Type {
	case gjson.True, gjson.False:
		*to = value.Type == gjson.True
	case gjson.Null:
	default:
		return errors.New("want true or false, not " + typeName(value))
	}
	return nil
}

// Number sets to from a finite number.
func Number(to *float64, value gjson.Result) error {
	switch {
	case value.Type == gjson.Null:
	case value.Type != gjson.Number:
		return errors.New("want a number, not " + typeName(value))
	case math.IsInf(value.Num, 0) || math.IsNaN(value.Num):
		return errors.New("number is too large")
	default:
		*to = value.Num
	}
	return nil
}

// Integer sets to from an integer between lowest and highest.
func Integer[T ~int | ~int64 | ~uint8 | ~uint16 | ~uint32](to *T, value gjson.Result, lowest, highest int64) error {
	if value.Type == gjson.Null {
		return nil
	}
	if value.Type != gjson.Number {
		return errors.New("want a number, not " + typeName(value))
	}
	number, err := strconv.ParseInt(value.Raw, 10, 64)
	if err != nil && value.Num == math.Trunc(value.Num) && math.Abs(value.Num) < 1<<53 {
		number, err = int64(value.Num), nil // 5.0 and 1e3 are integers in JSON
	}
	if err != nil || number < lowest || number > highest {
		return fmt.Errorf("want an integer between %d and %d", lowest, highest)
	}
	*to = T(number)
	return nil
}

// Time sets to from a text in RFC 3339.
func Time(to *time.Time, value gjson.Result) error {
	var text string
	if err := Text(&text, value); err != nil || text == "" {
		return err
	}
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return errors.New("want a time as 2026-01-14T17:02:10Z")
	}
	*to = parsed
	return nil
}

// Bytes sets to from a text in base64.
func Bytes(to *[]byte, value gjson.Result) error {
	var text string
	if err := Text(&text, value); err != nil || text == "" {
		return err
	}
	decoded, err := DecodeBase64(text)
	if err != nil {
		return fmt.Errorf("base64: %w", err)
	}
	*to = decoded
	return nil
}

func typeName(value gjson.Result) string {
	switch {
	case value.IsObject():
		return "an object"
	case value.IsArray():
		return "a list"
	case value.Type == gjson.String:
		return "a text"
	case value.Type == gjson.Number:
		return "a number"
	case value.Type == gjson.Null:
		return "null"
	default:
		return "true or false"
	}
}

// DecodeBase64 reads the standard and the URL alphabet, with and without padding.
func DecodeBase64[T ~string | ~[]byte](text T) ([]byte, error) {
	encoding := base64.StdEncoding
	trimmed := bytes.TrimRight([]byte(text), "=")
	padded := len(trimmed) < len(text)
	if bytes.ContainsAny(trimmed, "-_") {
		encoding = base64.URLEncoding
	}
	if !padded {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	encoding = encoding.Strict()
	payload := make([]byte, encoding.DecodedLen(len(text)))
	n, err := encoding.Decode(payload, []byte(text))
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) {
		return nil, fmt.Errorf("bad character or end at offset %d", int64(corrupt))
	}
	return payload[:n], err
}
