package buffer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

const segmentFormat = 1

// bucketID names a bucket of a segment in checksums; the number is part of the format.
type bucketID uint8

// The first three are the lanes.
const (
	bucketCarried bucketID = iota + 3 // urgent records of segments that had to go, under their own numbers
	bucketSnapshot
	bucketLog
	bucketMeta
)

var bucketNames = [...][]byte{
	Urgent:         []byte("urgent"),
	Normal:         []byte("normal"),
	Quarantine:     []byte("quarantine"),
	bucketCarried:  []byte("carried"),
	bucketSnapshot: []byte("snap"),
	bucketLog:      []byte("log"),
	bucketMeta:     []byte("meta"),
}

// What is in the meta bucket: the meta as JSON, and its CRC-32C, which files of the first builds do not have. Every later
// format has both, so that an older version knows what it has before it.
var (
	keyMeta    = []byte("meta")
	keyMetaSum = []byte("sum")
)

var (
	errNewer  = errors.New("written by a newer version")
	errLater  = errors.New("to be tried again")
	errGone   = errors.New("segment was deleted")
	errClosed = errors.New("segment was given up")
)

// meta is the JSON value in the meta bucket.
type meta struct {
	Format int      `json:"format"`
	UUID   [16]byte `json:"uuid"`
	Anew   bool     `json:"anew,omitempty"` // made by a salvage: bbolt's transactions are not the commits
	entry
}

func metaSum(value []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(value, castagnoli))
}

// parseMeta reads what is in the meta bucket. Of a newer format than known it returns what there is, and errNewer.
func parseMeta(value, sum []byte, known int) (m meta, err error) {
	if sum != nil && !bytes.Equal(sum, metaSum(value)) {
		return m, fmt.Errorf("%w: checksum of the meta differs", ErrCorrupt)
	}
	if err := json.Unmarshal(value, &m); err != nil {
		return m, fmt.Errorf("%w: meta: %w", ErrCorrupt, err)
	}
	switch {
	case m.Format > known:
		return m, fmt.Errorf("format %d: %w", m.Format, errNewer)
	case m.Format < 1:
		return m, fmt.Errorf("%w: format %d", ErrCorrupt, m.Format)
	}
	return m, nil
}

// viewsBetweenRelief is how often a file is read before the pages that came into memory with it are let go.
const viewsBetweenRelief = 8

// recordsBetweenRelief is the same for reading many records at once.
const recordsBetweenRelief = 2048

// segment is one file of the buffer.
type segment struct {
	entry // Last, Ends and Closed are guarded by Buffer.mu
	path  string
	sizes sizes

	// Guarded by Buffer.mu.
	size       int64     // of the file
	releasedAt time.Time // when all in it was first seen to be published
	newer      bool      // written by a newer version: left alone
	broken     error     // found damaged: not read again before the writer has made it anew
	void       bool      // given up before anything was stored in it: deleted once the manifest does not name it
	rebuilt    *salvaged // what became of it when it was made anew
	excused    int       // how often it was found broken and then whole
	trouble    time.Time // since when it could not even be opened
	stuck      bool      // it was said that it cannot be repaired yet

	views atomic.Uint32
	used  atomic.Int64 // when it was last read, to close those that are not

	mu      sync.RWMutex // guards what follows; held for reading during a transaction
	db      *bolt.DB
	file    *os.File // that of db
	uuid    [16]byte
	onDisk  entry // as its meta says
	writing bool
	gone    bool
	fresh   bool // made just now: not to be checked when it is opened

	// The writer's own.
	base    int64  // bytes of data when it was made
	data    int64  // bytes of data now
	written uint64 // bytes written by commits
}

// sizes are the limits of a segment file.
type sizes struct {
	segment int64
	alloc   int
	format  int // the newest that is understood
}

func newSegment(dir string, e entry, s sizes) *segment {
	return &segment{entry: e, path: filepath.Join(dir, e.fileName()), sizes: s}
}

// guard turns a panic, also one over memory that cannot be read, into an error: bbolt panics over damaged pages.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return f()
}

// openFile opens a bbolt file. It leaves the file handle in file too, for the case that bbolt panics and can no longer
// close it.
func (s *segment) openFile(path string, readOnly bool, file **os.File) (*bolt.DB, error) {
	size, err := fileSize(path)
	if err != nil {
		return nil, err
	}
	options := bolt.Options{
		Timeout:      2 * time.Second,
		ReadOnly:     readOnly,
		PageSize:     pageSize,
		FreelistType: bolt.FreelistMapType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			*file, err = os.OpenFile(name, flag, mode)
			return *file, err
		},
	}
	if !readOnly {
		room := size + 3*s.sizes.segment + 16<<20
		options.MaxSize = int(room)
		options.InitialMmapSize = int(size + 2*s.sizes.segment)
	}
	db, err := bolt.Open(path, 0o600, &options)
	if err != nil {
		return nil, err
	}
	db.AllocSize = s.sizes.alloc
	return db, nil
}

// open opens the file and checks that it is what its name says. The caller holds mu for writing, or is alone.
func (s *segment) open() error {
	stat, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if stat.Size() == 0 {
		return fmt.Errorf("%w: empty file", ErrCorrupt) // bbolt would make a new database of it
	}
	if !s.fresh {
		if _, err := checkFile(s.path, s.sizes.format); err != nil {
			return err
		}
	}
	s.fresh = false
	err = guard(func() error {
		var err error
		s.db, err = s.openFile(s.path, !s.writing, &s.file)
		if err != nil {
			return err
		}
		return s.db.View(s.readMeta)
	})
	if err != nil {
		s.abandon(errors.Is(err, ErrCorrupt))
	}
	return err
}

func (s *segment) readMeta(tx *bolt.Tx) error {
	bucket := tx.Bucket(bucketNames[bucketMeta])
	if bucket == nil {
		return fmt.Errorf("%w: no meta bucket", ErrCorrupt)
	}
	m, err := parseMeta(bucket.Get(keyMeta), bucket.Get(keyMetaSum), s.sizes.format)
	if err != nil {
		return err
	}
	if m.Number != s.Number || m.First != s.First {
		return fmt.Errorf("%w: holds segment %d from %d", ErrCorrupt, m.Number, m.First)
	}
	for _, name := range bucketNames {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: no bucket %s", ErrCorrupt, name)
		}
	}
	s.uuid, s.onDisk = m.UUID, m.entry
	if s.writing {
		s.data = tx.Size()
	}
	return nil
}

// view runs f in a read transaction. The file is opened if it is not.
func (s *segment) view(f func(tx *bolt.Tx) error) error {
	for {
		s.mu.RLock()
		if s.gone {
			s.mu.RUnlock()
			return errGone
		}
		if s.db != nil {
			break
		}
		s.mu.RUnlock()
		if err := s.reopen(); err != nil {
			return err
		}
	}
	s.used.Store(time.Now().UnixNano())
	began := false
	err := guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			began = true
			if s.views.Add(1)%viewsBetweenRelief == 0 {
				defer relieve(tx)
			}
			return f(tx)
		})
	})
	s.mu.RUnlock()
	if err != nil && !began {
		// bbolt may have kept its locks: this handle is of no use any more.
		s.mu.Lock()
		s.writing = false
		s.abandon(true)
		s.mu.Unlock()
	}
	return err
}

func (s *segment) reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil || s.gone {
		return nil
	}
	return s.open()
}

// abandon closes the file. If bbolt panicked, its Close could wait for ever: then only the descriptor and its lock go.
func (s *segment) abandon(panicked bool) {
	db, file := s.db, s.file
	s.db, s.file = nil, nil
	if panicked && file != nil {
		_ = file.Close()
	} else if db != nil {
		_ = guard(db.Close)
	}
}

// close closes the file; it is opened again, for reading only, when it is read.
func (s *segment) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db, s.file = nil, nil
	return guard(db.Close)
}

// closeIdle closes the file of a closed segment unless somebody reads it.
func (s *segment) closeIdle() {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if !s.writing && s.db != nil {
		s.abandon(false)
	}
	s.used.Store(0)
}

// remove deletes the file.
func (s *segment) remove() error {
	s.mu.Lock()
	s.gone = true
	s.mu.Unlock()
	return errors.Join(s.close(), removeIfThere(s.path))
}
