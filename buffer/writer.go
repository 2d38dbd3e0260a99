package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// run is the writer: the only goroutine that changes files and committed state. Open starts it, Close waits for it.
func (b *Buffer) run() {
	defer close(b.stopped)
	defer b.died()
	var items []item
	timer := time.NewTimer(0)
	defer timer.Stop()
	tick := time.Now().Add(tidyInterval)
	for {
		b.beat()
		now := time.Now()
		b.checkNames(now)
		if !now.Before(tick) {
			tick = now.Add(tidyInterval)
			b.tick()
		}
		var next time.Time
		var ended bool
		items, next, ended = b.queue.take(items[:0], now, tick)
		if ended {
			b.tick()
			return
		}
		if len(items) > 0 {
			b.process(items)
			b.tidy()
			clear(items)
			tick = time.Now().Add(tidyInterval) // all was done just now
			continue
		}
		timer.Reset(time.Until(next))
		select {
		case <-b.queue.wake:
		case <-timer.C:
		}
	}
}

// died hands a panic over; deferred by run.
func (b *Buffer) died() {
	if b.options.Died == nil {
		return
	}
	if cause := recover(); cause != nil {
		b.options.Died(cause)
		panic(cause)
	}
}

// beat notes that the writer is alive: that it waits for nothing but one commit at most.
func (b *Buffer) beat() { b.alive.Store(int64(time.Since(b.opened))) }

// tick does what is due without anybody having appended.
func (b *Buffer) tick() {
	b.dropBroken()
	_ = b.commitOwn(func(*Tx) error { return nil }) // marks, or whether the disk works again; an error shows in Stats
	b.tidy()
}

// process commits items, in as many transactions as it takes, and calls back.
func (b *Buffer) process(items []item) {
	b.dropBroken()
	for len(items) > 0 {
		n := b.commit(items)
		b.queue.acknowledge(n)
		for i := range items[:n] {
			items[i].finish()
		}
		b.queue.acknowledged()
		items = items[n:]
	}
}

func (i *item) finish() {
	r := i.request
	r.outcome.Stored += i.outcome.Stored
	r.outcome.Duplicates += i.outcome.Duplicates
	if r.err == nil {
		r.err = i.err
	}
	if r.left--; r.left == 0 && r.done != nil {
		r.done(r.outcome, r.err)
	}
}

// commit makes the first items durable and returns how many it has dealt with. When the segment fails, the same groups
// are built again, from the same state and with the same numbers, in a new one.
func (b *Buffer) commit(items []item) int {
	n, err := b.try(items)
	if err != nil {
		n, err = b.try(items)
	}
	if err == nil {
		return n
	}
	for i := range items {
		items[i].outcome, items[i].err = Outcome{}, err
	}
	return len(items)
}

// commitOwn commits one group of the buffer's own at once. It is for the writer.
func (b *Buffer) commitOwn(build func(tx *Tx) error) error {
	if b.astray != nil {
		return b.astray
	}
	if err := b.rollover(); err != nil && b.head == nil {
		return err
	}
	items := [1]item{{group: Group{Build: build}, internal: true}}
	b.commit(items[:])
	return items[0].err
}

// try builds a batch of the first items and writes it. After an error nothing has changed, but the segment is retired.
func (b *Buffer) try(items []item) (n int, err error) {
	if b.astray != nil {
		return 0, b.astray
	}
	if b.head == nil {
		if err := b.replaceHead(); err != nil {
			b.fail(err)
			return 0, err
		}
	}
	bt := &b.batch
	bt.start(b, b.head)
	bt.account()
	bt.publish()
	for ; n < len(items) && !bt.full(); n++ {
		i := &items[n]
		if b.full && !i.internal {
			i.outcome, i.err = Outcome{}, ErrFull
			continue
		}
		i.outcome, i.err = bt.build(i)
	}
	if !bt.changed() {
		return n, nil
	}
	bt.seal()
	began := time.Now()
	b.beat()
	defer b.beat()
	if err := b.head.write(bt, b.commitHook); err != nil {
		err = fmt.Errorf("commit to %s: %w", filepath.Base(b.head.path), err)
		b.retire(err)
		return 0, err
	}
	b.apply(bt, time.Since(began))
	return n, nil
}

// apply makes a batch that is on disk the committed state.
func (b *Buffer) apply(bt *batch, took time.Duration) {
	size, err := fileSize(bt.segment.path)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range bt.order {
		b.setState(key, bt.overlay[key])
	}
	b.counters = bt.counters
	if !b.staleManifest {
		b.forgotten = b.forgotten[:0]
	}
	b.damages = slices.Clone(b.damages[bt.damages:])
	bt.segment.Last, bt.segment.Ends = bt.counters.lastSeq, bt.counters.stored
	if err == nil {
		bt.segment.size = size
	}
	for _, mark := range bt.marks {
		if bt.fresh[mark.place()] == mark { // not one that was forgotten since
			b.recent.add(mark)
		}
	}
	b.commits++
	b.commitBytes += bt.segment.written
	bt.segment.written = 0
	b.commitTime += took
	b.lastCommit = time.Now()
	b.failing = nil
	for lane := range b.oldest {
		if b.counters.stored[lane] > b.counters.done[lane] && b.oldest[lane] < 0 {
			b.oldest[lane] = bt.at
		}
	}
	if bt.arrivals && b.appended != nil {
		close(b.appended)
		b.appended = nil
	}
}

// setState changes the committed state and what is derived from it.
func (b *Buffer) setState(key string, value []byte) {
	if value == nil {
		delete(b.state, key)
	} else {
		b.state[key] = value
	}
	if !isInternal(key) {
		return
	}
	switch key[:len(prefixGap)] {
	case prefixDiscard:
		b.discarded[key[len(prefixDiscard):]], _ = binary.Uvarint(value)
	case prefixGap:
		delete(b.gaps, key)
		if g, err := decodeGap(key, value); err == nil {
			b.gaps[key] = g
		}
	case prefixDrop:
		delete(b.dropped, dropSeq(key))
		if value != nil {
			b.dropped[dropSeq(key)] = decodeNumber(value)
		}
	}
}

// fail notes why the last commit failed.
func (b *Buffer) fail(err error) {
	b.mu.Lock()
	first := b.failing == nil
	b.failing = err
	b.mu.Unlock()
	if first {
		b.log.Error("buffer cannot write", "err", err)
	}
}

// retire gives up the segment whose commit failed: whatever that commit left in the file, it is read only up to the
// last commit before.
func (b *Buffer) retire(err error) {
	old := b.head
	b.mu.Lock()
	b.head = nil
	old.Closed = true
	old.void = old.Commits == 0 && len(b.segments) > 1 // nothing in it but a copy of the state, and what failed
	b.mu.Unlock()
	b.fail(err)
	old.mu.Lock()
	old.writing = false
	old.abandon(errors.Is(err, ErrCorrupt))
	old.mu.Unlock()
	if err := b.writeManifest(); err != nil {
		b.log.Error("buffer cannot write its manifest", "err", err)
	}
}

// replaceHead begins a new segment. The old one, if any, stays in use if that fails and leaves nothing behind.
func (b *Buffer) replaceHead() error {
	e := entry{
		Number: b.lastNumber + 1, First: b.counters.lastSeq + 1,
		Starts: b.counters.stored, Created: b.running(),
		Last: b.counters.lastSeq, Ends: b.counters.stored,
	}
	if held := (len(b.segments)); held > 0 {
		e.Number = max(e.Number, b.segments[held-1].Number+1)
	}
	b.beat()
	s, err := createSegment(b.options.Dir, e, b.sizes(), b.state)
	old := b.head
	if errors.Is(err, errInDoubt) { // a restart may find the new one, and take the old one to end where it ends now
		b.mu.Lock()
		b.head = nil
		if old != nil {
			old.Closed = true
		}
		b.mu.Unlock()
	}
	if err != nil {
		return errors.Join(err, b.closeFormer(old))
	}
	b.lastNumber = e.Number
	b.mu.Lock()
	b.segments = append(b.segments, s)
	b.head = s
	if old != nil {
		old.Closed = true
	}
	b.mu.Unlock()
	if err := b.writeManifest(); err != nil { // a restart finds the segment by its name
		b.log.Error("buffer cannot write its manifest", "err", err)
	}
	return b.closeFormer(old)
}

// closeFormer closes the file of a segment that is not the head any more.
func (b *Buffer) closeFormer(old *segment) error {
	if old == nil || old == b.head {
		return nil
	}
	return old.close()
}

// rollover begins a new segment when the newest is large or old enough.
func (b *Buffer) rollover() error {
	if b.head == nil {
		return nil
	}
	hasRecords := b.head.Last >= b.head.First
	large := b.head.data-b.head.base >= b.options.SegmentSize
	old := hasRecords && b.running()-b.head.Created >= b.options.SegmentAge
	if !large && !old || time.Since(b.rolloverFailed) < failedPause {
		return nil
	}
	err := b.replaceHead()
	if err == nil {
		b.rolloverFailed = time.Time{}
		return nil
	}
	if b.rolloverFailed.IsZero() {
		b.log.Error("buffer cannot begin a new segment; the newest takes what it can", "err", err)
	}
	b.rolloverFailed = time.Now()
	return err
}

func (b *Buffer) writeManifest() error {
	b.beat()
	m := manifest{Format: manifestFormat, Epoch: b.epoch}
	for _, s := range b.segments {
		if !s.void {
			m.Segments = append(m.Segments, s.entry)
		}
	}
	write := func() error { return m.write(b.options.Dir) }
	hook := b.manifestHook
	if hook == nil {
		hook = func(write func() error) error { return write() }
	}
	err := hook(write)
	b.staleManifest = err != nil
	if err != nil {
		b.manifestFailed = time.Now()
		return err
	}
	b.removeVoid()
	return nil
}

// refreshManifest tries again to write the manifest.
func (b *Buffer) refreshManifest() {
	if b.staleManifest && time.Since(b.manifestFailed) >= failedPause {
		_ = b.writeManifest() // logged when it failed first
	}
}

// removeVoid deletes segments that the manifest does not name any more.
func (b *Buffer) removeVoid() {
	for _, s := range b.segments {
		if s.void {
			b.dropSegment(s)
			if err := s.remove(); err != nil {
				b.log.Error("buffer cannot delete a segment", "file", filepath.Base(s.path), "err", err)
			}
		}
	}
}

// removeSegment deletes a segment whose records are not needed any more. A segment that the manifest names although
// its file is gone is no loss if its records were done with.
func (b *Buffer) removeSegment(s *segment) {
	b.dropSegment(s) // first, so that a Read that finds it gone does not find it again
	err := s.remove()
	if err = errors.Join(err, b.writeManifest()); err != nil {
		b.log.Error("buffer cannot delete a segment", "file", filepath.Base(s.path), "err", err)
	}
}

// dropSegment takes a segment off the list, and with the next commit what the state says of it.
func (b *Buffer) dropSegment(s *segment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := make([]*segment, 0, len(b.segments))
	for _, other := range b.segments {
		if other != s {
			kept = append(kept, other)
		}
	}
	b.segments = kept
	b.forgotten = append(b.forgotten, s.Number)
}
