package decoders

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// JSONOptions says where in a JSON message the fields of a product are. Paths are names joined by dots, list elements by
// number ("data.0.level"); a backslash before a dot makes it part of a name.
type JSONOptions struct {
	Time   *JSONTime   `yaml:"time"`
	ID     string      `yaml:"id"`   // path of the identity that the message carries
	Kind   string      `yaml:"kind"` // path of a text that says which message of the product this is
	Fields []JSONField `yaml:"fields"`
	// Samples is the path of a list of objects, "." when the message is the list. Each object is a sample; the paths of time and
	// fields start in it, those of id, kind and common at the message.
	Samples string      `yaml:"samples"`
	Common  []JSONField `yaml:"common"` // fields that all samples have
}

// JSONField is one field and its path. A field with a unit is a number.
type JSONField struct {
	Name     string `yaml:"name"`
	Path     string `yaml:"path"`
	Unit     string `yaml:"unit"`
	Required bool   `yaml:"required"`
	Channel  int    `yaml:"channel"`
}

const (
	maxJSONBytes   = 256 << 10
	maxJSONDepth   = 16
	maxTextBytes   = 256
	maxJSONSamples = 1000
	wholeMessage   = "."    // as the path of samples
	jsonKind       = "json" // of a message that does not name its own
)

// NewJSON returns a decoder of JSON messages. Its errors begin with the key of the option that is wrong.
func NewJSON(options JSONOptions) (Decoder, error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	clock, err := newJSONClock(options.Time)
	if err != nil {
		return nil, err
	}
	options.Fields, options.Common = slices.Clone(options.Fields), slices.Clone(options.Common)
	return func(uplink Uplink) (Output, error) { return decodeJSON(&options, clock, uplink) }, nil
}

func (o *JSONOptions) check() error {
	if err := checkJSONPath(o.ID); o.ID != "" && err != nil {
		return fmt.Errorf("id: %w", err)
	}
	if err := checkJSONPath(o.Kind); o.Kind != "" && err != nil {
		return fmt.Errorf("kind: %w", err)
	}
	if len(o.Fields) == 0 {
		return errors.New("fields: there must be at least one")
	}
	if err := checkJSONPath(o.Samples); o.Samples != "" && o.Samples != wholeMessage && err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	if o.Samples != "" && o.Time == nil {
		return errors.New("samples: each needs its time, and there is no time")
	}
	if o.Samples == "" && len(o.Common) > 0 {
		return errors.New("common: only with samples")
	}
	seen := map[JSONField]string{}
	if err := checkJSONFields("fields", o.Fields, seen); err != nil {
		return err
	}
	return checkJSONFields("common", o.Common, seen)
}

// checkJSONFields checks the fields under a key. seen has where each name and channel is.
func checkJSONFields(list string, fields []JSONField, seen map[JSONField]string) error {
	for i, field := range fields {
		key := fmt.Sprintf("%s[%d]", list, i)
		if !isFieldName(field.Name) {
			return fmt.Errorf("%s.name: %q is not made of a-z, 0-9 and _", key, field.Name)
		}
		if err := checkJSONPath(field.Path); err != nil {
			return fmt.Errorf("%s.path: %w", key, err)
		}
		if field.Channel < 0 {
			return fmt.Errorf("%s.channel: %d is negative", key, field.Channel)
		}
		same := JSONField{Name: field.Name, Channel: max(field.Channel, 1)}
		if first, ok := seen[same]; ok {
			return fmt.Errorf("%s.name: %q of this channel is already %s", key, field.Name, first)
		}
		seen[same] = key
	}
	return nil
}

func isFieldName(name string) bool {
	for _, c := range []byte(name) {
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// checkJSONPath allows only plain names: gjson would also take queries, wildcards and modifiers, which can be slow and
// do not lead to one value.
func checkJSONPath(path string) error {
	begins := true
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\':
			i++
			if i == len(path) {
				return fmt.Errorf("%q ends with a backslash", path)
			}
			begins = false
		case c == '.' && begins:
			return fmt.Errorf("%q has an empty name", path)
		case c == '.':
			begins = true
		case strings.IndexByte(`*?#|`, c) >= 0 || begins && strings.IndexByte(`@!{["`, c) >= 0:
			return fmt.Errorf("%q: %q must have a backslash before it; queries are not possible", path, c)
		default:
			begins = false
		}
	}
	if begins {
		return fmt.Errorf("%q has an empty name", path)
	}
	return nil
}

func decodeJSON(options *JSONOptions, clock *jsonClock, uplink Uplink) (Output, error) {
	message, err := parseJSON(uplink.Payload)
	if err != nil {
		return Output{}, err
	}
	output := Output{Kind: jsonKind}
	if options.Samples == "" {
		output.Samples, err = jsonSample(options, clock, message, uplink.Received)
	} else {
		output.Samples, err = jsonSamples(options, clock, message, uplink.Received)
	}
	if err != nil {
		return Output{}, err
	}
	if output.MessageID, err = jsonText(message, options.ID); err != nil {
		return Output{}, err
	}
	if kind, err := jsonText(message, options.Kind); err != nil {
		return Output{}, err
	} else if kind != "" {
		output.Kind = kind
	}
	return output, nil
}

// jsonSample reads a message that is one sample.
func jsonSample(options *JSONOptions, clock *jsonClock, message gjson.Result, received time.Time) ([]Sample, error) {
	fields, err := jsonFields(options.Fields, message, true)
	if err != nil {
		return nil, err
	}
	if len(fields) == 0 {
		return nil, errNoJSONField
	}
	moment, err := clock.read(message, received)
	return []Sample{{Time: moment, Fields: fields}}, err
}

var errNoJSONField = fmt.Errorf("%w: none of the fields is in it", ErrUnknownKind)

// jsonSamples reads a list of samples in the order of their time. Elements without any of the fields are none.
func jsonSamples(options *JSONOptions, clock *jsonClock, message gjson.Result, received time.Time) ([]Sample, error) {
	list := message
	if options.Samples != wholeMessage {
		list = message.Get(options.Samples)
	}
	if list.Type == gjson.Null {
		return nil, errNoJSONField
	}
	if !list.IsArray() {
		return nil, fmt.Errorf("%w: %s is not a list", ErrMalformed, options.Samples)
	}
	common, err := jsonFields(options.Common, message, false)
	if err != nil {
		return nil, err
	}
	var samples []Sample
	timeless, elements := 0, 0
	list.ForEach(func(_, element gjson.Result) bool {
		if elements++; elements > maxJSONSamples {
			err = fmt.Errorf("%w: more than %d samples", ErrMalformed, maxJSONSamples)
			return false
		}
		if !element.IsObject() {
			err = fmt.Errorf("%w: element %d of %s is not an object", ErrMalformed, elements-1, options.Samples)
			return false
		}
		var sample Sample
		if sample.Fields, err = jsonFields(options.Fields, element, true); err != nil || len(sample.Fields) == 0 {
			return err == nil
		}
		if sample.Time, err = clock.read(element, received); sample.Time.IsZero() {
			timeless++
		}
		sample.Fields = append(sample.Fields, common...)
		samples = append(samples, sample)
		return err == nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(samples) == 0:
		return nil, errNoJSONField
	case timeless > 0 && len(samples) > 1: // nobody knows which was when
		return nil, fmt.Errorf("%w: %d of %d samples have no time", ErrMalformed, timeless, len(samples))
	}
	slices.SortStableFunc(samples, func(a, b Sample) int { return a.Time.Compare(b.Time) })
	return samples, nil
}

// jsonFields reads those fields that are there. With orNone a required one may be missing where all are: that is another message.
func jsonFields(options []JSONField, object gjson.Result, orNone bool) ([]Field, error) {
	fields := make([]Field, 0, len(options))
	missing := ""
	for i := range options {
		option := &options[i]
		value, err := jsonValue(object, option.Path, option.Unit != "")
		if err != nil {
			return nil, err
		}
		if value.Kind() != KindNone {
			fields = append(fields, Field{Name: option.Name, Channel: option.Channel, Unit: option.Unit, Value: value})
		} else if option.Required && missing == "" {
			missing = option.Path
		}
	}
	if missing != "" && (len(fields) > 0 || !orNone) {
		return nil, fmt.Errorf("%w: %s is missing", ErrMalformed, missing)
	}
	return fields, nil
}

// parseJSON checks all of the payload before anything is read of it.
func parseJSON(payload []byte) (gjson.Result, error) {
	switch {
	case len(payload) > maxJSONBytes:
		return gjson.Result{}, fmt.Errorf("%w: %d bytes, a message has at most %d", ErrMalformed, len(payload), maxJSONBytes)
	case jsonDepth(payload) > maxJSONDepth:
		return gjson.Result{}, fmt.Errorf("%w: deeper than %d levels", ErrMalformed, maxJSONDepth)
	case !utf8.Valid(payload) || !gjson.ValidBytes(payload):
		return gjson.Result{}, fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	message := gjson.ParseBytes(payload)
	if !message.IsObject() && !message.IsArray() {
		return gjson.Result{}, fmt.Errorf("%w: not a JSON object or list", ErrMalformed)
	}
	return message, nil
}

// jsonDepth returns how deep objects and lists are nested. gjson's own check calls itself for each level.
func jsonDepth(payload []byte) int {
	depth, deepest, inText := 0, 0, false
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// jsonValue returns the scalar at a path; the zero Value for null, an empty text or nothing.
func jsonValue(message gjson.Result, path string, isNumber bool) (Value, error) {
	switch result := message.Get(path); result.Type {
	case gjson.Null:
		return Value{}, nil
	case gjson.True, gjson.False:
		return Bool(result.Type == gjson.True), nil
	case gjson.Number:
		number, err := strconv.ParseFloat(result.Raw, 64)
		if err != nil {
			return Value{}, fmt.Errorf("%w: %s is not a number that can be held: %.40s", ErrMalformed, path, result.Raw)
		}
		return Number(number), nil
	case gjson.String:
		if result.Str == "" {
			return Value{}, nil
		}
		if err := checkJSONText(result.Str, path); err != nil {
			return Value{}, err
		}
		if isNumber && isNoNumber(result.Str) {
			return Value{}, fmt.Errorf("%w: %s is %q instead of a number", ErrMalformed, path, result.Str)
		}
		return Text(strings.Clone(result.Str)), nil // not to hold all of the message
	default:
		return Value{}, fmt.Errorf("%w: %s is an object or a list, not a value", ErrMalformed, path)
	}
}

// isNoNumber says whether a text is what some programs print for a number they do not have: NaN, -Infinity.
func isNoNumber(text string) bool {
	number, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return err == nil && (math.IsNaN(number) || math.IsInf(number, 0))
}

// jsonText returns the text or number at a path as it stands in the message, "" for nothing.
func jsonText(message gjson.Result, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	switch result := message.Get(path); result.Type {
	case gjson.Null:
		return "", nil
	case gjson.String:
		return strings.Clone(result.Str), checkJSONText(result.Str, path)
	case gjson.Number:
		return strings.Clone(result.Raw), checkJSONText(result.Raw, path)
	default:
		return "", fmt.Errorf("%w: %s is neither a text nor a number", ErrMalformed, path)
	}
}

func checkJSONText(text, path string) error {
	if len(text) > maxTextBytes {
		return fmt.Errorf("%w: %s has %d bytes, a text has at most %d", ErrMalformed, path, len(text), maxTextBytes)
	}
	return nil
}
