package buffer

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// placed is a record and the segment that it was found in.
type placed struct {
	stored
	segment uint32
}

// search is a scan and the segment to run it on.
type search struct {
	segment *segment
	scan    scan
}

// searches plans to read a bucket of several segments: plan completes the scan of one, or says that there is nothing in
// it. The plan is of one moment: what is carried from one segment to another is in one of them.
func (b *Buffer) searches(limit int, plan func(s *segment, i info, q *scan) bool) []search {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var all []search
	for _, s := range b.segments {
		q := scan{limit: limit, room: maxReadBytes}
		if !s.newer && s.broken == nil && plan(s, b.info(s.Number), &q) {
			all = append(all, search{s, q})
		}
	}
	return all
}

// merge runs searches and returns what they find in the order of the numbers: what was carried lies in segments newer
// than its neighbours. It returns errGone when a segment was deleted meanwhile.
func (b *Buffer) merge(limit int, searches []search) ([]placed, error) {
	var all []placed
	last := ^Seq(0) // nothing behind it is wanted
	for i := range searches {
		s, q := searches[i].segment, &searches[i].scan
		if q.to = min(q.to, last); q.from > q.to {
			continue
		}
		_, err := s.collect(q)
		if err != nil && !unusable(err) {
			return nil, err
		}
		if err != nil {
			b.breakSegment(s, err)
			continue
		}
		b.closeUnused(s)
		for _, record := range q.found {
			all = append(all, placed{record, s.Number})
		}
		slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.Seq, b.Seq) })
		all = slices.CompactFunc(all, func(a, b placed) bool { return a.Seq == b.Seq })
		if enough := cut(all, limit); len(enough) < len(all) || len(enough) == limit {
			clear(all[len(enough):])
			all, last = enough, enough[len(enough)-1].Seq
		}
	}
	return all, nil
}

// cut keeps the first records: at most limit, and about as many bytes as one Read returns.
func cut(records []placed, limit int) []placed {
	room := maxReadBytes
	for i := range records {
		if i >= limit || room <= 0 {
			return records[:i]
		}
		room -= len(records[i].Data)
	}
	return records
}

func (b *Buffer) placedInQuarantine(from, to Seq, limit int) ([]placed, error) {
	return b.merge(limit, b.searches(limit, func(s *segment, i info, q *scan) bool {
		q.bucket, q.to = bucketID(Quarantine), min(s.Last, to)
		q.from = max(from, b.counters.quarantineFloor+1, i.quarantineLeft+1)
		if !i.keptForOthers { // most files need not be opened for a few numbers
			q.from = max(q.from, s.First)
		}
		q.skip = b.droppedFrom(s.Number)
		return i.quarantined > 0
	}))
}

// droppedFrom tells which records were dropped from the quarantine of a segment. The caller holds mu.
func (b *Buffer) droppedFrom(number uint32) func(Seq) bool {
	var gone map[Seq]bool
	for seq, of := range b.dropped {
		if of == number {
			if gone == nil {
				gone = make(map[Seq]bool)
			}
			gone[seq] = true
		}
	}
	return func(seq Seq) bool { return gone[seq] }
}

func (b *Buffer) readQuarantine(from Seq, limit int) ([]stored, error) {
	records, err := b.placedInQuarantine(from, ^Seq(0), limit)
	return unplaced(records), err
}

// readCarried returns the urgent records that were carried out of segments that had to go; they are older than all
// other urgent records.
func (b *Buffer) readCarried(from Seq, limit int) ([]stored, error) {
	searches := b.searches(limit, func(s *segment, i info, q *scan) bool {
		q.bucket, q.from, q.to = bucketCarried, max(from, i.urgentLeft+1), i.carriedLast
		return i.carriedLast >= from && !i.urgentGone
	})
	if len(searches) == 0 {
		return nil, nil
	}
	records, err := b.merge(limit, searches)
	return unplaced(records), err
}

func unplaced(records []placed) []stored {
	found := make([]stored, len(records))
	for i, record := range records {
		found[i] = record.stored
	}
	return found
}

// Drop removes records from quarantine for good; it returns when that is on disk. Numbers that are not in quarantine
// are no error.
func (b *Buffer) Drop(ctx context.Context, seqs ...Seq) error {
	return b.wait(ctx, func(tx *Tx) error {
		for _, seq := range seqs {
			found, err := tx.batch.inQuarantine(seq)
			if err != nil {
				return err
			}
			if found != nil {
				tx.batch.takeOut(*found)
				tx.batch.counters.dropped++
			}
		}
		return nil
	})
}

// ErrNotThere says that a record is not, or no longer, in quarantine.
var ErrNotThere = errors.New("not in quarantine")

// inQuarantine finds a record in quarantine, nil when it is not there.
func (bt *batch) inQuarantine(seq Seq) (*placed, error) {
	if seq > bt.buffer.counters.lastSeq || bt.get(dropKey(seq)) != nil {
		return nil, nil
	}
	found, err := bt.buffer.placedInQuarantine(seq, seq, 1)
	if err != nil || len(found) == 0 || found[0].Seq != seq {
		return nil, err
	}
	return &found[0], nil
}

// takeOut takes one record out of quarantine.
func (bt *batch) takeOut(found placed) {
	bt.uncount(found)
	bt.set(dropKey(found.Seq), encodeNumber(found.segment))
	bt.buffer.quarantineSince = -1
}

// uncount takes a record out of the numbers of the quarantine.
func (bt *batch) uncount(p placed) {
	size := uint64(len(p.Data))
	i := bt.infoOf(p.segment)
	i.quarantined -= min(i.quarantined, 1)
	i.quarantineBytes -= min(i.quarantineBytes, size)
	bt.setInfo(p.segment, i)
	bt.counters.quarantined -= min(bt.counters.quarantined, 1)
	bt.counters.quarantineBytes -= min(bt.counters.quarantineBytes, size)
}
