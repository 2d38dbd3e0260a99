package decoders

import (
	"fmt"
	"strconv"
	"time"
)

// LayoutOptions is a table of the fields that a product sends as bytes. configs/models/README.md documents every key.
type LayoutOptions struct {
	Endian   string          `yaml:"endian"` // "big" when empty, or "little"
	Messages []LayoutMessage `yaml:"messages"`
}

// LayoutMessage is one kind of message: what tells it from others, and its fields in the order of the frame.
type LayoutMessage struct {
	Kind      string        `yaml:"kind"`
	Ports     []uint8       `yaml:"ports"` // any when empty
	Length    int           `yaml:"length"`
	Lengths   []int         `yaml:"lengths"`
	MinLength int           `yaml:"min_length"`
	MaxLength int           `yaml:"max_length"`
	Starts    string        `yaml:"starts"` // hex digits, "." for any
	Match     []LayoutMatch `yaml:"match"`
	Fields    []LayoutField `yaml:"fields"`
}

// LayoutMatch is what one byte must be.
type LayoutMatch struct {
	At     int            `yaml:"at"` // negative: from the end
	Mask   *LayoutInteger `yaml:"mask"`
	Equals LayoutInteger  `yaml:"equals"`
}

// LayoutField is one step through a frame: a value, bytes to skip or expect, a group, a repeated group or a TLV list.
type LayoutField struct {
	LayoutValue `yaml:",inline"`

	Type   string       `yaml:"type"`
	Endian string       `yaml:"endian"`
	Size   string       `yaml:"size"` // bytes of a text: a number or a value read before; to the end when empty
	Bits   []LayoutBits `yaml:"bits"` // parts of this whole number
	Skip   int          `yaml:"skip"`
	Expect string       `yaml:"expect"`

	At       *int        `yaml:"at"`
	Optional bool        `yaml:"optional"` // may be missing at the end of the frame
	When     *LayoutWhen `yaml:"when"`

	Fields  []LayoutField  `yaml:"fields"`
	Repeat  string         `yaml:"repeat"` // "end", a number or a value read before
	Samples *LayoutSamples `yaml:"samples"`
	TLV     *LayoutTLV     `yaml:"tlv"`
}

// LayoutValue says what becomes of a number.
type LayoutValue struct {
	Name     string           `yaml:"name"`    // of the field that is reported
	Let      string           `yaml:"let"`     // name of a value that is only kept, for when, repeat, size, channel and step_field
	Channel  string           `yaml:"channel"` // a number or a value read before
	Unit     string           `yaml:"unit"`
	Scale    *float64         `yaml:"scale"`
	Divide   *float64         `yaml:"divide"`
	Offset   float64          `yaml:"offset"`
	Decimals *int             `yaml:"decimals"`
	Values   map[string]Value `yaml:"values"`
	Invalid  []LayoutInteger  `yaml:"invalid"`
	Min      *LayoutInteger   `yaml:"min"`
	Max      *LayoutInteger   `yaml:"max"`
}

// LayoutBits is a part of a whole number; bit 0 is its lowest.
type LayoutBits struct {
	LayoutValue `yaml:",inline"`

	Bit    int  `yaml:"bit"`
	Width  int  `yaml:"width"` // 0: one bit, a flag
	Signed bool `yaml:"signed"`
	Flag   bool `yaml:"flag"` // any of the bits, however many
}

// LayoutWhen is a condition on a value read before or on how much of the frame is left.
type LayoutWhen struct {
	Field  string          `yaml:"field"`
	Bit    *int            `yaml:"bit"`
	Equals *LayoutInteger  `yaml:"equals"`
	In     []LayoutInteger `yaml:"in"`
	Above  *LayoutInteger  `yaml:"above"`
	Below  *LayoutInteger  `yaml:"below"`
	Left   int             `yaml:"left"` // at least so many bytes
	Not    bool            `yaml:"not"`
}

// LayoutSamples makes a sample of each element of a repeated group. Times run from the message's time, or the receipt.
type LayoutSamples struct {
	Step        time.Duration `yaml:"step"`
	StepField   string        `yaml:"step_field"` // a value read before that multiplies step
	First       int           `yaml:"first"`      // steps between the message's time and the first element
	NewestFirst bool          `yaml:"newest_first"`
}

// LayoutTLV is a list of records to the end, each with a key of some bytes and perhaps a length.
type LayoutTLV struct {
	Key         int            `yaml:"key"`          // bytes; 1 when 0
	Length      int            `yaml:"length"`       // bytes; 0: the fields say it
	LengthFirst bool           `yaml:"length_first"` // the length stands before the key
	CountsKey   bool           `yaml:"counts_key"`   // the length includes the key
	Unknown     string         `yaml:"unknown"`      // "skip" when there is a length and it is empty, or "error"
	Records     []LayoutRecord `yaml:"records"`
}

// LayoutRecord is one record of a TLV list.
type LayoutRecord struct {
	Key    string        `yaml:"key"` // hex digits, "." for any
	Fields []LayoutField `yaml:"fields"`
}

// LayoutInteger is a whole number, decimal or hexadecimal (0x0f).
type LayoutInteger int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *LayoutInteger) UnmarshalText(text []byte) error {
	number, err := parseInteger(string(text))
	*l = LayoutInteger(number)
	return err
}

// parseInteger reads a whole number of up to 64 bits; those from 2^63 on become negative, as they do when they are read.
func parseInteger(text string) (int64, error) {
	if number, err := strconv.ParseInt(text, 0, 64); err == nil {
		return number, nil
	}
	number, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("got %q, want a whole number such as 15 or 0x0f", text)
	}
	return int64(number), nil
}

const maxLayoutBytes = 4096

// NewLayout returns a decoder of the messages that a table describes. Its errors, joined, each begin with the key of the option that
// is wrong.
func NewLayout(options LayoutOptions) (Decoder, error) {
	messages, err := compileLayout(&options)
	if err != nil {
		return nil, err
	}
	return func(uplink Uplink) (Output, error) { return decodeLayout(messages, uplink) }, nil
}

func decodeLayout(messages []layoutMessage, uplink Uplink) (Output, error) {
	if len(uplink.Payload) > maxLayoutBytes {
		return Output{}, fmt.Errorf("%w: %d bytes, a message has at most %d", ErrMalformed, len(uplink.Payload), maxLayoutBytes)
	}
	onPort, alike := false, false
	for i := range messages {
		message := &messages[i]
		if !message.onPort(uplink.Port) {
			continue
		}
		onPort = true
		if !message.looksLike(uplink.Payload) {
			continue
		}
		alike = true
		if message.hasLength(len(uplink.Payload)) {
			return message.decode(uplink)
		}
	}
	switch {
	case !onPort:
		return Output{}, fmt.Errorf("%w: port %d", ErrUnknownKind, uplink.Port)
	case alike || len(uplink.Payload) == 0:
		return Output{}, fmt.Errorf("%w: no message has %d bytes and begins so", ErrMalformed, len(uplink.Payload))
	default:
		return Output{}, fmt.Errorf("%w: no message of port %d begins with 0x%02x", ErrUnknownKind, uplink.Port, uplink.Payload[0])
	}
}
