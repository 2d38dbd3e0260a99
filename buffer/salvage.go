package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// salvageChunk is about how many bytes one transaction of a salvage writes.
const salvageChunk = 4 << 20

// errNothing says that nothing in a damaged file is known to be intact.
var errNothing = fmt.Errorf("%w: nothing in it can be used", ErrCorrupt)

// salvaged is what became of a damaged segment.
type salvaged struct {
	values     int
	commits    uint64 // the number of the newest log entry
	incomplete bool   // of a segment that was not closed: the end may be missing
}

// salvage makes the file of a segment anew from what is intact in it, and in what of it was put aside before. The
// damaged file is kept under another name; at every moment one of the two is there to begin again from.
func (s *segment) salvage() (found salvaged, err error) {
	paths, err := s.remains()
	if err != nil {
		return found, err
	}
	var carvers []*carver
	for i, path := range paths {
		pages, file, err := openPages(path)
		if isTrouble(err) {
			return found, err // what is in it may be all there is
		}
		if err != nil {
			continue // there may be another
		}
		defer func() { _ = file.Close() }()
		carvers = append(carvers, newCarver(pages, i, s.entry, s.sizes.format))
	}
	pieces, err := s.collectPieces(carvers)
	if err != nil {
		return found, err
	}
	found = s.judge(paths, carvers, pieces)
	name := s.path + temporary
	err = guard(func() error { return s.rebuild(name, carvers, pieces) })
	if err == nil {
		err = s.replace(name)
	}
	if err != nil {
		return found, errors.Join(fmt.Errorf("salvage %s: %w", filepath.Base(s.path), err), removeIfThere(name))
	}
	return found, nil
}

// isTrouble tells errors of the disk or the system, which may pass, from those about what is in a file.
func isTrouble(err error) bool {
	var number syscall.Errno
	return errors.As(err, &number) && !errors.Is(err, fs.ErrNotExist)
}

// remains lists the file and what of it was put aside before, if it is there.
func (s *segment) remains() ([]string, error) {
	var paths []string
	if size, err := fileSize(s.path); err != nil {
		return nil, err
	} else if size > 0 {
		paths = append(paths, s.path)
	}
	aside, err := filepath.Glob(s.path + "*" + suffixAside)
	return append(paths, aside...), err
}

// collectPieces returns what belongs to the segment.
func (s *segment) collectPieces(carvers []*carver) ([]piece, error) {
	uuid := s.UUID
	for _, c := range carvers {
		known := c.identify()
		if c.newer != nil {
			return nil, c.newer
		}
		if known && uuid == [16]byte{} {
			uuid = c.uuid
		}
	}
	var pieces []piece
	for _, c := range carvers {
		c.uuid = uuid
		pieces = append(pieces, c.carve()...)
	}
	pieces = slices.DeleteFunc(pieces, func(p piece) bool { return !s.holds(p) })
	s.uuid = uuid
	if pieces = s.committed(carvers, sortPieces(pieces)); len(pieces) == 0 {
		return nil, errNothing
	}
	return pieces, nil
}

// committed leaves out what a commit that was never completed left in the newest segment. That can be told when both
// meta pages are whole, so that it is known which commit was the last, and the log entry of that one is there.
func (s *segment) committed(carvers []*carver, pieces []piece) []piece {
	if s.Closed || len(carvers) != 1 || carvers[0].metas != 2 || carvers[0].meta.Format == 0 || carvers[0].meta.Anew {
		return pieces
	}
	last := carvers[0].tx - min(carvers[0].tx, txOfHead)
	i := slices.IndexFunc(pieces, func(p piece) bool { return p.bucket == bucketLog && p.key == last })
	if i < 0 {
		return pieces
	}
	value, err := carvers[0].pages.read(pieces[i].at, pieces[i].size)
	if err != nil {
		return pieces
	}
	var c counters
	known := false
	if changes, err := unsealBytes(place{s.uuid, bucketLog, last}, value); err == nil {
		readChanges(changes, func(key string, value []byte) { known = known || key == keyCounters && c.decode(value) })
	}
	return slices.DeleteFunc(pieces, func(p piece) bool {
		return known && (p.bucket <= bucketID(Quarantine) && Seq(p.key) > c.lastSeq || p.bucket == bucketLog && p.key > last)
	})
}

// holds tells whether something may be in the segment, and does not come from the commit for which it was retired.
func (s *segment) holds(p piece) bool {
	seq := Seq(p.key)
	before := !s.Closed || seq <= s.Last
	switch p.bucket {
	case bucketID(Urgent), bucketID(Normal):
		return seq >= s.First && before
	case bucketID(Quarantine):
		return before
	case bucketCarried:
		return seq < s.First
	case bucketLog:
		return !s.Closed || s.Commits == 0 || p.key <= s.Commits
	}
	return true
}

// judge says how complete it is what was found of the last commits.
func (s *segment) judge(paths []string, carvers []*carver, pieces []piece) salvaged {
	found := salvaged{values: len(pieces)}
	for _, p := range pieces {
		if p.bucket == bucketLog {
			found.commits = max(found.commits, p.key)
		}
	}
	if s.Closed {
		return found
	}
	var tx uint64
	for _, c := range carvers {
		if !c.meta.Anew {
			tx = max(tx, c.tx)
		}
	}
	if tx > 0 && found.commits+txOfHead >= tx {
		return found
	}
	found.incomplete = true
	for _, path := range paths { // the log lost its end; not so perhaps the records
		if recordsAreWhole(path, s.sizes.format) {
			found.incomplete = false
		}
	}
	return found
}

// txOfHead is the number of bbolt's transaction that completed a new file; each commit after it has one.
const txOfHead = 2

func recordsAreWhole(path string, known int) bool {
	pages, file, err := openPages(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	c := &check{pages: pages, known: known, only: true}
	return c.run() == nil && len(c.damaged) == 0
}

// rebuild writes a file with all pieces, under another name.
func (s *segment) rebuild(name string, carvers []*carver, pieces []piece) error {
	if err := removeIfThere(name); err != nil {
		return err
	}
	var file *os.File // bbolt closes it
	db, err := s.openFile(name, false, &file)
	if err != nil {
		return err
	}
	db.NoSync = true // but for the end
	err = db.Update(s.putHead)
	for len(pieces) > 0 && err == nil {
		n, bytes := 0, 0
		for ; n < len(pieces) && bytes < salvageChunk; n++ {
			bytes += pieces[n].size
		}
		err = db.Update(func(tx *bolt.Tx) error { return putPieces(tx, carvers, pieces[:n]) })
		pieces = pieces[n:]
	}
	if err == nil {
		err = db.Sync()
	}
	return errors.Join(err, db.Close())
}

// putHead makes the buckets, and the meta as it was when the segment was made.
func (s *segment) putHead(tx *bolt.Tx) error {
	e := s.entry
	e.Last, e.Ends, e.Closed, e.Commits = e.First-1, e.Starts, false, 0
	return putHead(tx, meta{Format: s.sizes.format, UUID: s.uuid, Anew: true, entry: e})
}

func putPieces(tx *bolt.Tx, carvers []*carver, pieces []piece) error {
	var key [8]byte
	for _, p := range pieces {
		i := slices.IndexFunc(carvers, func(c *carver) bool { return c.number == p.file })
		value, err := carvers[i].pages.read(p.at, p.size)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint64(key[:], p.key)
		bucket := tx.Bucket(bucketNames[p.bucket])
		bucket.FillPercent = 1
		if err := bucket.Put(key[:], slices.Clone(value)); err != nil {
			return err
		}
	}
	return nil
}

// replace puts a complete file in the place of the damaged one.
func (s *segment) replace(name string) error {
	if _, err := putAside(s.path); err != nil {
		return err
	}
	if err := os.Rename(name, s.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}
