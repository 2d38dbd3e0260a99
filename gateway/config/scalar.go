package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"belfry/decoders"
)

// scalar sets target to what parse makes of a single value.
func scalar[T any](d *document, path string, node *yaml.Node, target *T, parse func(*yaml.Node) (T, error)) {
	if !d.single(path, node) {
		return
	}
	value, err := parse(node)
	if err != nil {
		d.wrong(path, node, err.Error(), "")
		return
	}
	*target = value
}

// single says whether a node is one value, not a list, a mapping or nothing.
func (d *document) single(path string, node *yaml.Node) bool {
	if node.Kind == yaml.ScalarNode && node.ShortTag() != "!!null" {
		return true
	}
	d.wrong(path, node, "got "+describe(node)+", want a value", "")
	return false
}

// text returns a text as it is written: 0012 and 1e5 stay what they are. Words that YAML takes for something else must be quoted.
func (d *document) text(path string, node *yaml.Node) (string, bool) {
	if !d.single(path, node) {
		return "", false
	}
	if node.ShortTag() == "!!bool" {
		d.wrong(path, node, node.Value+" is not a text", fmt.Sprintf("quote it: %q", node.Value))
		return "", false
	}
	return node.Value, true
}

func (d *document) fillNumber(path string, node *yaml.Node, target reflect.Value) {
	if !d.single(path, node) {
		return
	}
	if err := setNumber(node, target); err != nil {
		d.wrong(path, node, err.Error(), "")
	}
}

func setNumber(node *yaml.Node, target reflect.Value) error {
	plain := node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	switch {
	case target.Kind() == reflect.Bool:
		if !plain || node.Value != "true" && node.Value != "false" {
			return fmt.Errorf("got %q, want true or false", node.Value)
		}
		target.SetBool(node.Value == "true")
	case target.CanInt():
		number, err := integer(node.Value)
		if err != nil || !plain {
			return fmt.Errorf("got %q, want a whole number", node.Value)
		}
		if target.OverflowInt(number) {
			return fmt.Errorf("%d is out of range, want %d to %d", number, int64(-1)<<(target.Type().Bits()-1), int64(1)<<(target.Type().Bits()-1)-1)
		}
		target.SetInt(number)
	case target.CanUint():
		number, err := integer(node.Value)
		if err != nil || !plain {
			return fmt.Errorf("got %q, want a whole number", node.Value)
		}
		if number < 0 || target.OverflowUint(uint64(number)) {
			return fmt.Errorf("%d is out of range, want 0 to %d", number, ^uint64(0)>>(64-target.Type().Bits()))
		}
		target.SetUint(uint64(number))
	case target.CanFloat():
		number, err := strconv.ParseFloat(node.Value, target.Type().Bits())
		if err != nil || !plain || math.IsInf(number, 0) || math.IsNaN(number) {
			return fmt.Errorf("got %q, want a number", node.Value)
		}
		target.SetFloat(number)
	default:
		panic("config: no way to read a " + target.Type().String()) // an option of a type that no file can fill
	}
	return nil
}

// integer reads a whole number; a number of bytes may have a unit, as sizes must.
func integer(text string) (int64, error) {
	var bytes size
	if strings.HasSuffix(text, "B") && bytes.UnmarshalText([]byte(text)) == nil {
		return int64(bytes), nil
	}
	return strconv.ParseInt(text, 10, 64)
}

func durationOf(node *yaml.Node) (time.Duration, error) { return parseDuration(node.Value) }

const maxDays = 36500

// parseDuration reads "250ms", "1h30m", "30d". Other than Go it knows days and no negative durations.
func parseDuration(text string) (time.Duration, error) {
	if text != "" && strings.Trim(text, "+-.0123456789") == "" {
		return 0, fmt.Errorf("%s has no unit, want a duration such as %ss or %sm", text, text, text)
	}
	count, rest, ok := strings.Cut(text, "d")
	if !ok {
		count, rest = "0", text
	}
	days, err := strconv.ParseUint(count, 10, 32)
	var duration time.Duration
	if err == nil && (rest != "" || !ok) {
		duration, err = time.ParseDuration(rest)
	}
	if err != nil || duration < 0 {
		return 0, fmt.Errorf("got %q, want a duration such as 250ms, 5s, 6h or 30d", text)
	}
	if days > maxDays || duration > maxDays*24*time.Hour {
		return 0, fmt.Errorf("%s is too long, want at most %dd", text, maxDays)
	}
	return time.Duration(days)*24*time.Hour + duration, nil
}

func timeOf(node *yaml.Node) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, node.Value)
	if err != nil {
		return time.Time{}, fmt.Errorf("got %q, want a time such as 2026-01-14T17:02:10Z", node.Value)
	}
	return t, nil
}

func valueOf(node *yaml.Node) (decoders.Value, error) {
	switch node.ShortTag() {
	case "!!bool":
		return decoders.Bool(strings.EqualFold(node.Value, "true")), nil
	case "!!int", "!!float":
		number, err := strconv.ParseFloat(node.Value, 64)
		if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
			return decoders.Value{}, fmt.Errorf("got %s, want a decimal number, or quote it", node.Value)
		}
		return decoders.Number(number), nil
	default:
		return decoders.Text(node.Value), nil
	}
}
