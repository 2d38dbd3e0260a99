package forward

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
)

// tail is what tells whether the stream still has the end that it acknowledged.
type tail struct {
	position
	highest   uint64 // stream sequence that was acknowledged, or seen to hold a record
	id        string // of the message there; "" when it is the newest checkpoint's
	changed   bool   // the position is to be stored though neither the end nor a mark has moved
	regressed bool   // an acknowledgement gave a number that was given before

	rewind      bool          // go back to the records behind these marks, once nothing is under way
	back        [2]buffer.Seq // the marks
	gone        uint64        // message that was known and is there no more, 0 for none
	toldRemoved uint64        // checkpoint whose absence was reported
}

// openTail takes up what the process before has left.
func openTail(stored []byte, marks [2]buffer.Seq) tail {
	p, ok := parsePosition(stored)
	if !ok {
		p = startPosition(marks)
	}
	t := tail{position: p}
	t.highest = p.newest().seq
	for i, again := range p.again {
		t.back[i] = marks[i]
		if again > 0 && again <= marks[i] {
			t.rewind, t.back[i] = true, again-1
		}
	}
	return t
}

// saw notes a message of ours on the stream.
func (t *tail) saw(seq uint64, id string) {
	if seq > t.highest {
		t.highest, t.id = seq, id
	}
}

// note brings the position up to date, and says whether it changed.
func (t *tail) note(marks [2]buffer.Seq) bool {
	newest := t.newest()
	if t.highest == newest.seq && marks == newest.marks && !t.changed {
		return false
	}
	c := checkpoint{seq: t.highest, id: newest.id, marks: marks}
	if t.highest != newest.seq {
		c.id = hashID(t.id)
	}
	t.add(c)
	t.changed = false
	return true
}

// cutTo forgets all checkpoints behind the i-th.
func (t *tail) cutTo(i int) {
	t.points = t.points[:i+1]
	t.highest, t.id, t.changed, t.regressed = t.newest().seq, "", true, false
}

// comparison is what the stream says about the checkpoints.
type comparison struct {
	base    int    // the newest that it still has
	lost    bool   // it does not have a newer one, though nobody took it out
	removed uint64 // newest that was taken out or has expired, which says nothing about a loss; 0 for none
}

// comparing asks for the checkpoints, newest first.
type comparing struct {
	question
	points    []checkpoint
	regressed bool
}

// compare walks back until a checkpoint is found as it was; as their distances grow like powers, this is a galloping
// search. info is nil when we may not ask for it.
func (c *comparing) compare(ctx context.Context, info *jetstream.StreamInfo) (comparison, error) {
	var r comparison
	for i := len(c.points) - 1; i >= 0; i-- {
		point := c.points[i]
		r.base = i
		if point.seq == 0 {
			return r, nil
		}
		if info != nil && point.seq > info.State.LastSeq {
			r.lost = true // numbers are never given back but by a loss
			continue
		}
		m, err := c.get(ctx, getRequest{Seq: point.seq})
		switch {
		case err != nil:
			return r, err
		case m == nil && c.regressed:
			r.lost = true
		case m == nil:
			r.removed = max(r.removed, point.seq)
		case hashID(m.header.Get(jetstream.MsgIDHeader)) == point.id:
			return r, nil
		default:
			r.lost = true // others have published since
		}
	}
	r.base = -1
	return r, nil
}

// confirmDelay is how long a new leader gets to come up to date before a loss is believed.
const confirmDelay = time.Second

// compare compares the stream with what it acknowledged. A loss in a cluster is believed at the second look only.
func (o Options) compare(ctx context.Context, js jetstream.JetStream, c *comparing, info *jetstream.StreamInfo) (comparison, *jetstream.StreamInfo, error) {
	r, err := c.compare(ctx, info)
	if err != nil || !r.lost || info == nil || info.Config.Replicas < 2 {
		return r, info, err
	}
	select {
	case <-time.After(confirmDelay):
	case <-ctx.Done():
		return r, info, ctx.Err()
	}
	if info, err = o.look(ctx, js); err != nil {
		return r, info, err
	}
	r, err = c.compare(ctx, info)
	return r, info, err
}

// verify takes what the comparison says. What an operator removes, with the stream or from it, is reported and not
// undone; what the stream lost by itself is sent again.
func (f *forwarder) verify(info *jetstream.StreamInfo, r comparison) {
	t := &f.tail
	if info != nil {
		created := info.Created.UnixNano()
		if t.created != 0 && t.created != created {
			f.streamRecreated(created)
			return
		}
		t.changed = t.changed || t.created != created
		t.created = created
	}
	regressed := t.regressed
	t.regressed = false
	removed := max(r.removed, t.gone)
	t.gone = 0
	switch {
	case r.lost:
		f.lost.Add(1)
		f.stream.doubtWait = 0
		f.log.Warn("the stream lost its newest messages; what is held here is sent again", "stream", f.options.Stream,
			"acknowledged", t.highest, "whole", t.pointAt(r.base).seq)
		f.rewindTo(t.pointAt(r.base).marks)
		if r.base < 0 {
			t.points = []checkpoint{{}}
		}
		t.cutTo(max(r.base, 0))
		t.whole = t.highest
		if info != nil && !regressed { // we have published nothing since the loss
			t.whole = info.State.LastSeq
		}
	case removed > t.toldRemoved && keepsAll(info):
		f.removed.Add(1)
		t.toldRemoved = removed
		f.log.Warn("messages that the stream had acknowledged were purged or deleted; they are not sent again",
			"stream", f.options.Stream, "message", removed)
	default:
		f.verified.Add(1)
	}
}

// keepsAll says whether a message that is gone was taken out by somebody, since the stream itself removes none.
func keepsAll(info *jetstream.StreamInfo) bool {
	if info == nil {
		return true
	}
	c := info.Config
	return c.Retention == jetstream.LimitsPolicy && c.MaxAge == 0 && c.Discard == jetstream.DiscardNew
}

func (t *tail) pointAt(i int) checkpoint {
	if i < 0 {
		return checkpoint{}
	}
	return t.points[i]
}

// streamRecreated begins anew with a stream that is another than before.
func (f *forwarder) streamRecreated(created int64) {
	f.recreated.Add(1)
	f.stream.doubtWait = 0
	f.log.Warn("the stream was made anew; what it had before is not sent again", "stream", f.options.Stream)
	var done [2]buffer.Seq
	for i := range f.lanes {
		done[i] = f.lanes[i].told
	}
	t := &f.tail
	if t.rewind || t.again != [2]buffer.Seq{} { // what was looked for in the stream before
		f.rewindTo(done)
	}
	t.created, t.whole, t.gone, t.points = created, 0, 0, []checkpoint{{marks: done}}
	t.cutTo(0)
	for _, s := range f.subjects {
		s.sure = false
	}
}

func (f *forwarder) rewindTo(marks [2]buffer.Seq) { f.tail.rewind, f.tail.back = true, marks }

// rewindHeld begins again behind the marks given, as far as records are still held. The stream is asked per subject what
// it has, as after a start.
func (f *forwarder) rewindHeld() {
	t := &f.tail
	if !t.rewind || f.asks > 0 || f.tasks.rejecting > 0 || len(f.flights) > 0 {
		return
	}
	for i := range f.lanes {
		l := &f.lanes[i]
		mark := f.store.PublishedUpTo(l.lane)
		next := mark + 1
		if t.back[i] < mark {
			records, err := f.store.Read(l.lane, t.back[i]+1, 1)
			if err != nil {
				f.status.read = err
				return
			}
			if len(records) > 0 {
				next = min(next, records[0].Seq)
			}
		}
		t.again[i] = 0
		if next <= mark {
			t.again[i] = next
		}
		*l = lane{lane: l.lane, next: next, told: mark, largest: guessedSize}
		f.rewound.Add(uint64(mark + 1 - next))
	}
	t.rewind, t.changed = false, true
	f.toAsk, f.runnable = [2]fifo[*subject]{}, [2]fifo[*subject]{}
	clear(f.subjects)
	clear(f.parked)
	clear(f.denied)
}
