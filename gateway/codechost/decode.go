package codechost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"belfry/decoders"
	"belfry/decoders/codec"
)

// Options say how a model uses a codec.
type Options struct {
	Variables map[string]string // input.variables
	Normalize bool              // the fields are those of normalizeUplink, each of its objects a sample
	Trial     bool              // it is tried out: it is never suspended
}

var (
	errNoDecode = errors.New("the codec has none of decodeUplink, Decoder and Decode")
	// ErrNoNormalize says that a codec cannot be used as Options.Normalize wants.
	ErrNoNormalize = errors.New("the codec has no normalizeUplink")
)

const (
	maxDepth  = 8
	maxFields = 256
	maxText   = 64 // bytes; longer texts are for people
)

// Decoder makes a decoder of a codec. Its fields have the names that the codec gives them: members of objects in each other
// are separated by dots, elements of lists are channels. What is null, empty or longer than 64 bytes is left out.
func (c *Codec) Decoder(options Options) (decoders.Decoder, error) {
	function := ""
	for _, known := range []string{codec.DecodeUplink, codec.Decoder, codec.Decode} {
		if slices.Contains(c.Functions, known) {
			function = known
			break
		}
	}
	if function == "" {
		return nil, errNoDecode
	}
	if options.Normalize && !slices.Contains(c.Functions, codec.NormalizeUplink) {
		return nil, ErrNoNormalize
	}
	return func(u decoders.Uplink) (decoders.Output, error) {
		return c.decode(function, options, u)
	}, nil
}

func (c *Codec) decode(function string, options Options, u decoders.Uplink) (decoders.Output, error) {
	call := codec.Call{Function: function, Port: u.Port, Bytes: u.Payload, Received: u.Received, Variables: options.Variables}
	result, err := c.call(call, options.Trial)
	if err != nil {
		return decoders.Output{}, err
	}
	output := decoders.Output{Kind: "uplink"}
	data := json.RawMessage(result)
	if function == codec.DecodeUplink {
		if data, output.Warnings, err = unwrap(result); err != nil {
			return decoders.Output{}, err
		}
	}
	if options.Normalize {
		call.Function, call.Data = codec.NormalizeUplink, data
		if result, err = c.call(call, options.Trial); err != nil {
			return decoders.Output{}, err
		}
		normal, warnings, err := unwrap(result)
		if err != nil {
			return decoders.Output{}, err
		}
		data, output.Warnings = normal, append(output.Warnings, warnings...)
	}
	output.Samples, err = samples(data, options.Normalize)
	return output, err
}

// call runs a function. What the codec throws says that the payload is not one of its product's.
func (c *Codec) call(what codec.Call, trial bool) ([]byte, error) {
	run := c.CallWithin
	if trial {
		run = c.CallAlways
	}
	result, err := run(what, gatewayLimits)
	if errors.Is(err, codec.ErrThrown) || errors.Is(err, codec.ErrOutput) {
		return nil, fmt.Errorf("%w: %w", decoders.ErrMalformed, err)
	}
	return result, err
}

// unwrap takes the data out of what decodeUplink and normalizeUplink return. Errors in it are an error.
func unwrap(result []byte) (data json.RawMessage, warnings []string, err error) {
	var output struct {
		Data             json.RawMessage
		Warnings, Errors json.RawMessage
	}
	if err := json.Unmarshal(result, &output); err != nil {
		return nil, nil, fmt.Errorf("%w: the codec returns no object", decoders.ErrMalformed)
	}
	if problems := texts(output.Errors); len(problems) > 0 {
		return nil, nil, fmt.Errorf("%w: the codec says: %.300s", decoders.ErrMalformed, strings.Join(problems, "; "))
	}
	return output.Data, texts(output.Warnings), nil
}

// texts reads a list of texts; codecs also write one text alone, or objects.
func texts(list json.RawMessage) []string {
	var many []json.RawMessage
	if json.Unmarshal(list, &many) != nil {
		many = []json.RawMessage{list}
	}
	var all []string
	for _, one := range many {
		var text string
		switch {
		case len(one) == 0, string(one) == "null", string(one) == `""`:
		case json.Unmarshal(one, &text) == nil:
			all = append(all, text)
		default:
			all = append(all, string(one))
		}
	}
	return all
}

func samples(data json.RawMessage, list bool) ([]decoders.Sample, error) {
	parts := []json.RawMessage{data}
	if list && len(data) > 0 && data[0] == '[' {
		if err := json.Unmarshal(data, &parts); err != nil {
			return nil, fmt.Errorf("%w: %w", decoders.ErrMalformed, err)
		}
	}
	all := make([]decoders.Sample, 0, len(parts))
	for _, part := range parts {
		f := flattener{decoder: json.NewDecoder(bytes.NewReader(part))}
		f.decoder.UseNumber()
		if err := f.value("", 0, 0); err != nil {
			return nil, err
		}
		all = append(all, decoders.Sample{Fields: f.fields})
	}
	if len(all) == 0 || len(all) == 1 && len(all[0].Fields) == 0 {
		return nil, fmt.Errorf("%w: the codec finds nothing in it", decoders.ErrMalformed)
	}
	return all, nil
}

// flattener turns nested JSON into fields, in its order.
type flattener struct {
	decoder *json.Decoder
	fields  []decoders.Field
}

func (f *flattener) value(name string, channel, depth int) error {
	token, err := f.decoder.Token()
	if err != nil {
		return fmt.Errorf("%w: the codec's result: %w", decoders.ErrMalformed, err)
	}
	if depth > maxDepth || len(f.fields) > maxFields {
		return fmt.Errorf("%w: the codec's result has more than %d members or %d levels", decoders.ErrMalformed, maxFields, maxDepth)
	}
	switch v := token.(type) {
	case json.Delim:
		return f.inside(v, name, channel, depth)
	case json.Number:
		if number, err := v.Float64(); err == nil && !math.IsInf(number, 0) {
			f.add(name, channel, decoders.Number(number))
		}
	case bool:
		f.add(name, channel, decoders.Bool(v))
	case string:
		if v != "" && len(v) <= maxText && utf8.ValidString(v) {
			f.add(name, channel, decoders.Text(v))
		}
	}
	return nil
}

func (f *flattener) add(name string, channel int, value decoders.Value) {
	if name != "" {
		f.fields = append(f.fields, decoders.Field{Name: name, Channel: channel, Value: value})
	}
}

// inside reads the members of an object or the elements of a list, and what ends it.
func (f *flattener) inside(open json.Delim, name string, channel, depth int) error {
	for n := 1; f.decoder.More(); n++ {
		member, at := name, channel
		if open == '{' {
			key, err := f.decoder.Token()
			if err != nil {
				return fmt.Errorf("%w: the codec's result: %w", decoders.ErrMalformed, err)
			}
			if member = fmt.Sprint(key); name != "" {
				member = name + "." + member
			}
		} else if channel == 0 {
			at = n // of the outermost list; those inside share it
		}
		if err := f.value(member, at, depth+1); err != nil {
			return err
		}
	}
	_, err := f.decoder.Token()
	return err
}
