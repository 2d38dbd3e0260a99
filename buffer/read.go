package buffer

import (
	"cmp"
	"errors"
	"slices"
	"sort"
	"sync"
)

// scans keeps the lists that scans fill, between calls.
var scans = sync.Pool{New: func() any { return new(scan) }}

// Read returns up to limit records of a lane with a Seq of at least from, in order; none when there is no more. It
// returns fewer than limit when they are large. Damaged records are put into quarantine and left out. The records are
// the caller's.
func (b *Buffer) Read(lane Lane, from Seq, limit int) ([]Record, error) {
	if lane > Quarantine {
		return nil, errLane(lane)
	}
	if limit <= 0 {
		return nil, nil
	}
	for {
		records, err := b.read(lane, from, limit)
		if !errors.Is(err, errGone) {
			return records, err
		}
		// A segment was deleted after it was chosen; what is still wanted of it was carried to another.
	}
}

func (b *Buffer) read(lane Lane, from Seq, limit int) ([]Record, error) {
	b.mu.RLock()
	closed := b.closed
	b.mu.RUnlock()
	if closed {
		return nil, ErrClosed
	}
	if lane == Quarantine {
		records, err := b.readQuarantine(from, limit)
		return plain(records), err
	}
	q := scans.Get().(*scan)
	defer q.release()
	q.limit, q.room = limit, maxReadBytes
	r := reading{buffer: b, lane: lane, scan: q}
	parts := b.parts(lane, from)
	if lane == Urgent && b.carriedBroken(from) {
		return nil, nil
	}
	if lane == Urgent { // after parts: what is carried in between is then found twice, not missed
		carried, err := b.readCarried(from, limit)
		if err != nil {
			return nil, err
		}
		if b.carriedBroken(from) {
			return nil, nil
		}
		for _, record := range carried {
			q.found = append(q.found, record)
			q.room -= len(record.Data)
			from = record.Seq + 1
		}
	}
	for _, p := range parts {
		if len(q.found) >= limit || q.room <= 0 {
			break
		}
		whole, err := r.part(p, from)
		if err != nil {
			return nil, err
		}
		if !whole && !b.options.ReadOnly {
			break
		}
	}
	r.finish()
	return plain(q.found), nil
}

// carriedBroken tells whether alarms that come before all others are in a segment that must be repaired first.
func (b *Buffer) carriedBroken(from Seq) bool {
	if b.options.ReadOnly {
		return false
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.ContainsFunc(b.segments, func(s *segment) bool {
		i := b.info(s.Number)
		return s.broken != nil && i.carriedLast >= from && !i.urgentGone
	})
}

func (q *scan) release() {
	clear(q.found)
	clear(q.damaged)
	*q = scan{found: q.found[:0], damaged: q.damaged[:0]}
	scans.Put(q)
}

func plain(found []stored) []Record {
	if len(found) == 0 {
		return nil
	}
	records := make([]Record, len(found))
	for i := range found {
		records[i] = found[i].Record
	}
	return records
}

// part is what there is to read of one segment at one moment.
type part struct {
	segment *segment
	last    Seq
	start   uint64 // ordinal of the lane's newest record before it
	end     uint64 // ordinal of its newest
	left    Seq    // urgent records up to here were carried away
}

// parts lists the segments that may hold records of a lane from a number on.
func (b *Buffer) parts(lane Lane, from Seq) []part {
	b.mu.RLock()
	defer b.mu.RUnlock()
	begin := sort.Search(len(b.segments), func(i int) bool { return b.segments[i].First > from })
	parts := make([]part, 0, min(8, len(b.segments)))
	for _, s := range b.segments[max(0, begin-1):] {
		if s.newer || s.Ends[lane] == s.Starts[lane] || s.Last < from {
			continue
		}
		if s.broken != nil {
			if b.options.ReadOnly {
				continue
			}
			break // what comes after it must wait until it is repaired
		}
		p := part{segment: s, last: s.Last, start: s.Starts[lane], end: s.Ends[lane]}
		if lane == Urgent {
			i := b.info(s.Number)
			if p.left = i.urgentLeft; i.urgentGone {
				continue
			}
		}
		parts = append(parts, p)
	}
	return parts
}

// reading is one Read over several segments. Records carry ordinals, so that it notices what is missing.
type reading struct {
	buffer  *Buffer
	lane    Lane
	scan    *scan
	damages []damage
}

// part reads one segment. One that cannot be used is left to the writer; what comes after it must wait.
func (r *reading) part(p part, from Seq) (whole bool, err error) {
	q := r.scan
	found, damaged := len(q.found), len(q.damaged)
	q.bucket, q.from, q.to = bucketID(r.lane), max(from, p.segment.First, p.left+1), p.last
	begin := q.from
	done, err := p.segment.collect(q)
	switch {
	case err != nil && !unusable(err):
		return false, err
	case err != nil:
		clear(q.found[found:])
		q.found, q.damaged = q.found[:found], q.damaged[:damaged]
		r.buffer.breakSegment(p.segment, err)
		return false, nil
	}
	r.buffer.closeUnused(p.segment)
	last, known := stored{Record: Record{Seq: begin - 1}, ordinal: p.start}, true
	if begin != p.segment.First {
		last, known = r.buffer.readBefore(r.lane, begin)
	}
	r.check(last, known, q.found[found:], q.damaged[damaged:], p, done)
	return true, nil
}

// check compares the ordinals of what was found with what should be there. Where damaged records lie between two
// intact ones, the room between their ordinals is theirs.
func (r *reading) check(last stored, known bool, found, damaged []stored, p part, done bool) {
	missing := func(next Seq, ordinal uint64) {
		between := uint64(0)
		for len(damaged) > 0 && damaged[0].Seq < next {
			d := damaged[0]
			damaged = damaged[1:]
			g := gap{lane: r.lane, first: d.Seq, last: d.Seq, records: 1}
			if known {
				between++
				g.lost, g.before = true, last.ordinal+between-1
			}
			r.damages = append(r.damages, damage{g, slices.Clone(d.Data)})
			last.Seq = d.Seq
		}
		if known && ordinal > last.ordinal+between+1 {
			g := gap{lane: r.lane, first: last.Seq + 1, last: next - 1, lost: true}
			g.before, g.records = last.ordinal+between, ordinal-last.ordinal-between-1
			r.damages = append(r.damages, damage{gap: g})
		}
	}
	for _, record := range found {
		missing(record.Seq, record.ordinal)
		last, known = record, true
	}
	if done {
		missing(p.last+1, p.end+1)
	}
}

// finish remembers where the next Read goes on, and reports what was damaged.
func (r *reading) finish() {
	b := r.buffer
	if n := len(r.scan.found); n > 0 {
		last := r.scan.found[n-1]
		b.mu.Lock()
		b.lastRead[r.lane] = stored{Record: Record{Seq: last.Seq}, ordinal: last.ordinal}
		b.mu.Unlock()
	}
	for _, d := range r.damages {
		b.reportDamage(d)
	}
}

// readBefore returns the record before from if it was the last that Read returned, or the last that is done with.
func (b *Buffer) readBefore(lane Lane, from Seq) (last stored, known bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if mark := b.counters.marks[lane]; mark+1 == from {
		return stored{Record: Record{Seq: mark}, ordinal: b.counters.done[lane]}, true
	}
	last = b.lastRead[lane]
	return last, last.Seq > 0 && last.Seq+1 == from
}

// closeUnused closes the closed segments that were not read for the longest time, when too many are open.
func (b *Buffer) closeUnused(just *segment) {
	b.mu.RLock()
	var open []*segment
	for _, s := range b.segments {
		if s != b.head && s != just && s.used.Load() > 0 {
			open = append(open, s)
		}
	}
	b.mu.RUnlock()
	if len(open) < maxOpenSegments {
		return
	}
	slices.SortFunc(open, func(a, b *segment) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	for _, s := range open[:len(open)-maxOpenSegments+1] {
		s.closeIdle()
	}
}
