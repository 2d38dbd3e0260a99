package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
)

// Buffer is a durable queue in a folder. All methods may be called at the same time, but not from Build, done or
// Expired unless they say so.
type Buffer struct {
	options Options
	log     *slog.Logger
	lock    *os.File
	epoch   uint64
	opened  time.Time
	before  time.Duration // running time when it was opened
	queue   *queue
	stopped chan struct{} // closed when the writer has ended
	alive   atomic.Int64  // when the writer last turned, since opened

	// mu guards what follows. Only the writer changes it (but for wanted and the damage that readers find), so
	// the writer reads it without the lock.
	mu          sync.RWMutex
	segments    []*segment // oldest first
	head        *segment   // the newest, if it can be written; nil after a failure
	state       map[string][]byte
	counters    counters
	gaps        map[string]gap // of state, by key
	dropped     map[Seq]uint32 // of state: no longer in quarantine, and the segment
	discarded   map[string]uint64
	oldest      [2]time.Duration
	failing     error
	commits     uint64
	commitBytes uint64
	commitTime  time.Duration
	lastCommit  time.Time
	appended    chan struct{} // nil while nobody waits
	wanted      [2]Seq        // marks that are not committed yet
	position    []byte        // see SetPosition; nil when none was set since the start
	reported    map[string]bool
	damages     []damage // found by readers, not accounted for yet
	damaged     uint64
	aside       int // files that were put aside
	asideBytes  int64
	lastRead    [2]stored // the last record that Read returned
	closed      bool

	// The writer's own.
	batch           batch
	recent          *recentMarks
	forgotten       []uint32 // segments that are gone and that state still knows
	seenMarks       [2]Seq
	lastNumber      uint32
	full            bool
	overLimits      bool
	staleManifest   bool      // what is on disk is not what should be
	manifestFailed  time.Time // when
	keepMarks       bool
	rolloverFailed  time.Time
	namesChecked    time.Time
	astray          error                           // why nothing may be written, see checkNames
	quarantineSince time.Duration                   // when the oldest record in quarantine was stored; negative: unknown
	commitHook      func(commit func() error) error // for tests: stands around bbolt's commit
	manifestHook    func(write func() error) error  // for tests: stands around the writing of the manifest
}

var _ io.Closer = (*Buffer)(nil)

// Open opens the buffer in a folder, or begins one. Damaged files are renamed and reported, and do not keep it from
// opening; only a folder that is in use or cannot be written does.
func Open(options Options) (*Buffer, error) {
	options, err := options.complete()
	if err != nil {
		return nil, fmt.Errorf("open buffer: %w", err)
	}
	b := &Buffer{
		options: options, log: options.Log, opened: time.Now(),
		queue: newQueue(options.CommitDelay), stopped: make(chan struct{}),
		state: make(map[string][]byte), gaps: make(map[string]gap), dropped: make(map[Seq]uint32), discarded: make(map[string]uint64),
		reported: make(map[string]bool), recent: newRecentMarks(), quarantineSince: -1, namesChecked: time.Now(),
	}
	prepare := b.open
	if options.ReadOnly {
		prepare = b.openToRead
	}
	if err := prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open buffer: %w", err), b.closeFiles())
	}
	if options.ReadOnly {
		close(b.stopped)
		return b, nil
	}
	go b.run() // Close waits for it
	return b, nil
}

func (b *Buffer) open() error {
	dir := b.options.Dir
	if err := makeDir(dir); err != nil {
		return err
	}
	if err := CheckDir(dir); err != nil {
		return err
	}
	var err error
	if b.lock, err = lockDir(dir); err != nil {
		return err
	}
	if err := removeTemporary(dir); err != nil {
		return err
	}
	lost, err := b.restore()
	if err != nil {
		return err
	}
	if err := b.writeHead(lost); err != nil {
		return err
	}
	if b.head != nil {
		if err := b.adopt(); err != nil {
			return err
		}
	}
	if b.failing == nil {
		if err := b.clearOrphans(); err != nil {
			b.log.Error("buffer cannot tidy its folder", "err", err)
		}
	}
	b.square()
	b.forgetUnknown() // not before: what was in quarantine in a lost segment is accounted for
	b.restoreMarks()
	b.findOldests()
	return nil
}

// openToRead is open without a change to the folder.
func (b *Buffer) openToRead() error {
	if _, err := os.Stat(b.options.Dir); err != nil {
		return err
	}
	var err error
	if b.lock, err = lockDirShared(b.options.Dir); err != nil {
		return err
	}
	if _, err := b.restore(); err != nil {
		return err
	}
	if n := len(b.segments); n > 0 {
		newest := b.segments[n-1]
		b.checkCounters(newest)
		newest.Last, newest.Ends = b.counters.lastSeq, b.counters.stored
	}
	b.findOldests()
	return nil
}

// restore finds the segments and reads the state; it returns the segments that cannot be used.
func (b *Buffer) restore() (lost []lostSegment, err error) {
	entries, err := b.findSegments()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b.segments = append(b.segments, newSegment(b.options.Dir, e, b.sizes()))
		b.lastNumber = max(b.lastNumber, e.Number)
	}
	if lost, err = b.openNewest(); err != nil {
		return nil, err
	}
	b.aside, b.asideBytes = countAside(b.options.Dir)
	b.restoreState()
	if len(entries) > 0 && b.state[keyCounters] == nil { // the state is lost, but what was before the oldest segment is still known to be done with
		for lane := range b.counters.done {
			b.counters.done[lane] = max(b.counters.done[lane], entries[0].Starts[lane])
			b.counters.stored[lane] = max(b.counters.stored[lane], b.counters.done[lane])
		}
		b.counters.published = b.counters.done[Urgent] + b.counters.done[Normal] // as good as any guess
	}
	return lost, nil
}

// findStarts finds where segments begin of which nothing says so: behind the newest records of those before them.
func findStarts(segments []*segment) {
	for i, s := range segments {
		if !s.guessed || s.newer {
			continue
		}
		var before *segment
		starts := s.Starts
		if i > 0 {
			before = segments[i-1]
			starts = before.Starts
		}
		for lane := range starts {
			starts[lane] = s.begins(Lane(lane), before, starts[lane])
		}
		if s.Starts = starts; before != nil {
			before.Ends = starts
		}
		for lane, start := range starts {
			s.Ends[lane] = max(s.Ends[lane], start)
		}
	}
}

// begins returns the ordinal of the newest record of a lane before the segment, at least as large as the one given.
func (s *segment) begins(lane Lane, before *segment, least uint64) uint64 {
	newest := func(r stored) bool {
		least = max(least, r.ordinal)
		return false
	}
	if before != nil && before.newest(bucketID(lane), newest) == nil && least > before.Starts[lane] {
		return least
	}
	_ = s.newest(bucketID(lane), func(r stored) bool { // its own first record says it too
		least = r.ordinal - 1
		return true
	})
	return least
}

func (b *Buffer) findOldests() {
	for lane := range b.oldest {
		b.findOldest(Lane(lane))
	}
}

func (b *Buffer) sizes() sizes {
	return sizes{segment: b.options.SegmentSize, alloc: b.options.allocSize(), format: cmp.Or(b.options.format, segmentFormat)}
}

// findSegments reads the manifest, or if that cannot be used takes the files that are there.
func (b *Buffer) findSegments() ([]entry, error) {
	dir := b.options.Dir
	files, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	m, err := readManifest(dir)
	switch {
	case err == nil:
		b.epoch = m.Epoch + 1
		return b.complete(m.Segments, files), nil
	case errors.Is(err, fs.ErrNotExist) && len(files) == 0:
		b.epoch = 1
		return nil, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrCorrupt):
		b.log.Error("buffer takes its segments from the folder", "err", err)
		b.damaged++
		if b.options.ReadOnly {
			return b.describe(files), nil
		}
		if _, err := putAside(filepath.Join(dir, manifestName)); err != nil {
			return nil, err
		}
		return b.describe(files), nil
	default:
		return nil, err
	}
}

// complete adds files that the manifest does not know yet: made, but not used before the process ended.
func (b *Buffer) complete(known, files []entry) []entry {
	newest := uint32(0)
	for _, e := range known {
		newest = max(newest, e.Number)
	}
	unused := slices.DeleteFunc(files, func(e entry) bool { return e.Number <= newest })
	return closeEntries(append(known, b.describe(unused)...))
}

// describe completes entries that come from file names with what is in the files.
func (b *Buffer) describe(files []entry) []entry {
	for i, e := range files {
		s := newSegment(b.options.Dir, e, b.sizes())
		if s.reopen() == nil {
			files[i].Starts, files[i].Created = s.onDisk.Starts, s.onDisk.Created
		} else {
			files[i].guessed = true
			if i > 0 {
				files[i].Starts, files[i].Created = files[i-1].Starts, files[i-1].Created
			}
		}
		_ = s.close()
	}
	return closeEntries(files)
}

// closeEntries says where segments end that were not closed in order: where the next begins.
func closeEntries(entries []entry) []entry {
	for i := range len(entries) - 1 {
		if e, next := &entries[i], entries[i+1]; !e.Closed || e.Last >= next.First {
			e.Last, e.Ends, e.Closed = next.First-1, next.Starts, true
		}
	}
	return entries
}

// lostSegment is a segment that should be there and cannot be used.
type lostSegment struct {
	entry
	newest bool
	err    error
}

// openNewest opens the two newest segments, the last for writing, and looks whether the others are there. Those that
// cannot be used are put aside and returned.
func (b *Buffer) openNewest() (lost []lostSegment, err error) {
	last := len(b.segments) - 1
	all := slices.Clone(b.segments)
	kept := b.segments[:0]
	for i, s := range b.segments {
		s.size, err = fileSize(s.path)
		if err == nil && s.size == 0 {
			err = fmt.Errorf("%w: missing or empty", ErrCorrupt)
		}
		if s.writing = i == last && !s.Closed && !b.options.ReadOnly; err == nil && (i >= last-1 || b.options.Safe) {
			err = s.reopen()
		}
		if err != nil && isDamage(err) && !b.options.ReadOnly {
			err = b.salvageAtStart(s, err)
		}
		switch {
		case errors.Is(err, errLater) && s.Closed:
			s.broken = err
		case errors.Is(err, errNewer):
			lost = append(lost, lostSegment{s.entry, i == last, err})
			if !b.options.ReadOnly {
				if _, err := keepForNewer(s.path); err != nil { // before the manifest forgets it
					return nil, err
				}
				continue
			}
			s.newer = true
		case err != nil && !isDamage(err):
			return nil, err
		case err != nil:
			lost = append(lost, lostSegment{s.entry, i == last, err})
			continue
		case s.writing:
			b.head = s
		}
		if i < last-1 {
			s.closeIdle() // opened only to be checked
		}
		kept = append(kept, s)
	}
	clear(b.segments[len(kept):])
	b.segments = kept
	findStarts(all)
	for i := range lost {
		for _, s := range all {
			if s.Number == lost[i].Number {
				lost[i].entry = s.entry
			}
		}
	}
	return lost, nil
}

// unusable tells that nothing can be read of a file as it is.
func unusable(err error) bool { return isDamage(err) || errors.Is(err, errNewer) }

// isDamage tells errors that are about what is in a file from those that have another cause and may go away.
func isDamage(err error) bool {
	var number syscall.Errno
	switch {
	case errors.Is(err, errLater):
		return false
	case errors.Is(err, ErrCorrupt), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EIO):
		return true
	case errors.Is(err, errNewer), errors.Is(err, bolterrors.ErrTimeout), errors.Is(err, errGone):
		return false
	}
	return !errors.As(err, &number)
}

// restoreState reads the newest complete snapshot and what the commits since changed.
func (b *Buffer) restoreState() {
	from := len(b.segments)
	for from > 0 {
		from--
		clear(b.state)
		if b.segments[from].newer {
			continue
		}
		err := b.segments[from].loadSnapshot(b.setState)
		if err == nil {
			break
		}
		b.damaged++
		b.log.Error("buffer takes the state from an older segment", "file", filepath.Base(b.segments[from].path), "err", err)
	}
	for _, s := range b.segments[from:] {
		if s.newer {
			continue
		}
		damaged, err := s.replay(b.setState)
		if damaged > 0 || err != nil {
			b.damaged += max(1, uint64(damaged))
			b.log.Error("buffer lost changes of its state", "file", filepath.Base(s.path), "entries", damaged, "err", err)
		}
	}
	if value := b.state[keyCounters]; value != nil && !b.counters.decode(value) {
		b.log.Error("buffer lost its counters")
	}
	b.before = b.counters.running
	b.wanted = b.counters.marks
	for lane := range b.oldest {
		b.oldest[lane] = -1
	}
}

// forgetUnknown finds what the state says of segments that are not there.
func (b *Buffer) forgetUnknown() {
	known := make(map[uint32]bool)
	for _, s := range b.segments {
		known[s.Number] = true
	}
	for key := range b.state {
		if len(key) == len(prefixInfo)+4 && key[:len(prefixInfo)] == prefixInfo {
			if number := decodeNumber([]byte(key[len(prefixInfo):])); !known[number] {
				b.forgotten = append(b.forgotten, number)
			}
		}
	}
}

// writeHead continues the newest segment or begins one, and accounts for lost segments.
func (b *Buffer) writeHead(lost []lostSegment) error {
	if n := len(b.segments); n > 0 {
		newest := b.segments[n-1]
		b.counters.lastSeq = max(b.counters.lastSeq, newest.First-1)
		if b.head != nil || newest.rebuilt != nil && !newest.Closed {
			b.checkCounters(newest)
			newest.Last, newest.Ends = b.counters.lastSeq, b.counters.stored
		}
		if b.head == nil && newest.rebuilt != nil && !newest.Closed { // what was made anew is read only
			newest.Closed, newest.Commits = true, newest.rebuilt.commits
			if newest.rebuilt.incomplete {
				b.counters.lastSeq += lostHead
			}
		}
	}
	for i := range lost {
		b.skip(&lost[i])
	}
	var err error
	if b.head == nil {
		err = b.replaceHead()
	} else {
		err = b.writeManifest()
	}
	if err == nil && b.staleManifest {
		err = b.writeManifest()
	}
	if noRoom(err) && len(lost) == 0 { // what is there can be delivered; the writer tries again
		b.fail(err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, l := range lost {
		if err := b.lose(l); err != nil {
			return err
		}
	}
	for _, s := range b.segments {
		if s.rebuilt != nil {
			b.settle(s)
		}
	}
	return nil
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// checkCounters compares the counters with the newest records: if the log lost its end, no number may be used twice.
func (b *Buffer) checkCounters(head *segment) {
	c := &b.counters
	for lane := Urgent; lane <= Quarantine; lane++ {
		known, fresh, size := c.stored[lane], uint64(0), uint64(0)
		err := head.newest(bucketID(lane), func(r stored) bool {
			c.lastSeq = max(c.lastSeq, r.Seq)
			c.stored[lane] = max(c.stored[lane], r.ordinal)
			if r.ordinal <= known {
				return false
			}
			fresh, size = fresh+1, size+uint64(len(r.Data))
			return true
		})
		if lane == Quarantine && fresh > 0 {
			c.moved += fresh
			c.quarantined += fresh
			c.quarantineBytes += size
			i := b.info(head.Number)
			i.quarantined += fresh
			i.quarantineBytes += size
			b.setState(infoKey(head.Number), i.encode())
		}
		if err != nil {
			b.log.Error("buffer cannot check its counters", "file", filepath.Base(head.path), "err", err)
		}
	}
}

// restoreMarks reads the marks of the newest records in the last two segments.
func (b *Buffer) restoreMarks() {
	type seen struct {
		seq  Seq
		mark Mark
	}
	var found []seen
	for _, s := range b.segments[max(0, len(b.segments)-2):] {
		if s.newer {
			continue
		}
		for lane := Urgent; lane <= Quarantine; lane++ {
			n := 0
			err := s.newest(bucketID(lane), func(r stored) bool {
				if r.Mark != (Mark{}) && r.Seq <= s.Last {
					found = append(found, seen{r.Seq, r.Mark})
				}
				n++
				return n < RecentMarks
			})
			if err != nil {
				b.log.Error("buffer lost marks", "file", filepath.Base(s.path), "err", err)
			}
		}
	}
	slices.SortFunc(found, func(a, b seen) int { return cmp.Compare(a.seq, b.seq) })
	for _, f := range found {
		b.recent.add(f.mark)
	}
}

// running is the time that processes had the buffer open; the wall clock has no part in it.
func (b *Buffer) running() time.Duration { return b.before + time.Since(b.opened) }

// Close commits what is queued and closes the files.
func (b *Buffer) Close() error {
	b.queue.close()
	<-b.stopped
	b.mu.Lock()
	b.closed = true
	if b.appended != nil {
		close(b.appended)
		b.appended = nil
	}
	b.mu.Unlock()
	return b.closeFiles()
}

func (b *Buffer) closeFiles() error {
	var errs []error
	for _, s := range b.segments {
		s.mu.Lock()
		s.gone = true
		s.mu.Unlock()
		errs = append(errs, s.close())
	}
	if b.lock != nil {
		errs = append(errs, b.lock.Close())
		b.lock = nil
	}
	return errors.Join(errs...)
}
