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
	var records uint64
	err := b.commitOwn(func(tx *Tx) error {
		records = tx.batch.loseSegment(l.entry)
		return nil
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.damaged += max(1, records)
	b.mu.Unlock()
	if errors.Is(l.err, errNewer) {
		return nil
	}
	name, err := putAside(filepath.Join(b.options.Dir, l.fileName()))
	b.log.Error("buffer lost a segment", "file", l.fileName(), "kept", filepath.Base(name),
		"first", l.First, "last", l.Last, "unpublished", records, "err", l.err)
	return err
}

// loseSegment makes the unpublished records of a segment a gap and returns how many they are.
func (bt *batch) loseSegment(e entry) (records uint64) {
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
	}
	bt.counters.lost += min(bt.counters.quarantined, i.quarantined)
	bt.counters.quarantined -= min(bt.counters.quarantined, i.quarantined)
	bt.counters.quarantineBytes -= min(bt.counters.quarantineBytes, i.quarantineBytes)
	i.quarantined, i.quarantineBytes = 0, 0
	bt.setInfo(e.Number, i)
	return records
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

// dropBroken puts aside the segments that readers could not open. Until that is done the marks stay, so that they do not
// pass the records in them as if those were published.
func (b *Buffer) dropBroken() {
	if b.astray != nil {
		return
	}
	b.keepMarks = true
	defer func() { b.keepMarks = false }()
	for _, s := range b.segments {
		b.mu.RLock()
		broken := s.broken
		b.mu.RUnlock()
		if broken == nil || s == b.head || !s.Closed {
			continue
		}
		if err := b.lose(lostSegment{entry: s.entry, err: broken}); err != nil {
			if b.failing == nil {
				b.log.Error("buffer cannot put a segment aside", "file", filepath.Base(s.path), "err", err)
			}
			continue
		}
		_ = s.close()
		b.dropSegment(s)
		if err := b.writeManifest(); err != nil {
			b.log.Error("buffer cannot write its manifest", "err", err)
		}
	}
}

// breakSegment notes that a segment cannot be used, for the writer to put it aside.
func (b *Buffer) breakSegment(s *segment, err error) {
	b.mu.Lock()
	first := s.broken == nil
	if first && isDamage(err) {
		s.broken = err
	}
	b.mu.Unlock()
	if first {
		b.log.Error("buffer cannot read a segment", "file", filepath.Base(s.path), "err", err)
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
	for _, d := range damages {
		if d.last > bt.counters.marks[d.lane] { // what is published already is no loss
			if d.found != nil {
				bt.append(Quarantine, Mark{}, d.found)
				bt.counters.fromLanes++
				d.kept = d.records
			}
			bt.set(d.key(), d.encode())
			bt.gaps = append(bt.gaps, d.gap)
		}
	}
	bt.damages = len(damages)
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
