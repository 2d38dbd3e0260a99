package forward

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway/event"
)

// tail is what tells at a connect whether the stream still has the end that it acknowledged.
type tail struct {
	highest uint64    // stream sequence that was acknowledged to this process
	id      string    // of the message there
	created time.Time // of the stream, zero before it was seen
	rewind  bool      // go back to the oldest record held, once nothing is under way
}

// verify compares the stream with what it acknowledged. A server that lost its end without a clean stop begins to
// number again below what it told us; what an operator removes leaves the numbers as they are, and is not undone.
func (f *forwarder) verify(info *jetstream.StreamInfo, lost bool) {
	t := &f.tail
	switch {
	case !t.created.IsZero() && !t.created.Equal(info.Created):
		f.log.Warn("the stream was made anew; what it had before is not sent again", "stream", f.options.Stream)
		t.highest = 0
	case lost, info.State.LastSeq < t.highest:
		f.log.Warn("the stream lost its newest messages; what is held here is sent again", "stream", f.options.Stream,
			"last", info.State.LastSeq, "acknowledged", t.highest)
		t.rewind = true
	}
	t.created = info.Created
}

// rewindHeld begins again at the oldest record on disk. The stream is asked per subject what it has, as after a start.
func (f *forwarder) rewindHeld() {
	if !f.tail.rewind || f.asks > 0 || f.tasks.rejecting > 0 || len(f.flights) > 0 {
		return
	}
	for i := range f.lanes {
		l := &f.lanes[i]
		records, err := f.store.Read(l.lane, 1, 1)
		if err != nil {
			f.status.read = err
			return
		}
		mark := f.store.PublishedUpTo(l.lane)
		next := mark + 1
		if len(records) > 0 {
			next = min(next, records[0].Seq)
		}
		*l = lane{lane: l.lane, next: next, told: mark, largest: guessedSize}
		f.rewound.Add(uint64(mark + 1 - next))
	}
	f.tail.rewind, f.tail.highest = false, 0
	f.toAsk, f.runnable = [2]fifo[*subject]{}, [2]fifo[*subject]{}
	clear(f.subjects)
	clear(f.parked)
	clear(f.denied)
}

// tailRecords is how many of the newest records of a lane are held against the stream at the start of a process.
const tailRecords = 256

// tailLost asks, at the first connect of a process, for the newest records that the stream acknowledged to the process
// before: an older one of ours at the end of its subject means that the newer is lost.
func (f *forwarder) tailLost(ctx context.Context, nc *nats.Conn, marks [2]buffer.Seq) bool {
	for i, mark := range marks {
		from := buffer.Seq(1)
		if mark > tailRecords {
			from = mark - tailRecords + 1
		}
		records, err := f.store.Read(buffer.Lane(i), from, tailRecords)
		if err == nil && f.endLost(ctx, nc, buffer.Lane(i), mark, records) {
			return true
		}
	}
	return false
}

// endLost asks for the newest record of each subject, the newest of all first: what a server loses is its end, and on a
// slow line there is no time for many.
func (f *forwarder) endLost(ctx context.Context, nc *nats.Conn, lane buffer.Lane, mark buffer.Seq, records []buffer.Record) bool {
	asked := map[string]bool{}
	for _, r := range slices.Backward(records) {
		record, err := event.ParseRecord(r.Data)
		if r.Seq > mark || err != nil || checkSubject(record.Subject) != nil || asked[record.Subject] {
			continue
		}
		if len(asked) == maxAsks {
			return false
		}
		asked[record.Subject] = true
		q := &question{nc: nc, stream: f.options.Stream, buffer: f.buffer, store: f.store,
			subject: record.Subject, lane: lane, first: r.Seq, ids: map[string]buffer.Seq{record.ID: r.Seq}}
		last, err := q.get(ctx, getRequest{LastFor: record.Subject})
		if err != nil || last == nil {
			continue
		}
		if own := q.own(last); own > 0 && own < r.Seq {
			return true
		}
	}
	return false
}

// replaced says whether another message has the number that the stream gave to our newest: the stream lost its end, and
// others have published since. A message that is not there any more says nothing.
func (f *forwarder) replaced(ctx context.Context, nc *nats.Conn, seq uint64, id string) bool {
	q := &question{nc: nc, stream: f.options.Stream}
	there, err := q.get(ctx, getRequest{Seq: seq})
	return err == nil && there != nil && there.header.Get(jetstream.MsgIDHeader) != id
}
