package source

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sync/atomic"
	"time"

	"belfry/buffer"
	"belfry/gateway"
)

// interpreter fills an uplink with what a message says. Topic, Raw, Received, Repeat and Mark are filled already. It returns
// false when nothing in the message is for the gateway, and says why in Discard.
type interpreter func(message *arrival, uplink *gateway.Uplink) bool

// subscriber is what the sources on an MQTT broker have in common.
type subscriber struct {
	env       Env
	options   Connection
	endpoint  endpoint
	filters   []string // to subscribe to
	place     [6]byte  // of its marks
	interpret interpreter
	hold      time.Duration // see maxHold; tests have less patience

	counts                                                      counters
	received, bytes, droppedQoS0, acked, repeats, connects, cut *atomic.Uint64

	endings endings // only the library's goroutine of the current connection touches it
	ids     *packetIDs
	probed  bool // the broker was offered a wrong password; only Run touches it
}

var _ gateway.Source = (*subscriber)(nil)

// newSubscriber makes a subscriber that counts what every source counts, and the names given.
func newSubscriber(env Env, options Connection, server endpoint, filters []string, names ...string) *subscriber {
	counts := newCounters(append(names, "received", "bytes", "dropped_qos0", "acked", "repeats", "connects", "oversized")...)
	return &subscriber{
		env: env, options: options, endpoint: server, filters: filters, place: place(env.Name), hold: maxHold, ids: new(packetIDs), counts: counts,
		received: counts["received"], bytes: counts["bytes"], droppedQoS0: counts["dropped_qos0"], acked: counts["acked"],
		repeats: counts["repeats"], connects: counts["connects"], cut: counts["oversized"],
	}
}

// Name implements gateway.Source.
func (s *subscriber) Name() string { return s.env.Name }

// Counters implements gateway.Source.
func (s *subscriber) Counters() map[string]uint64 { return s.counts.snapshot() }

// count adds one to a counter whose name was given to newSubscriber.
func (s *subscriber) count(name string) { s.counts[name].Add(1) }

const maxTopic = 512 // bytes

// uplink makes an uplink of a message. digest is scratch.
func (s *subscriber) uplink(message *arrival, uplink *gateway.Uplink, digest hash.Hash) {
	s.received.Add(1)
	s.bytes.Add(uint64(len(message.Payload())))
	if message.Duplicate() {
		s.repeats.Add(1)
	}
	uplink.Topic, uplink.Raw, uplink.Received = message.Topic(), message.Payload(), message.received
	uplink.Repeat = message.repeat
	switch {
	case message.cut > 0:
		s.cut.Add(1)
		uplink.Fault = fmt.Errorf("message of %d bytes is over max_packet, %d; only its beginning is kept", message.cut, s.options.MaxPacket)
	case len(uplink.Topic) > maxTopic:
		uplink.Fault = fmt.Errorf("topic of %d bytes is longer than %d", len(uplink.Topic), maxTopic)
		uplink.Topic = uplink.Topic[:maxTopic]
	default:
		if !s.read(message, uplink) {
			*uplink = gateway.Uplink{Discard: uplink.Discard, Received: uplink.Received}
			return
		}
	}
	if uplink.Identity == "" && message.Qos() > 0 {
		uplink.Mark = mark(s.place, digest, message)
	}
}

// discard says why a message is not for the gateway, in a word that is a counter too; it returns false.
func (s *subscriber) discard(uplink *gateway.Uplink, why string) bool {
	s.count(why)
	uplink.Discard = why
	return false
}

// read interprets a message. One over which this program stumbles goes to quarantine: it would come back for ever.
func (s *subscriber) read(message *arrival, uplink *gateway.Uplink) (wanted bool) {
	defer func() {
		if cause := recover(); cause != nil {
			uplink.Fault, wanted = gateway.NewFault(cause), true
		}
	}()
	return s.interpret(message, uplink)
}

// mark recognises the same delivery of a message when the broker repeats it. Its place is the packet id at this source.
func mark(source [6]byte, digest hash.Hash, message *arrival) (mark buffer.Mark) {
	var scratch [sha256.Size]byte
	copy(mark[:], source[:])
	binary.BigEndian.PutUint16(mark[len(source):], message.MessageID())
	digest.Reset()
	digest.Write(binary.BigEndian.AppendUint16(scratch[:0], uint16(len(message.Topic()))))
	digest.Write([]byte(message.Topic()))
	digest.Write(message.Payload())
	copy(mark[len(source)+2:], digest.Sum(scratch[:0]))
	return mark
}

// place is where a source's packet ids are.
func place(source string) [6]byte {
	sum := sha256.Sum256([]byte(source))
	return [6]byte(sum[:])
}

// Run implements gateway.Source. Each run is one connection.
func (s *subscriber) Run(parent context.Context, emit gateway.Emit, ready func(error)) error {
	return s.serve(parent, ready, func(*session) gateway.Emit { return emit })
}

// serve is Run with an emit for the session, which is connected by then.
func (s *subscriber) serve(parent context.Context, ready func(error), emit func(*session) gateway.Emit) error {
	ctx, end := context.WithCancelCause(parent)
	defer end(nil)
	session := &session{subscriber: s, queue: newQueue(s.options.Queue, s.options.MaxPacket, s.hold), acks: newAcks(), end: end, digest: sha256.New()}
	if err := session.connect(ctx); err != nil {
		if parent.Err() != nil {
			return nil
		}
		return err
	}
	s.connects.Add(1)
	return session.run(parent, ctx, emit(session), ready)
}
