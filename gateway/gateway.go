// Package gateway knows the order of things: sources hand over uplinks, each becomes events (or a quarantined
// message), the store holds them on disk, the sink forwards what the store holds.
package gateway

import (
	"context"
	"errors"
	"time"

	"belfry/buffer"
	"belfry/gateway/event"
)

// Uplink is one message as a source took it.
type Uplink struct {
	Device   string // how the inventory finds the sensor: DevEUI (16 hex digits, lower case) or the name in the topic
	Vouched  bool   // the device's own keys say whose it is: the inventory finds its sensor whatever source that is bound to
	Topic    string // where it came from, for people; "" where the transport has none
	Port     uint8  // LoRaWAN FPort; 0 where the transport has none
	Payload  []byte // the device's bytes, what the decoder reads; nil when only Readings or Facts are known
	Raw      []byte // the whole message as it came, what quarantine keeps
	Received time.Time
	Time     time.Time // the network's receive time; zero when it gives none
	Link     *event.Link

	// Identity is the same for the same reading on every path and retry; "" when the source knows none.
	Identity string
	// Mark recognises the message itself when it has no Identity; zero when the transport cannot repeat it.
	Mark buffer.Mark
	// Repeat says that the transport may have delivered this message before (MQTT DUP): drop it when Mark is known.
	Repeat bool

	// Claim is run in the transaction that stores the uplink, before anything of it: it takes what the uplink uses up (a
	// frame counter) and may have the uplink discarded for it. nil where the transport has nothing of the kind.
	Claim Claim
	// Hurry says that the device waits for an answer: the uplink is not kept waiting for others to be stored with.
	Hurry bool

	// Fault says why the source could not read the message; it goes to quarantine with this reason.
	Fault error
	// Discard says why there is nothing to keep in the message ("retained", "other_event"): it is counted by that word.
	Discard string
	// Readings are values that the network knows of the device without decoding (battery level of a status event).
	Readings []event.Measurement
	// Notice is about the sensor, published beside what else there is.
	Notice *event.Notice
	// Facts are remembered with the sensor and not published: "joined" = time, ...
	Facts map[string]string
}

// Claim reads and changes state that must agree with the events of an uplink. It runs on the buffer's goroutine, perhaps more
// than once if the transaction must be made anew; it must not block.
type Claim func(tx Transaction) Claimed

// Claimed is what a Claim found.
type Claimed struct {
	Discard  string   // why nothing of the uplink is kept, in a word that is counted; "" when it is
	Identity string   // the uplink's, in place of Uplink.Identity; "" leaves that
	Flags    []string // of its events
}

// ErrContested is what a Run ends with when somebody else seems to take its place again and again. The pause before the
// next grows then however long it ran, so that two of them do not chase each other.
var ErrContested = errors.New("another client may make use")

// Emit hands uplinks over, in order. done is called once, when all of them are held on disk, as events or in
// quarantine (nil), or when that failed; only then, and only after nil, may a source acknowledge them. done must not
// block. After done got an error nothing more is held in this Run, so that nothing overtakes: Run must end.
// Emit blocks while the gateway is behind, and returns an error only when ctx is done; done is not called then.
type Emit func(ctx context.Context, uplinks []Uplink, done func(error)) error

// Source is where uplinks come in.
type Source interface {
	// Run connects and delivers uplinks until ctx is done or the source cannot go on. The gateway calls Run again after
	// a back-off, so Run leaves nothing behind: no goroutine, no connection. ready is called with nil each time the
	// source is connected and subscribed, and with the reason when it no longer is; it must be called from Run's own
	// goroutines only while Run runs. Cancellation is not an error.
	Run(ctx context.Context, emit Emit, ready func(error)) error
	// Name is the source's name in the configuration.
	Name() string
	// Counters are totals since the start, by snake_case name ("dropped", "other_events", ...); a new map each time.
	Counters() map[string]uint64
}

// Sink is where records go.
type Sink interface {
	// Run forwards what the store holds until ctx is done. It never gives up: what is down is reported through ready and
	// tried again. Cancellation is not an error.
	Run(ctx context.Context, store Store, ready func(error)) error
	// Counters are totals since the start, by snake_case name.
	Counters() map[string]uint64
}

// Store is the part of the buffer that a sink sees; *buffer.Buffer documents it.
type Store interface {
	Read(lane buffer.Lane, from buffer.Seq, limit int) ([]buffer.Record, error)
	Appended() <-chan struct{}
	Published(lane buffer.Lane, upTo buffer.Seq)
	PublishedUpTo(lane buffer.Lane) buffer.Seq
	Reject(ctx context.Context, record buffer.Record, data []byte) error
	State(key string) []byte
	Position() []byte
	SetPosition(position []byte)
}
