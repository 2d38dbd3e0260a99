package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// maxExcused is how often a segment in which a reader saw damage is believed to be whole when the check says so: memory
// mapped to a file fails when the disk does for a moment.
const maxExcused = 3

// How long a file that cannot even be opened or read keeps what comes after it waiting: the disk may come to itself.
const (
	maxTrouble      = time.Minute
	maxStartTrouble = 2 * time.Second
)

// salvageAtStart makes a damaged segment anew. If there is nothing to make it from it returns the damage.
func (b *Buffer) salvageAtStart(s *segment, damage error) error {
	err := b.remake(s, damage)
	for end := time.Now().Add(maxStartTrouble); errors.Is(err, errLater) && !s.Closed; err = b.remake(s, damage) {
		if time.Now().After(end) {
			return damage // it must not keep the gateway from starting
		}
		time.Sleep(maxStartTrouble / 20)
	}
	switch {
	case err == nil:
		return s.reopen()
	case errors.Is(err, ErrCorrupt):
		return damage
	}
	return err
}

// remake makes a damaged segment anew, for reading only. It returns ErrCorrupt when there is nothing to make it from,
// errNewer, or errLater.
func (b *Buffer) remake(s *segment, damage error) error {
	began := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	s.abandon(false)
	found, err := s.salvage()
	switch {
	case errors.Is(err, ErrCorrupt), errors.Is(err, errNewer):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errLater, err)
	}
	b.log.Error("buffer made a damaged segment anew", "file", filepath.Base(s.path), "values", found.values,
		"took", time.Since(began), "err", damage)
	size, err := fileSize(s.path)
	if err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	files, bytes := countAside(b.options.Dir)
	b.mu.Lock()
	s.size, s.rebuilt = size, &found
	b.damaged++
	b.aside, b.asideBytes = files, bytes
	b.mu.Unlock()
	return nil
}

// dropBroken makes the segments anew in which readers saw damage, or gives those up from which nothing can be made.
// Until that is done the marks stay, so that they do not pass the records in them as if those were published.
func (b *Buffer) dropBroken() {
	if b.astray != nil {
		return
	}
	b.keepMarks = true
	defer func() { b.keepMarks = false }()
	for _, s := range slices.Clone(b.segments) {
		b.mu.RLock()
		broken := s.broken
		b.mu.RUnlock()
		if broken == nil {
			continue
		}
		if err := b.repair(s, broken); err != nil && !s.stuck {
			s.stuck = true
			b.log.Error("buffer cannot repair a segment yet", "file", filepath.Base(s.path), "err", err)
		}
	}
}

func (b *Buffer) repair(s *segment, damage error) error {
	if s == b.head {
		if err := b.replaceHead(); err != nil {
			return err
		}
	}
	_ = s.close()
	if s.excused < maxExcused {
		if _, err := checkFile(s.path, s.sizes.format); err == nil {
			s.excused++
			b.mend(s)
			return nil
		}
	}
	err := b.remake(s, damage)
	switch {
	case err == nil:
		b.settle(s)
		b.mend(s)
		return nil
	case errors.Is(err, errNewer):
		damage = err
		if _, err := keepForNewer(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case !errors.Is(err, ErrCorrupt):
		if s.trouble.IsZero() {
			s.trouble = time.Now()
		}
		if time.Since(s.trouble) < maxTrouble {
			return err
		}
	}
	if err := b.lose(lostSegment{entry: s.entry, err: damage}); err != nil {
		return err
	}
	b.dropSegment(s)
	b.wakeReaders()
	return b.writeManifest()
}

// mend lets a segment be read again.
func (b *Buffer) mend(s *segment) {
	b.mu.Lock()
	s.broken, s.stuck, s.trouble = nil, false, time.Time{}
	b.mu.Unlock()
	b.wakeReaders()
}

func (b *Buffer) wakeReaders() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.appended != nil {
		close(b.appended)
		b.appended = nil
	}
}

// settle accounts for what a segment that was made anew has lost where no reader would miss it: in quarantine, and of
// the alarms that were carried into it.
func (b *Buffer) settle(s *segment) {
	err := b.commitOwn(func(tx *Tx) error {
		bt := tx.batch
		lost, err := bt.settleQuarantine(s)
		if err != nil {
			return err
		}
		carried, err := bt.settleCarried(s)
		if err != nil {
			return err
		}
		bt.announceLost(append(lost, carried...), causeDamage)
		if s.rebuilt.incomplete {
			there, first := s.numbers(s.First, s.Last), s.First
			for there[first] {
				first++
			}
			bt.announceLost([]Range{{Lane: Normal, First: first, Last: s.Last + lostHead}}, causeEnd)
		}
		return nil
	})
	if err != nil {
		b.log.Error("buffer cannot account for what a segment lost", "file", filepath.Base(s.path), "err", err)
		return
	}
	s.rebuilt = nil
}

// all returns the records of a bucket in order, without their data but with its size.
func (s *segment) all(bucket bucketID) (there []stored, bytes map[Seq]uint64, err error) {
	bytes = make(map[Seq]uint64)
	err = s.newest(bucket, func(r stored) bool {
		bytes[r.Seq] = uint64(len(r.Data))
		r.Data = nil
		there = append(there, r)
		return true
	})
	slices.Reverse(there)
	return there, bytes, err
}

// settleQuarantine counts what is left of the quarantine.
func (bt *batch) settleQuarantine(s *segment) ([]Range, error) {
	there, sizes, err := s.all(bucketID(Quarantine))
	if err != nil {
		return nil, err
	}
	c, i := &bt.counters, bt.infoOf(s.Number)
	floor := max(i.quarantineLeft, c.quarantineFloor)
	dropped := bt.buffer.droppedFrom(s.Number)
	i.quarantined, i.quarantineBytes = 0, 0
	var own []stored
	for _, r := range there {
		if r.Seq > floor && !dropped(r.Seq) {
			i.quarantined++
			i.quarantineBytes += sizes[r.Seq]
		}
		if r.Seq >= s.First {
			own = append(own, r)
		} else {
			i.keptForOthers = true
		}
	}
	bt.setInfo(s.Number, i)
	var records, bytes uint64
	for _, other := range bt.buffer.segments {
		i := bt.infoOf(other.Number)
		records += i.quarantined
		bytes += i.quarantineBytes
	}
	lost := c.quarantined - min(c.quarantined, records)
	c.lost += lost
	c.quarantined -= lost
	c.quarantineBytes = min(c.quarantineBytes, bytes)
	if lost == 0 {
		return nil, nil
	}
	var ranges []Range
	for _, g := range holes(Quarantine, own, s) {
		for seq, of := range bt.buffer.dropped {
			if of == s.Number && g.first <= seq && seq <= g.last {
				g.records -= min(g.records, 1)
			}
		}
		if g.records > 0 && g.last > floor {
			ranges = append(ranges, bt.buffer.exactly(g)...)
		}
	}
	if ranges == nil { // some that were carried here from older segments
		ranges = []Range{{Lane: Quarantine, First: floor + 1, Last: s.First - 1, Records: lost}}
	}
	return ranges, nil
}

// holes finds the runs of numbers of a lane of a segment in which records are missing.
func holes(lane Lane, there []stored, s *segment) (gaps []gap) {
	last := stored{Record: Record{Seq: s.First - 1}, ordinal: s.Starts[lane]}
	for _, next := range append(there, stored{Record: Record{Seq: s.Last + 1}, ordinal: s.Ends[lane] + 1}) {
		if next.ordinal > last.ordinal+1 {
			gaps = append(gaps, gap{
				lane: lane, first: last.Seq + 1, last: next.Seq - 1, before: last.ordinal, records: next.ordinal - last.ordinal - 1, lost: true,
			})
		}
		last = next
	}
	return gaps
}

// settleCarried makes gaps of the alarms that were carried into the segment and are lost. Their ordinals follow each
// other; how many they were is known.
func (bt *batch) settleCarried(s *segment) (ranges []Range, err error) {
	there, sizes, err := s.all(bucketCarried)
	if err != nil {
		return nil, err
	}
	c, i := &bt.counters, bt.infoOf(s.Number)
	if n := len(there); n > 0 && (there[n-1].Seq > i.carriedLast || uint64(n) > i.carried) { // what says so is lost
		i.carriedLast, i.carried, i.carriedBytes = max(i.carriedLast, there[n-1].Seq), max(i.carried, uint64(n)), 0
		for _, size := range sizes {
			i.carriedBytes += size
		}
		bt.setInfo(s.Number, i)
	}
	for _, g := range carriedHoles(there, i, c) {
		if g, ok := bt.unpublished(g); ok && g.last > i.urgentLeft && !i.urgentGone && bt.get(g.key()) == nil {
			bt.set(g.key(), g.encode())
			bt.gaps = append(bt.gaps, g)
			ranges = append(ranges, Range{Urgent, g.first, g.last, g.records})
		}
	}
	return ranges, nil
}

func carriedHoles(there []stored, i info, c *counters) (gaps []gap) {
	missing := i.carried - min(i.carried, uint64(len(there)))
	add := func(before uint64, first, last Seq, records uint64) {
		missing -= records
		gaps = append(gaps, gap{lane: Urgent, first: first, last: last, before: before, records: records, lost: true})
	}
	for at := 1; at < len(there); at++ {
		if a, b := there[at-1], there[at]; b.ordinal > a.ordinal+1 {
			add(a.ordinal, a.Seq+1, b.Seq-1, min(missing, b.ordinal-a.ordinal-1))
		}
	}
	n := len(there)
	switch {
	case missing == 0:
	case n == 0:
		add(c.done[Urgent], c.marks[Urgent]+1, i.carriedLast, missing)
	case there[n-1].Seq < i.carriedLast:
		add(there[n-1].ordinal, there[n-1].Seq+1, i.carriedLast, missing)
	default:
		before := there[0].ordinal - min(there[0].ordinal, missing+1)
		add(before, min(c.marks[Urgent]+1, there[0].Seq-1), there[0].Seq-1, missing)
	}
	return gaps
}
