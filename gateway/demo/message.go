package demo

import (
	"cmp"
	"time"
)

// Message is what one sensor gives to the broker or to the radio, with what it must become.
type Message struct {
	Topic   string
	Payload []byte
	Uplink  *RadioUplink // over the air instead of to a topic; nil for the broker
	Sensor  string       // id in the inventory, "" for a stranger
	Expect  Expect
}

// empty says that no sensor has anything to say at the moment.
func (m *Message) empty() bool { return m.Topic == "" && m.Uplink == nil }

// RadioUplink is what a LoRaWAN device encrypts and transmits.
type RadioUplink struct {
	device  *device
	port    uint8
	payload []byte
}

// Expect is what must be on the stream once the gateway has dealt with a message.
type Expect struct {
	Identity     string // ChirpStack's deduplication id, or the message's own
	Counter      uint32 // the LoRaWAN frame counter; 0 on plain MQTT
	Observations []Observation
	Alarms       []Edge
	Quarantined  bool

	// On radio: between these is the time of observations whose own is zero, because nobody told the device when it was heard.
	From, Until time.Time
}

// Observation is the truth behind one observation event.
type Observation struct {
	Time   time.Time
	Values map[string]float64 // by published name; true is 1; only those the check compares
}

// Edge is the truth behind one alarm event.
type Edge struct {
	Code   string
	Active bool
}

func compareEdges(a, b Edge) int { return cmp.Compare(a.Code, b.Code) }
