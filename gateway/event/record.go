package event

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// Record is an event as the buffer keeps it: what a sink needs to publish it without reading its JSON.
type Record struct {
	ID      string // the event's id
	Subject string // the NATS subject
	Body    []byte // the event's JSON
}

const recordVersion = 1

// Append appends the record's packed form: version, length and bytes of ID and of Subject (uvarint), then Body.
func (r Record) Append(b []byte) []byte {
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(len(r.ID)))
	b = append(b, r.ID...)
	b = binary.AppendUvarint(b, uint64(len(r.Subject)))
	b = append(b, r.Subject...)
	return append(b, r.Body...)
}

// ParseRecord reads what Append wrote. Body aliases b.
func ParseRecord(b []byte) (Record, error) {
	if len(b) == 0 {
		return Record{}, fmt.Errorf("parse record: empty")
	}
	if b[0] != recordVersion {
		return Record{}, fmt.Errorf("parse record: version %d, this program reads %d", b[0], recordVersion)
	}
	b = b[1:]
	id, b, ok := cut(b)
	if !ok {
		return Record{}, fmt.Errorf("parse record: cut off in its id")
	}
	subject, b, ok := cut(b)
	if !ok {
		return Record{}, fmt.Errorf("parse record: cut off in its subject")
	}
	return Record{ID: string(id), Subject: string(subject), Body: b}, nil
}

func cut(b []byte) (part, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(size)], b[n+int(size):], true
}

// Quarantined is a message or event that could not go on, as the buffer's quarantine keeps it.
type Quarantined struct {
	Stage    string    `json:"stage"`  // "source", "inventory", "decode", "map" or "publish"
	Reason   string    `json:"reason"` // one sentence for people
	Source   string    `json:"source,omitempty"`
	Topic    string    `json:"topic,omitempty"`
	Device   string    `json:"device,omitempty"`
	Sensor   string    `json:"sensor,omitempty"`
	Model    string    `json:"model,omitempty"`
	Decoder  string    `json:"decoder,omitempty"` // the Version of the model
	Port     uint8     `json:"port,omitempty"`
	Payload  []byte    `json:"payload,omitempty"` // the device's bytes
	Raw      []byte    `json:"raw,omitempty"`     // the whole message, or the packed Record at stage "publish"
	Identity string    `json:"identity,omitempty"`
	Received time.Time `json:"received"`
	Time     time.Time `json:"time,omitzero"`
	Seq      uint64    `json:"seq,omitempty"` // at stage "publish": the record's number in its lane
}

// Append appends the packed form: JSON.
func (q Quarantined) Append(b []byte) []byte {
	packed, err := json.Marshal(q)
	if err != nil { // only a time outside of years 0..9999 can do this
		q.Received, q.Time = time.Time{}, time.Time{}
		packed, _ = json.Marshal(q)
	}
	return append(b, packed...)
}

// ParseQuarantined reads what Append wrote.
func ParseQuarantined(b []byte) (Quarantined, error) {
	var q Quarantined
	if err := json.Unmarshal(b, &q); err != nil {
		return Quarantined{}, fmt.Errorf("parse quarantined message: %w", err)
	}
	return q, nil
}
