package demo

import (
	"cmp"
	"time"
)

// Message is what one sensor gives to the broker, with what it must become.
type Message struct {
	Topic   string
	Payload []byte
	Sensor  string // id in the inventory, "" for a stranger
	Expect  Expect
}

// Expect is what must be on the stream once the gateway has dealt with a message.
type Expect struct {
	Identity     string // ChirpStack's deduplication id, or the message's own
	Counter      uint32 // the LoRaWAN frame counter; 0 on plain MQTT
	Observations []Observation
	Alarms       []Edge
	Quarantined  bool
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
