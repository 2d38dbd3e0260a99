package buffer

import (
	"errors"
	"fmt"
	"path/filepath"
)

// lostHead is how many numbers are left out when the newest segment is lost: more than could have been in it, so that
// none is used twice.
const lostHead = 1 << 24

// skip leaves out the numbers that a lost newest segment may have given to records.
func (b *Buffer) skip(l *lostSegment) {
	b.counters.stored = [3]uint64{
		max(b.counters.stored[0], l.Starts[0]), max(b.counters.stored[1], l.Starts[1]), max(b.counters.stored[2], l.Starts[2]),
	}
	if !l.newest || l.Closed {
		return
	}
	l.Last = max(l.First-1, b.counters.lastSeq) + lostHead
	l.Ends = l.Starts
	b.counters.lastSeq = l.Last
}

// lose accounts for a segment that cannot be used and puts its file aside: the records in it that were not published
// are a gap that the marks pass by themselves.
func (b *Buffer) lose(l lostSegment) error {
	c := &b.counters
	i := b.info(l.Number)
	released := l.Closed && (c.done[Urgent] >= l.Ends[Urgent] || i.urgentGone) && c.done[Normal] >= l.Ends[Normal]
	if released && errors.Is(l.err, ErrCorrupt) && i.quarantined == 0 {
		if size, err := fileSize(filepath.Join(b.options.Dir, l.fileName())); err == nil && size == 0 {
			return nil // was being deleted
		}
	}
	newer := errors.Is(l.err, errNewer)
	var records uint64
	err := b.commitOwn(func(tx *Tx) error {
		var ranges []Range
		records, ranges = tx.batch.loseSegment(l.entry)
		cause := causeSegment
		if newer {
			cause = causeNewer
		}
		tx.batch.announceLost(ranges, cause)
		return nil
	})
	if err != nil {
		return err
	}
	if newer {
		b.log.Error("buffer keeps a segment for a newer version", "file", l.fileName()+suffixNewer, "first", l.First, "last", l.Last,
			"unpublished", records, "err", l.err)
		return nil
	}
	b.mu.Lock()
	b.damaged += max(1, records)
	b.mu.Unlock()
	name, err := putAside(filepath.Join(b.options.Dir, l.fileName()))
	files, bytes := countAside(b.options.Dir)
	b.mu.Lock()
	b.aside, b.asideBytes = files, bytes
	b.mu.Unlock()
	b.log.Error("buffer lost a segment", "file", l.fileName(), "kept", filepath.Base(name),
		"first", l.First, "last", l.Last, "unpublished", records, "err", l.err)
	return err
}

// loseSegment makes the unpublished records of a segment a gap and returns how many they are, and all that is lost.
func (bt *batch) loseSegment(e entry) (records uint64, ranges []Range) {
	i := bt.infoOf(e.Number)
	for lane := Urgent; lane < Quarantine; lane++ {
		if lane == Urgent && i.urgentGone {
			continue // they are in other segments
		}
		before := max(e.Starts[lane], bt.counters.done[lane])
		g := gap{lane: lane, first: max(e.First, bt.counters.marks[lane]+1), last: e.Last, before: before, lost: true}
		if e.Ends[lane] > before {
			g.records = e.Ends[lane] - before
		}
		known, err := decodeGap(g.key(), bt.get(g.key()))
		if g.first > g.last || err == nil && known.lost && known.last >= g.last {
			continue
		}
		bt.swallow(&g)
		records += g.records
		bt.set(g.key(), g.encode())
		if g.records > 0 || e.Last-e.First >= lostHead-1 {
			ranges = append(ranges, Range{lane, g.first, g.last, g.records})
		}
	}
	if i.quarantined > 0 {
		ranges = append(ranges, Range{Quarantine, e.First, e.Last, i.quarantined})
	}
	for _, g := range carriedHoles(nil, i, &bt.counters) {
		if g.first <= g.last && bt.get(g.key()) == nil && g.last > i.urgentLeft && !i.urgentGone {
			bt.set(g.key(), g.encode())
			bt.gaps = append(bt.gaps, g)
			ranges = append(ranges, Range{Urgent, g.first, g.last, g.records})
		}
	}
	bt.counters.lost += min(bt.counters.quarantined, i.quarantined)
	bt.counters.quarantined -= min(bt.counters.quarantined, i.quarantined)
	bt.counters.quarantineBytes -= min(bt.counters.quarantineBytes, i.quarantineBytes)
	i.quarantined, i.quarantineBytes = 0, 0
	bt.setInfo(e.Number, i)
	return records, ranges
}

// swallow takes the gaps inside a new one into it.
func (bt *batch) swallow(whole *gap) {
	bt.eachGap(func(g gap) {
		if g.lane == whole.lane && g.first >= whole.first && g.last <= whole.last && bt.get(g.key()) != nil {
			whole.kept += g.kept
			bt.set(g.key(), nil)
		}
	})
}

// breakSegment notes that a segment cannot be used, for the writer to put it aside.
func (b *Buffer) breakSegment(s *segment, err error) {
	b.mu.Lock()
	first := s.broken == nil
	if first && unusable(err) {
		s.broken = err
	}
	b.mu.Unlock()
	if first {
		b.log.Error("buffer cannot read a segment", "file", filepath.Base(s.path), "err", err)
		if unusable(err) && !b.options.ReadOnly {
			_ = b.queue.own(func(*Tx) error { return nil }, nil) // the writer is to repair it now
		}
	}
}

// damage is what a reader found wrong in a lane.
type damage struct {
	gap
	found []byte // the record as it is on disk; nil if there is nothing
}

// reportDamage has damage accounted for, once, and what was found put into quarantine.
func (b *Buffer) reportDamage(d damage) {
	if d.lane >= Quarantine {
		return
	}
	key := d.key()
	b.mu.Lock()
	_, known := b.gaps[key]
	known = known || b.reported[key]
	if !known {
		b.reported[key] = true
		b.damaged += d.records
		b.damages = append(b.damages, d)
	}
	b.mu.Unlock()
	if known {
		return
	}
	b.log.Error("buffer found records damaged", "first", d.first, "last", d.last, "records", d.records)
}

// account makes gaps of the damage that readers found. It comes before the marks move: what lies behind the damage may
// be published already.
func (bt *batch) account() {
	b := bt.buffer
	b.mu.RLock()
	damages := b.damages
	b.mu.RUnlock()
	var ranges []Range
	for _, d := range damages {
		var ok bool
		if d.gap, ok = bt.unpublished(d.gap); !ok || bt.get(d.key()) != nil {
			continue
		}
		if d.found != nil {
			bt.append(Quarantine, Mark{}, d.found)
			bt.counters.fromLanes++
			d.kept = d.records
		}
		bt.set(d.key(), d.encode())
		bt.gaps = append(bt.gaps, d.gap)
		ranges = append(ranges, b.exactly(d.gap)...)
	}
	bt.damages = len(damages)
	bt.announceLost(ranges, causeDamage)
}

// unpublished cuts off the part of a gap that was published before it was damaged, which is no loss, and tells whether
// anything is left.
func (bt *batch) unpublished(g gap) (gap, bool) {
	mark, done := bt.counters.marks[g.lane], bt.counters.done[g.lane]
	if g.last <= mark {
		return g, false
	}
	if g.lost && g.before < done {
		published := done - g.before
		if published >= g.records {
			return g, false
		}
		g.first, g.before, g.records = max(g.first, mark+1), done, g.records-published
	}
	return g, true
}

// The causes that Lost is given.
const (
	causeDamage  = "damage"        // of records or of pages of a file
	causeSegment = "segment"       // of a file as a whole, or it is missing
	causeNewer   = "newer_version" // wrote the file: its records wait there until that version runs again
	causeEnd     = "end_unknown"   // of the newest file: what it held at its end cannot be known
)

// announceLost tells Lost, and appends what it has to say.
func (bt *batch) announceLost(ranges []Range, cause string) {
	b := bt.buffer
	if b.options.Lost == nil || len(ranges) == 0 {
		return
	}
	var notices [][]byte
	if err := runBuild(func(*Tx) error { notices = b.options.Lost(ranges, cause); return nil }, nil); err != nil {
		b.log.Error("buffer lost records unannounced", "cause", cause, "err", err)
	}
	for _, notice := range notices {
		bt.append(Urgent, Mark{}, notice)
	}
}

// exactly names the numbers of a gap without those around it that belong to other lanes.
func (b *Buffer) exactly(g gap) []Range {
	whole := []Range{{g.lane, g.first, g.last, g.records}}
	if uint64(g.last-g.first)+1 == g.records || g.last-g.first >= lostHead {
		return whole
	}
	var there map[Seq]bool
	for _, s := range b.segments {
		if s.First <= g.first && g.first <= s.Last {
			there = s.numbers(g.first, g.last)
		}
	}
	var runs []Range
	var records uint64
	for seq := g.first; seq <= g.last; seq++ {
		if _, gone := b.dropped[seq]; there[seq] || gone {
			continue
		}
		if n := len(runs); n > 0 && runs[n-1].Last+1 == seq {
			runs[n-1].Last++
			runs[n-1].Records++
		} else {
			runs = append(runs, Range{g.lane, seq, seq, 1})
		}
		records++
	}
	switch {
	case len(runs) == 0:
		return whole
	case records != g.records: // some are of other lanes that are lost too
		return []Range{{g.lane, runs[0].First, runs[len(runs)-1].Last, g.records}}
	}
	return runs
}

// eachGap calls f with the gaps that are committed, and those of account.
func (bt *batch) eachGap(f func(g gap)) {
	for _, g := range bt.buffer.gaps {
		f(g)
	}
	for _, g := range bt.gaps {
		f(g)
	}
}

// errLane is returned for a lane that there is not, or that the call is not for.
func errLane(lane Lane) error { return fmt.Errorf("no such lane here: %d", lane) }
