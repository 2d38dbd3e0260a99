// Package control lets people look into a buffer and at its quarantine: in its folder, or through the gateway that runs
// on it, over HTTP on a unix socket in that folder. Both ways are the same to those who ask.
package control

import (
	"context"
	"encoding/json"
	"time"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/event"
)

// Buffer is what can be asked of a buffer.
type Buffer interface {
	Status(ctx context.Context) (Status, error)
	// Records returns the first records that a query wants, and where to go on.
	Records(ctx context.Context, query Query) (Page, error)
	// Unknown tells who was heard and is no sensor.
	Unknown(ctx context.Context) (Unknown, error)
	// Verify reads everything and says what is damaged.
	Verify(ctx context.Context) (Verification, error)
	// Drop removes messages from quarantine for good, and returns those that were there.
	Drop(ctx context.Context, seqs []buffer.Seq) ([]buffer.Seq, error)
	// Retry decodes messages in quarantine again, or only says what would become of them.
	Retry(ctx context.Context, seqs []buffer.Seq, tryOnly bool) ([]gateway.Retried, error)
}

// MaxSeqs is how many numbers one Drop or Retry takes.
const MaxSeqs = 1000

// The states of a record.
const (
	Pending     = "pending"
	Held        = "held" // dealt with, still on disk
	Quarantined = "quarantined"
	Damaged     = "damaged" // in quarantine, and not what was written
)

// Query says which records are wanted. Empty fields want all.
type Query struct {
	Lane    string     `json:"lane,omitempty"`   // urgent, normal or quarantine
	State   string     `json:"state,omitempty"`  // of Urgent and Normal: Pending or Held
	Sensor  string     `json:"sensor,omitempty"` // its id
	Stage   string     `json:"stage,omitempty"`  // this and the next two: of quarantine only
	Source  string     `json:"source,omitempty"`
	Model   string     `json:"model,omitempty"`
	Since   time.Time  `json:"since,omitzero"` // with a time, of the event or when the message was received, not before
	From    buffer.Seq `json:"from,omitempty"`
	To      buffer.Seq `json:"to,omitempty"`
	Limit   int        `json:"limit,omitempty"`   // of one page
	Content bool       `json:"content,omitempty"` // with events, and with the raw bytes of quarantined messages
}

// Page is a part of the answer to a query.
type Page struct {
	Records []Record   `json:"records"`
	Next    buffer.Seq `json:"next,omitempty"` // From of the next page; 0: there is none
	Last    buffer.Seq `json:"last,omitempty"` // newest number of the buffer
}

// Record is one record as people see it.
type Record struct {
	Seq     buffer.Seq         `json:"seq"`
	Lane    string             `json:"lane"`
	State   string             `json:"state"`
	ID      string             `json:"id,omitempty"`
	Subject string             `json:"subject,omitempty"`
	Sensor  string             `json:"sensor,omitempty"`
	Time    time.Time          `json:"time,omitzero"` // of the event; of a quarantined message: when it was received
	Bytes   int                `json:"bytes"`
	Event   json.RawMessage    `json:"event,omitempty"`
	Message *event.Quarantined `json:"message,omitempty"`
	Data    []byte             `json:"data,omitempty"` // of a damaged record: what is there, in base64
}

// Status is the state of a buffer.
type Status struct {
	Dir        string        `json:"dir"`
	Live       *Live         `json:"live,omitempty"` // nil: no gateway runs on it
	Ledger     buffer.Ledger `json:"ledger"`
	Unbalanced string        `json:"unbalanced,omitempty"` // which sum of the ledger is wrong
	Pending    PendingByLane `json:"pending"`
	Oldest     float64       `json:"oldest_seconds"` // how long the oldest pending record has waited, in running time
	LastSeq    buffer.Seq    `json:"last_sequence"`
	Quarantine []Group       `json:"quarantine"` // the largest groups
	More       uint64        `json:"quarantine_more"`
	Bytes      int64         `json:"bytes"`
	MaxBytes   int64         `json:"max_bytes,omitempty"` // 0: not known
	Segments   int           `json:"segments"`
	SetAside   []File        `json:"set_aside"`
	Damaged    uint64        `json:"damaged"` // records found damaged since it was opened
	LastCommit time.Time     `json:"last_commit,omitzero"`
	Failing    string        `json:"failing,omitempty"`
}

// Live is what only a running gateway knows.
type Live struct {
	PID        int       `json:"pid"`
	Version    string    `json:"version"`
	Since      time.Time `json:"since"`
	Commits    uint64    `json:"commits"`
	CommitsDay float64   `json:"commits_per_day"`
	BytesDay   float64   `json:"bytes_per_day,omitempty"` // written to the buffer
}

// PendingByLane counts what is to be published.
type PendingByLane struct {
	Urgent uint64 `json:"urgent"`
	Normal uint64 `json:"normal"`
}

// Group counts the messages in quarantine that have these in common.
type Group struct {
	Stage  string `json:"stage"`
	Source string `json:"source,omitempty"`
	Model  string `json:"model,omitempty"`
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// File is a file that was found damaged and put aside.
type File struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Verification is what a check of the whole buffer found.
type Verification struct {
	Records  uint64   `json:"records"` // that are as they were written
	Bytes    uint64   `json:"bytes"`   // in them
	Segments int      `json:"segments"`
	Damages  []Damage `json:"damages"`
	SetAside []File   `json:"set_aside"`
}

// Damage is a part of the buffer that is not as it was written.
type Damage struct {
	File    string     `json:"file,omitempty"`
	Lane    string     `json:"lane,omitempty"`
	First   buffer.Seq `json:"first,omitempty"`
	Last    buffer.Seq `json:"last,omitempty"`
	Records uint64     `json:"records,omitempty"` // lost
	Reason  string     `json:"reason"`
}

// Each calls f with every record that a query wants, in order of their numbers, up to the newest when it began. limit is
// how many at most, 0 for all.
func Each(ctx context.Context, b Buffer, query Query, limit int, f func(Record) error) error {
	for left := limit; ; {
		query.Limit = left
		page, err := b.Records(ctx, query)
		if err != nil {
			return err
		}
		for _, record := range page.Records {
			if err := f(record); err != nil {
				return err
			}
		}
		left -= len(page.Records)
		if page.Next == 0 || limit > 0 && left <= 0 {
			return nil
		}
		if query.From = page.Next; query.To == 0 {
			query.To = page.Last
		}
	}
}
