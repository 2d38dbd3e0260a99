package buffer

import (
	"bytes"
	"context"
	"errors"
	"time"
)

// Appended returns a channel that is closed at the next commit that adds records to Urgent or Normal, and by Close.
func (b *Buffer) Appended() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.appended == nil {
		b.appended = make(chan struct{})
	}
	return b.appended
}

// Published says that all records of a lane up to and including upTo are stored on the far side. It returns at
// once; the mark is on disk with the next commit, at the latest after a second. Repeatable.
func (b *Buffer) Published(lane Lane, upTo Seq) {
	if lane >= Quarantine {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted[lane] = max(b.wanted[lane], min(upTo, b.counters.lastSeq))
}

// PublishedUpTo returns the mark of a lane: what Published said, or where the buffer gave records up.
func (b *Buffer) PublishedUpTo(lane Lane) Seq {
	if lane >= Quarantine {
		return 0
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return max(b.wanted[lane], b.counters.marks[lane])
}

// SetPosition remembers where the far side is: how its own end can be recognised after a restart. It is committed in
// the same transaction as the marks that Published sets after it, never later. The slice must not be changed after.
func (b *Buffer) SetPosition(position []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.position = position
}

// Position returns what SetPosition was given last, over restarts too as far as it was committed; nil at first.
func (b *Buffer) Position() []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.position != nil {
		return b.position
	}
	return b.state[keyPosition]
}

// Reject moves one record of Urgent or Normal to quarantine with the data given (which says why); it returns when
// that is on disk. The record itself counts as dealt with once Published passes it. Repeatable until then.
func (b *Buffer) Reject(ctx context.Context, record Record, data []byte) error {
	if record.Lane >= Quarantine {
		return errLane(record.Lane)
	}
	g := gap{lane: record.Lane, first: record.Seq, last: record.Seq, records: 1, kept: 1}
	return b.wait(ctx, func(tx *Tx) error {
		bt := tx.batch
		if bt.get(g.key()) != nil || g.last <= bt.counters.marks[g.lane] { // dealt with before
			return nil
		}
		if tx.Append(Quarantine, data); tx.err == nil {
			bt.counters.fromLanes++
			bt.set(g.key(), g.encode())
		}
		return nil
	})
}

// wait has the writer build one group at once and waits until it is on disk.
func (b *Buffer) wait(ctx context.Context, build func(tx *Tx) error) error {
	if b.options.ReadOnly {
		return ErrReadOnly
	}
	result := make(chan error, 1)
	if err := b.queue.own(build, func(_ Outcome, err error) { result <- err }); err != nil {
		return err
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publish moves the marks of a batch to where Published wants them, and past records that are lost.
func (bt *batch) publish() {
	b := bt.buffer
	if b.keepMarks {
		return
	}
	b.mu.RLock()
	wanted, position := b.wanted, b.position
	b.mu.RUnlock()
	if position != nil && !bytes.Equal(position, b.state[keyPosition]) {
		bt.set(keyPosition, position)
	}
	for lane := Urgent; lane < Quarantine; lane++ {
		if wanted[lane] > bt.counters.marks[lane] {
			if ordinal, ok := b.ordinalAt(lane, wanted[lane]); ok {
				bt.advance(lane, wanted[lane], ordinal, &bt.counters.published)
			}
		}
		for bt.passLost(lane) {
		}
	}
}

// passLost moves the mark past a gap that begins right behind it.
func (bt *batch) passLost(lane Lane) bool {
	var next gap
	bt.eachGap(func(g gap) {
		if g.lane == lane && g.lost && g.before == bt.counters.done[lane] && g.last > bt.counters.marks[lane] {
			next = g
		}
	})
	if next.last == 0 {
		return false
	}
	bt.advance(lane, next.last, next.before+next.records, &bt.counters.published)
	return true
}

// advance moves a mark to a sequence number, and to the ordinal of the newest record up to there. What it passes is
// added to total, but for what is not there or was moved to quarantine.
func (bt *batch) advance(lane Lane, mark Seq, ordinal uint64, total *uint64) {
	c := &bt.counters
	ordinal = max(ordinal, c.done[lane])
	passed := ordinal - c.done[lane]
	bt.eachGap(func(g gap) {
		if g.lane != lane || g.last <= c.marks[lane] || g.last > mark {
			return
		}
		passed -= min(passed, g.records)
		c.lost += g.records - min(g.records, g.kept)
		bt.away(g.first, g.records)
		bt.set(g.key(), nil)
	})
	c.marks[lane], c.done[lane] = mark, ordinal
	*total += passed
}

// away notes that records before the marks were not published, so that they do not count as held.
func (bt *batch) away(seq Seq, records uint64) {
	segments := bt.buffer.segments
	for i := len(segments) - 1; i >= 0; i-- {
		if segments[i].First <= seq || i == 0 {
			info := bt.infoOf(segments[i].Number)
			info.away += records
			bt.setInfo(segments[i].Number, info)
			return
		}
	}
}

// ordinalAt returns the ordinal of the newest record of a lane up to seq, unless a segment must be repaired first. It is
// for the writer.
func (b *Buffer) ordinalAt(lane Lane, seq Seq) (ordinal uint64, ok bool) {
	if seq >= b.counters.lastSeq {
		return b.counters.stored[lane], true
	}
	ordinal = b.counters.done[lane]
	for i := len(b.segments) - 1; i >= 0; i-- {
		s := b.segments[i]
		if s.First > seq {
			continue
		}
		if seq >= s.Last || s.newer {
			ordinal = max(ordinal, s.Ends[lane])
		} else if found, _, err := s.around(bucketID(lane), seq); err == nil {
			ordinal = max(ordinal, found, s.Starts[lane])
		} else {
			b.readFailed(s, err)
			return 0, false
		}
		break
	}
	if lane == Urgent {
		carried, ok := b.carriedOrdinal(seq)
		return max(ordinal, carried), ok
	}
	return ordinal, true
}

// carriedOrdinal is ordinalAt for the urgent records that were carried.
func (b *Buffer) carriedOrdinal(seq Seq) (ordinal uint64, ok bool) {
	for _, s := range b.segments {
		if b.info(s.Number).carried == 0 {
			continue
		}
		found, _, err := s.around(bucketCarried, seq)
		if err != nil {
			b.readFailed(s, err)
			return 0, false
		}
		ordinal = max(ordinal, found)
	}
	return ordinal, true
}

func (b *Buffer) readFailed(s *segment, err error) {
	if !errors.Is(err, errGone) {
		b.breakSegment(s, err)
	}
}

// info returns the committed info of a segment. It is for the writer, or under mu.
func (b *Buffer) info(number uint32) info { return decodeInfo(b.state[infoKey(number)]) }

// findOldest notes when the oldest unpublished record of a lane was stored, as well as that is known without a search:
// negative when there is none. It is for the writer.
func (b *Buffer) findOldest(lane Lane) {
	since := time.Duration(-1)
	if b.counters.stored[lane] > b.counters.done[lane] {
		since = b.sinceUnpublished(lane)
	}
	b.mu.Lock()
	b.oldest[lane] = since
	b.mu.Unlock()
}

func (b *Buffer) sinceUnpublished(lane Lane) time.Duration {
	if lane == Urgent {
		for _, s := range b.segments {
			if b.info(s.Number).carriedLast > b.counters.marks[lane] {
				if _, next, err := s.around(bucketCarried, b.counters.marks[lane]); err == nil && next.Seq > 0 {
					return next.at
				}
			}
		}
	}
	for _, s := range b.segments {
		if s.Ends[lane] <= b.counters.done[lane] {
			continue
		}
		if _, next, err := s.around(bucketID(lane), b.counters.marks[lane]); err == nil && next.Seq > 0 {
			return next.at
		}
		return s.Created
	}
	return b.running()
}
