package event

import (
	"time"

	"belfry/decoders"
)

// Model is what the town knows about one product: how to read it and what its readings mean.
type Model struct {
	Name     string // as sensors name it: "dingtek-df702"
	Maker    string
	Product  string
	Links    []string
	Kind     string        // see Sensor.Kind
	Service  string        // default for its sensors
	Interval time.Duration // expected time between two uplinks; 0 when it has none
	MaxAge   time.Duration // how old a device's time stamp may be; 36 h unless the model says otherwise
	Decode   decoders.Decoder
	Version  string // which decoder that is, and which version of it: "native dingtek-df702", "codec sha256:0123456789ab"
	Mapping  Mapping
	Examples []Example
}

// Mapping turns a decoder's fields into measurements and alarms. Fields that no rule names are left out.
type Mapping struct {
	Measurements []MeasurementRule
	Alarms       []AlarmRule

	uses map[string]uses // by field name, set by Check
}

// MeasurementRule makes one measurement of one field.
type MeasurementRule struct {
	Name   string                    // a name of the vocabulary
	Field  string                    // the decoder's name
	Unit   string                    // UCUM unit of the field where the decoder gives none; "" otherwise
	Scale  float64                   // multiplies the field before its unit is converted; 0 means 1
	Offset float64                   // added after Scale
	Values map[string]decoders.Value // states: the field's text or number, as printed, to the state; empty: as it is

	term *Term // set by Check
}

// AlarmRule makes one alarm level of one field. A field that an uplink does not have leaves the alarm as it was.
type AlarmRule struct {
	Code   string // an alarm code of the vocabulary
	Field  string
	Equals *decoders.Value // active when equal; nil: when the field is true
	Above  *float64        // active when the number is above
	Below  *float64        // active when the number is below
}

// Example is a frame with what it must become.
type Example struct {
	Name         string
	Port         uint8
	Payload      []byte
	Key          []byte // a test key, for encrypted payloads
	Meter        []byte // address of the meter, where the payload needs it and leaves it out
	Received     time.Time
	Measurements map[string]decoders.Value // of the newest sample, by published name ("water_volume_2")
	Alarms       []string                  // active ones
	Samples      int                       // how many there must be; 0 means 1
	Error        string                    // part of the error that must come instead
}

// AlarmLevel is what one uplink says of one alarm.
type AlarmLevel struct {
	Code   string
	Active bool
}
