package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// A segment that a newer version wrote cannot be read after a downgrade. It is taken out of the ring under another name,
// the records in it are skipped, and a notice says so. The version that can read it, or a later one, takes the records
// in again as new ones: behind those that were stored meanwhile, since their numbers are in the past.

// suffixNewer is added to the name of a segment that waits for a newer version.
const suffixNewer = ".newer"

// adopt takes in the records of the segments that waited for a version that can read them.
func (b *Buffer) adopt() error {
	paths, err := filepath.Glob(filepath.Join(b.options.Dir, "*.seg"+suffixNewer))
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, path := range paths {
		if err := b.adoptSegment(path); err != nil {
			return err
		}
	}
	return nil
}

func (b *Buffer) adoptSegment(path string) error {
	name := filepath.Base(path)
	e, ok := parseFileName(name[:len(name)-len(suffixNewer)])
	if !ok {
		return nil
	}
	e.Last = ^Seq(0) // all that is in it
	s := newSegment(b.options.Dir, e, b.sizes())
	s.path = path
	err := s.reopen()
	switch {
	case errors.Is(err, errNewer):
		b.log.Warn("buffer keeps a segment for a newer version", "file", name, "err", err)
		return nil
	case err == nil:
		err = b.takeIn(s)
		_ = s.close()
	}
	if err == nil {
		return b.adopted(s)
	}
	if !isDamage(err) { // a full disk, above all: at the next start it goes on where it was
		b.log.Error("buffer cannot take in a segment yet", "file", name, "err", err)
		return nil
	}
	kept, asideErr := putAside(path)
	b.log.Error("buffer cannot take in a segment", "file", name, "kept", filepath.Base(kept), "err", err)
	return asideErr
}

// adopted removes a segment whose records are all in the newest one.
func (b *Buffer) adopted(s *segment) error {
	b.log.Info("buffer took in a segment of a newer version", "file", filepath.Base(s.path))
	if err := errors.Join(removeIfThere(s.path), syncDir(b.options.Dir)); err != nil {
		return err
	}
	return b.commitOwn(func(tx *Tx) error {
		tx.batch.set(adoptKey(s), nil)
		return nil
	})
}

// adoptKey is the key of how far a segment was taken in: bucket and number of the last record.
func adoptKey(s *segment) string { return prefixAdopt + string(s.uuid[:]) }

// takeIn appends what a segment holds and was not dealt with, as far as that was not done before.
func (b *Buffer) takeIn(s *segment) error {
	past, err := pastOf(s)
	if err != nil {
		return err
	}
	from := b.state[adoptKey(s)]
	for i, bucket := range [...]bucketID{bucketCarried, bucketID(Urgent), bucketID(Normal), bucketID(Quarantine)} {
		q := scan{bucket: bucket, from: 1, to: ^Seq(0) - 1, skip: past.dealtWith(bucket)}
		if len(from) == 9 {
			if int(from[0]) > i {
				continue
			}
			if int(from[0]) == i {
				q.from = Seq(binary.BigEndian.Uint64(from[1:])) + 1
			}
		}
		for done := false; !done; {
			q.found, q.damaged, q.limit, q.room = nil, nil, maxBatchRecords, b.options.chunkBytes()
			if done, err = s.collect(&q); err != nil {
				return err
			}
			if n := len(q.damaged); n > 0 {
				b.damaged += uint64(n)
				b.log.Error("buffer found records damaged", "file", filepath.Base(s.path), "records", n)
			}
			if err := b.takeInChunk(s, i, &q); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Buffer) takeInChunk(s *segment, step int, q *scan) error {
	if len(q.found) == 0 {
		return nil
	}
	if hook := b.options.interrupt; hook != nil {
		if err := hook(); err != nil {
			return fmt.Errorf("%w: %w", errLater, err)
		}
	}
	if err := b.commitOwn(func(tx *Tx) error {
		for _, record := range q.found {
			tx.batch.append(q.lane(), record.Mark, record.Data)
		}
		progress := binary.BigEndian.AppendUint64([]byte{byte(step)}, uint64(q.found[len(q.found)-1].Seq))
		tx.batch.set(adoptKey(s), progress)
		return nil
	}); err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	_ = b.rollover() // logged there
	return nil
}

// past is what a segment's own state says of the records in it.
type past struct {
	counters counters
	state    map[string][]byte
}

func pastOf(s *segment) (past, error) {
	p := past{state: make(map[string][]byte)}
	set := func(key string, value []byte) {
		if value == nil {
			delete(p.state, key)
		} else {
			p.state[key] = value
		}
	}
	if err := s.loadSnapshot(set); err != nil && !errors.Is(err, ErrCorrupt) {
		return p, err
	}
	if _, err := s.replay(set); err != nil {
		return p, err
	}
	p.counters.decode(p.state[keyCounters]) // without them all is taken in: the far side knows what it has
	return p, nil
}

// dealtWith tells which records of a bucket were published, given up or dropped when the segment was last written.
func (p past) dealtWith(bucket bucketID) func(Seq) bool {
	if bucket == bucketID(Quarantine) {
		return func(seq Seq) bool {
			return seq <= p.counters.quarantineFloor || p.state[dropKey(seq)] != nil
		}
	}
	lane := Lane(bucket)
	if bucket == bucketCarried {
		lane = Urgent
	}
	return func(seq Seq) bool {
		return seq <= p.counters.marks[lane] || p.state[gap{lane: lane, first: seq}.key()] != nil
	}
}

// keepForNewer takes the file of a newer version out of the ring.
func keepForNewer(path string) (string, error) {
	name := path + suffixNewer
	if _, err := os.Lstat(name); err == nil {
		return "", fmt.Errorf("%s is there already", name)
	}
	return name, errors.Join(os.Rename(path, name), syncDir(filepath.Dir(path)))
}
