// Package decoders turns the bytes a device sent into the values they mean, in the maker's terms.
// It knows nothing of sensors, towns or events; mapping to the vocabulary happens in gateway/event.
package decoders

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

var (
	// ErrMalformed says that the payload is not what the product sends: too short, too long, a bad value.
	ErrMalformed = errors.New("malformed payload")
	// ErrUnknownKind says that the port or message type is not one this decoder reads.
	ErrUnknownKind = errors.New("unknown kind of message")
	// ErrPanic says that the decoder itself is at fault.
	ErrPanic = errors.New("decoder panicked")
)

// Uplink is what a decoder may look at.
type Uplink struct {
	Port     uint8     // LoRaWAN FPort; 0 where the transport has none
	Payload  []byte    // must not be kept or changed
	Received time.Time // when the network or the box received it; only to resolve relative times
	Key      []byte    // AES key (16 bytes) that the sensor's payloads are encrypted with, nil when it has none; must not be kept
	Meter    []byte    // address of the meter (MeterBytes), nil when the sensor has none; for telegrams that leave it out
}

// Decoder reads one uplink. It is pure: no I/O, clock, goroutine or state. With an error it returns a zero Output.
type Decoder func(Uplink) (Output, error)

// Output is everything one uplink says.
type Output struct {
	Kind      string   // which message of the product this was, e.g. "status"
	MessageID string   // identity that the payload itself carries, "" if none
	Samples   []Sample // in the order of their time, oldest first; at least one
	Warnings  []string
}

// Sample is what was true at one moment.
type Sample struct {
	Time   time.Time // the device's claim; zero when it makes none
	Fields []Field
}

// Field is one named value in the maker's terms.
type Field struct {
	Name    string // snake_case, documented beside the decoder
	Channel int    // 0 or 1: the only or main one; n: the n-th of several alike, the same n in every uplink
	Unit    string // UCUM; "" for states, texts and flags
	Value   Value
}

// register makes a native decoder known under a name. It panics on a second registration of one name.
func register(name string, decoder Decoder) {
	if _, ok := natives[name]; ok {
		panic("decoders: " + name + " registered twice")
	}
	natives[name] = decoder
}

var natives = map[string]Decoder{} // written only in init

// Native returns the decoder registered under name, nil if there is none.
func Native(name string) Decoder { return natives[name] }

// Names lists the native decoders in alphabetical order.
func Names() []string { return slices.Sorted(maps.Keys(natives)) }

// Run calls decoder and turns a panic into an error that wraps ErrPanic.
func Run(decoder Decoder, uplink Uplink) (output Output, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			output, err = Output{}, fmt.Errorf("%w: %v", ErrPanic, cause)
		}
	}()
	output, err = decoder(uplink)
	if err != nil {
		return Output{}, err
	}
	if len(output.Samples) == 0 {
		return Output{}, fmt.Errorf("%w: no sample in it", ErrMalformed)
	}
	return output, nil
}
