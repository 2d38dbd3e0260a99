package forward

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway/event"
)

// tail is what tells at a connect whether the stream still has the end that it acknowledged.
type tail struct {
	highest uint64    // stream sequence that was acknowledged to this process
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

// tailLost asks, at the first connect of a process, for the newest record that the stream acknowledged to the process
// before: an older one of ours at the end of its subject means that the newer is lost.
func (f *forwarder) tailLost(ctx context.Context, nc *nats.Conn, marks [2]buffer.Seq) bool {
	for i, mark := range marks {
		if mark == 0 {
			continue
		}
		records, err := f.store.Read(buffer.Lane(i), mark, 1)
		if err != nil || len(records) == 0 || records[0].Seq != mark {
			continue // not held any more
		}
		record, err := event.ParseRecord(records[0].Data)
		if err != nil || checkSubject(record.Subject) != nil {
			continue
		}
		q := &question{nc: nc, stream: f.options.Stream, buffer: f.buffer, store: f.store,
			subject: record.Subject, lane: buffer.Lane(i), first: mark, ids: map[string]buffer.Seq{record.ID: mark}}
		last, err := q.get(ctx, getRequest{LastFor: record.Subject})
		if err != nil || last == nil {
			continue
		}
		if seq := q.own(last); seq > 0 && seq < mark {
			return true
		}
	}
	return false
}
