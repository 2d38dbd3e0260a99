package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"belfry/buffer"
	"belfry/gateway/event"
)

// Rereader is a Source that can read a message again that it once handed over.
type Rereader interface {
	// Reread returns what the source makes of a quarantined message today, received when it was; false when that is
	// nothing, or when quarantine does not have all of the message.
	Reread(message *event.Quarantined) (Uplink, bool)
}

// Retrier decodes what is in quarantine again, with the configuration of today. What comes of it has the ids that it would
// have had the first time, and observations the flag "replayed".
type Retrier struct {
	Normaliser *Normaliser
	Sources    []Source
	Buffer     *buffer.Buffer
}

// The outcomes of a retry.
const (
	RetrySent    = "sent"    // it left quarantine as events
	RetryNothing = "nothing" // it left quarantine: it holds nothing that is published
	RetryRepeat  = "repeat"  // it left quarantine: its reading has come another way since
	RetryStill   = "still"   // it stays in quarantine
	RetryAbsent  = "absent"  // it is not in quarantine
)

// Retried is what became of one retry.
type Retried struct {
	Seq     buffer.Seq     `json:"seq"`
	Outcome string         `json:"outcome"`
	Reason  string         `json:"reason,omitempty"` // why it stays
	Events  []RetriedEvent `json:"events,omitempty"`
}

// RetriedEvent is one event that a retry made.
type RetriedEvent struct {
	Seq     buffer.Seq `json:"seq,omitempty"` // 0 when it was only tried
	ID      string     `json:"id"`
	Subject string     `json:"subject"`
}

// Retry takes messages out of quarantine and stores what they are today, in the order of seqs, each in one transaction.
// What is rejected again stays as it is; the reason of today is in the answer.
func (g *Gateway) Retry(ctx context.Context, seqs ...buffer.Seq) ([]Retried, error) {
	return g.Retrier().Retry(ctx, seqs...)
}

// Retrier returns what Retry uses.
func (g *Gateway) Retrier() *Retrier {
	return &Retrier{Normaliser: g.Normaliser, Sources: g.Sources, Buffer: g.Buffer}
}

// Retry is Gateway.Retry.
func (r *Retrier) Retry(ctx context.Context, seqs ...buffer.Seq) ([]Retried, error) {
	return r.each(seqs, func(attempts []*retry) error { return r.retry(ctx, attempts) })
}

func (r *Retrier) retry(ctx context.Context, attempts []*retry) error {
	var ready []buffer.Seq
	var places []int
	for i, a := range attempts {
		if a.outcome == "" {
			ready, places = append(ready, a.seq), append(places, i)
		}
	}
	fates, err := r.Buffer.RetryAll(ctx, ready, func(i int, tx *buffer.Tx, _ []byte) error {
		return attempts[places[i]].build(tx)
	})
	if err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	for i, err := range fates {
		if err := attempts[places[i]].settle(err); err != nil {
			return err
		}
	}
	return nil
}

// Try tells what Retry would do, and changes nothing.
func (r *Retrier) Try(seqs ...buffer.Seq) ([]Retried, error) {
	return r.each(seqs, func(attempts []*retry) error {
		for _, a := range attempts {
			if a.outcome == "" {
				if err := a.settle(a.append(&trial{state: r.Buffer.State})); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// each calls do with the attempts at a part of the messages after the other, as many as fit into memory.
func (r *Retrier) each(seqs []buffer.Seq, do func([]*retry) error) ([]Retried, error) {
	var all []Retried
	for len(seqs) > 0 {
		attempts, err := r.attempts(seqs)
		if err == nil {
			err = do(attempts)
		}
		if err != nil {
			return nil, err
		}
		all, seqs = append(all, results(attempts)...), seqs[len(attempts):]
	}
	return all, nil
}

// retryBytes is about how much of what is in quarantine is held in memory for a retry.
const retryBytes = 4 << 20

// attempts prepares the first messages, as many as fit into memory.
func (r *Retrier) attempts(seqs []buffer.Seq) ([]*retry, error) {
	attempts := make([]*retry, len(seqs))
	bytes := 0
	for i, seq := range seqs {
		if bytes > retryBytes {
			return attempts[:i], nil
		}
		records, err := r.Buffer.Read(buffer.Quarantine, seq, 1)
		if err != nil {
			return nil, err
		}
		attempts[i] = &retry{seq: seq}
		if len(records) == 0 || records[0].Seq != seq {
			attempts[i].end(RetryAbsent, "")
			continue
		}
		bytes += len(records[0].Data)
		r.prepare(attempts[i], records[0].Data)
	}
	return attempts, nil
}

// prepare finds out what a message would be today.
func (r *Retrier) prepare(a *retry, data []byte) {
	message, err := event.ParseQuarantined(data)
	switch {
	case err != nil || message.Stage == "":
		a.end(RetryStill, "the record is damaged: it can be exported or dropped, not decoded")
	case message.Stage == "publish":
		a.takeBack(&message)
	default:
		r.decode(a, &message)
	}
}

// takeBack prepares an event that could not be published: it goes into its lane again as it is.
func (a *retry) takeBack(message *event.Quarantined) {
	record, err := event.ParseRecord(message.Raw)
	var body struct{ Type string }
	if err == nil {
		err = json.Unmarshal(record.Body, &body)
	}
	if err != nil {
		a.end(RetryStill, "the event cannot be read: "+err.Error())
		return
	}
	a.packed, a.lane = message.Raw, buffer.Normal
	if body.Type == event.TypeAlarm || body.Type == event.TypeNotice {
		a.lane = buffer.Urgent
	}
}

func (r *Retrier) decode(a *retry, message *event.Quarantined) {
	uplink, ok := r.reread(message)
	if !ok {
		if message.Device == "" {
			a.end(RetryStill, message.Reason)
			return
		}
		if message.Payload == nil {
			a.end(RetryStill, fmt.Sprintf("source %q does not take it any more, and it has no payload to decode without", message.Source))
			return
		}
		uplink = Uplink{
			Device: message.Device, Topic: message.Topic, Port: message.Port, Payload: message.Payload, Raw: message.Raw,
			Received: message.Received, Time: message.Time, Vouched: r.wasOf(message),
		}
	}
	if message.Identity != "" {
		uplink.Identity = message.Identity
	}
	a.prepared = r.Normaliser.Prepare(message.Source, &uplink)
	a.prepared.replayed = true
	if rejected := a.prepared.Rejected(); rejected != nil {
		a.end(RetryStill, rejected.Reason)
		return
	}
	if identity := a.prepared.identity; identity != "" {
		a.mark = r.Normaliser.ids.Sum(identity)
		a.foreign = identity != message.Identity // the mark of the message in quarantine is another
	}
}

// wasOf says whether a message was found to be of the sensor that has its device today.
func (r *Retrier) wasOf(message *event.Quarantined) bool {
	sensor := r.Normaliser.Inventory.Sensor(message.Sensor)
	return sensor != nil && sensor.Event.Device == message.Device
}

func (r *Retrier) reread(message *event.Quarantined) (Uplink, bool) {
	i := slices.IndexFunc(r.Sources, func(s Source) bool { return s.Name() == message.Source })
	if i < 0 {
		return Uplink{}, false
	}
	source, ok := r.Sources[i].(Rereader)
	if !ok {
		return Uplink{}, false
	}
	return source.Reread(message)
}

// retry is one message on its way out of quarantine: an uplink that is decoded, or an event that is packed.
type retry struct {
	seq      buffer.Seq
	prepared *Prepared
	packed   []byte
	lane     buffer.Lane
	mark     buffer.Mark // of the reading; zero when it has none
	foreign  bool        // if the mark is known, then from another message

	events  []RetriedEvent
	outcome string
	reason  string
}

func (a *retry) end(outcome, reason string) { a.outcome, a.reason = outcome, reason }

var errStill = errors.New("rejected again")

// build appends what the message is. It may run more than once.
func (a *retry) build(tx *buffer.Tx) error {
	a.outcome = ""
	if a.mark != (buffer.Mark{}) && tx.Mark(a.mark) && a.foreign {
		a.outcome = RetryRepeat
		return nil
	}
	return a.append(tx)
}

// append appends what the message is to tx.
func (a *retry) append(tx Transaction) error {
	noted := &noting{Transaction: tx}
	if a.packed != nil {
		noted.Append(a.lane, a.packed)
	} else if err := a.prepared.Build(noted); err != nil {
		return err
	} else if rejected := a.prepared.Rejected(); rejected != nil {
		return fmt.Errorf("%w: %s", errStill, rejected.Reason)
	}
	a.events = noted.events
	return nil
}

// settle says what became of an attempt that ended with err.
func (a *retry) settle(err error) error {
	switch {
	case errors.Is(err, buffer.ErrNotThere):
		a.end(RetryAbsent, "")
	case errors.Is(err, errStill):
		a.end(RetryStill, a.prepared.Rejected().Reason)
	case err != nil:
		return fmt.Errorf("retry %d: %w", a.seq, err)
	case a.outcome != "":
	case len(a.events) == 0:
		a.end(RetryNothing, "")
	default:
		a.end(RetrySent, "")
	}
	return nil
}

func results(attempts []*retry) []Retried {
	all := make([]Retried, len(attempts))
	for i, a := range attempts {
		all[i] = Retried{Seq: a.seq, Outcome: a.outcome, Reason: a.reason}
		if a.outcome == RetrySent {
			all[i].Events = a.events
		}
	}
	return all
}

// noting is a Transaction that notes the events that are appended. What is for quarantine is there already.
type noting struct {
	Transaction
	events []RetriedEvent
}

// Append implements Transaction.
func (n *noting) Append(lane buffer.Lane, data []byte) buffer.Seq {
	if lane == buffer.Quarantine {
		return 0
	}
	seq := n.Transaction.Append(lane, data)
	if record, err := event.ParseRecord(data); err == nil {
		n.events = append(n.events, RetriedEvent{Seq: seq, ID: record.ID, Subject: record.Subject})
	}
	return seq
}

// trial is a Transaction that changes nothing.
type trial struct{ state func(key string) []byte }

// State implements Transaction.
func (t *trial) State(key string) []byte { return t.state(key) }

// SetState implements Transaction.
func (*trial) SetState(string, []byte) {}

// Append implements Transaction.
func (*trial) Append(buffer.Lane, []byte) buffer.Seq { return 0 }

// Mark implements Transaction.
func (*trial) Mark(buffer.Mark) bool { return false }

// Discard implements Transaction.
func (*trial) Discard(string) {}
