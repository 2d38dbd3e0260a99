package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"belfry/buffer"
	"belfry/decoders"
	"belfry/gateway"
	"belfry/gateway/config"
	"belfry/gateway/event"
	"belfry/gateway/secret"
)

type decodeCommand struct {
	Config   string    `short:"c" placeholder:"DIR" help:"The configuration folder; /etc/belfry with --sensor, and with --compare if there is one; only the built-in models without."`
	Codec    string    `placeholder:"FILE.js" help:"Decode with a maker's JavaScript, and print what it returns."`
	Lines    bool      `help:"With --codec: read lines of JSON (id, function, fport, bytes_hex, ...) from standard input, write one for each."`
	Sensor   string    `placeholder:"ID" help:"Decode as this sensor of the inventory would be, and print its events."`
	Model    string    `placeholder:"NAME" help:"Decode as this model, and print what comes out. With --compare: the model whose messages are compared."`
	Compare  twoFiles  `placeholder:"OLD NEW" help:"Decode what is in quarantine, and the model's examples, with two codecs (.js) or models (.yaml), and print what differs; exit code 1 when something is worse. The output has what devices sent."`
	JSON     bool      `help:"With --compare: print each difference, and the summary, as a line of JSON."`
	Port     uint8     `placeholder:"N" help:"The LoRaWAN FPort."`
	Received time.Time `placeholder:"TIME" help:"When it was received, RFC 3339; now by default."`
	Text     bool      `help:"The payload is text, JSON for instance, rather than hex."`
	Payload  string    `arg:"" optional:"" help:"The payload in hex; spaces, colons and dashes are skipped."`
}

// Validate implements kong's check.
func (c *decodeCommand) Validate() error {
	comparing := c.Compare != twoFiles{}
	ways := 0
	for _, given := range []bool{c.Codec != "", c.Sensor != "", c.Model != "" && !comparing, comparing} {
		if given {
			ways++
		}
	}
	switch {
	case ways != 1:
		return errors.New("one of --codec, --sensor, --model and --compare is needed")
	case c.JSON && !comparing:
		return errors.New("--json goes with --compare")
	case comparing && c.Payload != "":
		return errors.New("--compare takes two files, and no payload")
	}
	return nil
}

// Run prints the steps from the payload to what is made of it.
func (c decodeCommand) Run(p program) error {
	if c.Compare != (twoFiles{}) {
		return c.compare(p)
	}
	if c.Codec != "" {
		return c.runCodec(p)
	}
	if c.Lines {
		return errors.New("--lines goes with --codec")
	}
	payload, err := c.payload()
	if err != nil {
		return err
	}
	if c.Received.IsZero() {
		c.Received = time.Now()
	}
	if c.Sensor != "" {
		return c.asSensor(p, payload)
	}
	return c.asModel(p, payload)
}

func (c decodeCommand) payload() ([]byte, error) {
	if c.Payload == "" {
		return nil, errors.New("no payload (give it in hex, or with --text)")
	}
	if c.Text {
		return []byte(c.Payload), nil
	}
	digits := strings.NewReplacer(" ", "", ":", "", "-", "", "0x", "", "\n", "").Replace(c.Payload)
	payload, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("payload %q: %w (write it in hex, or use --text)", c.Payload, err)
	}
	return payload, nil
}

// decoded is what --model prints.
type decoded struct {
	Model    string          `json:"model,omitempty"`
	Kind     string          `json:"kind,omitempty"`
	Samples  []decodedSample `json:"samples"`
	Warnings []string        `json:"warnings,omitempty"`
}

type decodedSample struct {
	Time         time.Time                 `json:"time,omitzero"`
	Measurements map[string]decodedReading `json:"measurements"`
	Alarms       map[string]bool           `json:"alarms"`
	Raw          map[string]decodedReading `json:"raw"`
}

type decodedReading struct {
	Value   decoders.Value `json:"value"`
	Unit    string         `json:"unit,omitempty"`
	Quality string         `json:"quality,omitempty"`
}

func (c decodeCommand) asModel(p program, payload []byte) error {
	models, err := c.models(p.stderr)
	if err != nil {
		return err
	}
	model, ok := models[c.Model]
	if !ok {
		names := []string{}
		for name := range models {
			names = append(names, name)
		}
		return fmt.Errorf("no model %q%s", c.Model, hint(event.Nearest(c.Model, names)))
	}
	output, err := decoders.Run(model.Decode, decoders.Uplink{Port: c.Port, Payload: payload, Received: c.Received})
	if err != nil {
		return fmt.Errorf("%s, port %d: %w", c.Model, c.Port, err)
	}
	result := decoded{Model: model.Name, Kind: output.Kind, Warnings: output.Warnings}
	for _, sample := range output.Samples {
		measurements, levels, err := model.Mapping.Apply(sample)
		if err != nil {
			return fmt.Errorf("%s, port %d: %w", c.Model, c.Port, err)
		}
		result.Samples = append(result.Samples, newDecodedSample(sample, measurements, levels))
	}
	return printJSON(p.stdout, result)
}

func newDecodedSample(sample decoders.Sample, measurements []event.Measurement, levels []event.AlarmLevel) decodedSample {
	d := decodedSample{sample.Time, map[string]decodedReading{}, map[string]bool{}, map[string]decodedReading{}}
	for i := range measurements {
		m := &measurements[i]
		reading := decodedReading{Value: m.Value, Unit: m.Unit}
		if m.Suspect {
			reading.Quality = "suspect"
		}
		d.Measurements[m.Key()] = reading
	}
	for _, level := range levels {
		d.Alarms[level.Code] = level.Active
	}
	for _, field := range sample.Fields {
		key := event.Measurement{Name: field.Name, Channel: field.Channel}
		d.Raw[key.Key()] = decodedReading{Value: field.Value, Unit: field.Unit}
	}
	return d
}

// models are those of the folder, or the built-in ones when none is given.
func (c decodeCommand) models(out io.Writer) (map[string]*event.Model, error) {
	if c.Config == "" {
		models, problems := config.BuiltinModels()
		return models, printProblems(out, problems)
	}
	loaded, problems := loadConfig(c.Config, nil)
	if problems.Fatal() {
		return nil, printProblems(out, problems)
	}
	return loaded.Models, nil
}

func printProblems(out io.Writer, problems config.Problems) error {
	if len(problems) == 0 {
		return nil
	}
	fmt.Fprint(out, problems)
	return errReported
}

// asSensor prints the steps on standard error and the events on standard output.
func (c decodeCommand) asSensor(p program, payload []byte) error {
	if c.Config == "" {
		c.Config = "/etc/belfry"
	}
	loaded, problems := loadConfig(c.Config, nil)
	if problems.Fatal() {
		return printProblems(p.stderr, problems)
	}
	sensor := loaded.Inventory.Sensor(c.Sensor)
	if sensor == nil {
		return fmt.Errorf("no sensor %q in %s", c.Sensor, c.Config)
	}
	normaliser, err := newNormaliser(loaded, displayKey(loaded))
	if err != nil {
		return err
	}
	source := sensor.Source
	if source == "" {
		source = loaded.Sources[0].Name()
	}
	prepared := normaliser.Prepare(source, &gateway.Uplink{
		Device: sensor.Event.Device, Port: c.Port, Payload: payload, Raw: payload, Received: c.Received,
	})
	fmt.Fprintf(p.stderr, "sensor %s, model %s, port %d, %d bytes: %x\n", sensor.Event.ID, sensor.Model.Name, c.Port, len(payload), payload)
	if rejected := prepared.Rejected(); rejected != nil {
		return fmt.Errorf("%s: to quarantine at stage %q: %s", sensor.Event.ID, rejected.Stage, rejected.Reason)
	}
	printFields(p.stderr, prepared.Output)
	return printEvents(p.stdout, prepared)
}

// displayKey is the gateway's own event key, or another when this user may not read it: then only the ids differ.
func displayKey(loaded *config.Config) []byte {
	key, err := secret.Read(eventKeyPath(loaded.EventKeyFile, loaded.Buffer.Dir))
	if err != nil {
		return []byte("a key that is for display only")
	}
	return key
}

func printFields(out io.Writer, output decoders.Output) {
	for i, sample := range output.Samples {
		fmt.Fprintf(out, "sample %d of %d", i+1, len(output.Samples))
		if !sample.Time.IsZero() {
			fmt.Fprintf(out, ", device time %s", sample.Time.Format(time.RFC3339))
		}
		fmt.Fprintln(out)
		for _, field := range sample.Fields {
			key := event.Measurement{Name: field.Name, Channel: field.Channel}
			fmt.Fprintf(out, "  %-32s %s %s\n", key.Key(), field.Value, field.Unit)
		}
	}
	for _, warning := range output.Warnings {
		fmt.Fprintln(out, "warning:", warning)
	}
}

func printEvents(out io.Writer, prepared *gateway.Prepared) error {
	records := &memory{}
	if err := prepared.Build(records); err != nil {
		return err
	}
	if len(records.records) == 0 {
		return errors.New("decodes, but holds nothing that the model maps: no event")
	}
	for _, packed := range records.records {
		record, err := event.ParseRecord(packed)
		if err != nil {
			return err
		}
		if err := printJSON(out, json.RawMessage(record.Body)); err != nil {
			return err
		}
	}
	return nil
}

// memory is a gateway.Transaction that keeps what is appended.
type memory struct{ records [][]byte }

func (m *memory) State(string) []byte     { return nil }
func (m *memory) SetState(string, []byte) {}
func (m *memory) Discard(string)          {}
func (m *memory) Mark(buffer.Mark) bool   { return false }
func (m *memory) Append(_ buffer.Lane, data []byte) buffer.Seq {
	m.records = append(m.records, data)
	return buffer.Seq(len(m.records))
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func hint(near string) string {
	if near == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", near)
}
