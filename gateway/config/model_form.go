package config

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"belfry/decoders"
	"belfry/gateway/event"
)

// modelForm is a file of models/ as it is written.
type modelForm struct {
	Model        string                 `yaml:"model"`
	Maker        string                 `yaml:"maker"`
	Product      string                 `yaml:"product"`
	Links        []string               `yaml:"links"`
	Kind         string                 `yaml:"kind"`
	Service      string                 `yaml:"service"`
	Interval     time.Duration          `yaml:"interval"`
	MaxAge       time.Duration          `yaml:"max_age"`
	Decoder      string                 `yaml:"decoder"`
	JSON         decoders.JSONOptions   `yaml:"json"`
	Layout       decoders.LayoutOptions `yaml:"layout"`
	Codec        codecForm              `yaml:"codec"`
	Compute      []decoders.Compute     `yaml:"compute"`
	Measurements measurementsForm       `yaml:"measurements"`
	Alarms       alarmsForm             `yaml:"alarms"`
	Examples     []exampleForm          `yaml:"examples"`
}

// measurementsForm is name: field, or name: {field, unit, ...}, in the order of the file.
type measurementsForm []event.MeasurementRule

func (m *measurementsForm) readNode(d *document, path string, node *yaml.Node) {
	if !d.want(path, node, yaml.MappingNode) {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		var long struct {
			Field  string                    `yaml:"field"`
			Unit   string                    `yaml:"unit"`
			Scale  float64                   `yaml:"scale"`
			Offset float64                   `yaml:"offset"`
			Values map[string]decoders.Value `yaml:"values"`
		}
		long.Scale = 1
		name := node.Content[i].Value
		d.shortOrLong(join(path, name), node.Content[i+1], &long.Field, &long)
		if long.Scale == 0 {
			d.at(join(path, name)+".scale", "0 makes every value 0", "leave it out, or give the factor")
		}
		*m = append(*m, event.MeasurementRule{
			Name: name, Field: long.Field, Unit: long.Unit, Scale: long.Scale, Offset: long.Offset, Values: long.Values,
		})
	}
}

// alarmsForm is code: field, or code: {field, equals | above | below}, in the order of the file.
type alarmsForm []event.AlarmRule

func (a *alarmsForm) readNode(d *document, path string, node *yaml.Node) {
	if !d.want(path, node, yaml.MappingNode) {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		var long struct {
			Field  string          `yaml:"field"`
			Equals *decoders.Value `yaml:"equals"`
			Above  *float64        `yaml:"above"`
			Below  *float64        `yaml:"below"`
		}
		code := node.Content[i].Value
		d.shortOrLong(join(path, code), node.Content[i+1], &long.Field, &long)
		*a = append(*a, event.AlarmRule{Code: code, Field: long.Field, Equals: long.Equals, Above: long.Above, Below: long.Below})
	}
}

// shortOrLong reads the name of a field alone, or all of the long form.
func (d *document) shortOrLong(path string, node *yaml.Node, short *string, long any) {
	if node.Kind == yaml.MappingNode {
		d.fill(path, node, long)
	} else if text, ok := d.text(path, node); ok {
		*short = text
	}
}

type exampleForm struct {
	Name         string                    `yaml:"name"`
	Port         uint8                     `yaml:"port"`
	Hex          *hexBytes                 `yaml:"hex"`
	Text         *string                   `yaml:"text"`
	Key          *hexBytes                 `yaml:"key"`
	Meter        *hexBytes                 `yaml:"meter"`
	Received     time.Time                 `yaml:"received"`
	Samples      int                       `yaml:"samples"`
	Measurements map[string]decoders.Value `yaml:"measurements"`
	Alarms       []string                  `yaml:"alarms"`
	Error        string                    `yaml:"error"`
}

// hexBytes is written as hexadecimal digits; blanks between them are for the eye.
type hexBytes []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexBytes) UnmarshalText(text []byte) error {
	bytes, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		return fmt.Errorf("got %q, want pairs of hexadecimal digits", text)
	}
	*h = bytes
	return nil
}

// event checks that an example has one payload.
func (e *exampleForm) event(d *document, path string) event.Example {
	example := event.Example{
		Name: e.Name, Port: e.Port, Received: e.Received, Measurements: e.Measurements, Alarms: e.Alarms, Samples: e.Samples, Error: e.Error,
	}
	switch {
	case e.Hex != nil && e.Text == nil:
		example.Payload = *e.Hex
	case e.Text != nil && e.Hex == nil:
		example.Payload = []byte(*e.Text)
	default:
		d.at(path, "an example has one payload", "hex: or text:")
	}
	if e.Key != nil {
		example.Key = *e.Key
	}
	if e.Meter != nil {
		example.Meter = *e.Meter
	}
	return example
}
