// Package event is what Belfry publishes: one CloudEvents 1.0 event a reading, in the town's vocabulary.
// It also maps what decoders say to that vocabulary, and packs events into the records that the buffer keeps.
package event

import (
	"time"

	"belfry/decoders"
)

// The types of event.
const (
	TypeObservation = "belfry.observation.v1"
	TypeAlarm       = "belfry.alarm.v1"
	TypeNotice      = "belfry.notice.v1"
)

// The flags an event may carry.
const (
	FlagLate           = "late"
	FlagReplayed       = "replayed" // its message waited in quarantine
	FlagClockFault     = "clock_fault"
	FlagDecoderWarning = "decoder_warning"
	FlagCounterReset   = "fcnt_reset" // the device's frame counter began anew without a join
)

// Clock says whose clock an event's time is.
type Clock string

// The clocks.
const (
	ClockDevice  Clock = "device"
	ClockNetwork Clock = "network"
	ClockGateway Clock = "gateway"
)

// Event is one CloudEvents event. Empty and nil parts are left out of its JSON: absent means not known.
type Event struct {
	ID       string // 26 characters [a-z2-7], see Identifier
	Source   string // "/belfry/<gateway>/<source>"
	Type     string
	Subject  string // the sensor's id in the town's inventory; the gateway's name for its own notices
	Time     time.Time
	Owner    string // SIREN of the public body that owns the data, 9 digits
	Commune  string // INSEE code, 5 characters
	Service  string // one of Services; "" only for notices about the gateway itself
	Sensor   *Sensor
	Received time.Time
	Clock    Clock

	Measurements []Measurement // observations
	Alarms       []string      // observations: every alarm now active, sorted
	Alarm        *AlarmEdge    // alarms
	Notice       *Notice       // notices
	Link         *Link
	Flags        []string
}

// Sensor is the thing in the field, as the town knows it.
type Sensor struct {
	ID       string
	Kind     string // what it is: streetlight, water_meter, waste_container, ...
	Model    string
	Device   string // its address on the transport: DevEUI in lower case, or the name in its topic
	Location *Point
}

// Point is a place in WGS 84 degrees.
type Point struct{ Longitude, Latitude float64 }

// Measurement is one named value in the vocabulary's unit.
type Measurement struct {
	Name    string
	Channel int // 0 and 1: no suffix; n > 1: "<name>_<n>"
	Value   decoders.Value
	Unit    string // UCUM, "" for states
	Suspect bool   // outside of the vocabulary's range; the value stays
}

// AlarmEdge says that an alarm was raised or cleared.
type AlarmEdge struct {
	Code   string
	Active bool
	Since  time.Time // when it was raised
}

// Notice is about the gateway or a sensor rather than from a sensor.
type Notice struct {
	Code    string         // started, expired, ...
	Reason  string         // one sentence for people
	Details map[string]any // numbers, texts and lists that JSON can hold
}

// Link is the health of the radio link.
type Link struct {
	RSSI            int     // dBm, of the best reception
	SNR             float64 // dB, of the best reception
	SpreadingFactor int     // 7..12, 0 when not LoRa
	Gateways        int     // how many heard it
}
