package buffer

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// createSegment makes the file of a new segment with all of the state in it and opens it for writing.
func createSegment(dir string, e entry, s sizes, state map[string][]byte) (*segment, error) {
	seg := newSegment(dir, e, s)
	seg.writing = true
	if _, err := rand.Read(seg.uuid[:]); err != nil {
		return nil, err
	}
	seg.UUID = seg.uuid
	name := seg.path + temporary
	err := seg.initialise(name, state)
	named := err == nil
	if named {
		err = os.Rename(name, seg.path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err == nil {
		seg.fresh = true
		err = seg.open()
	}
	if err == nil {
		seg.size, err = fileSize(seg.path)
		seg.base = seg.data
	}
	if err != nil {
		err = errors.Join(err, seg.close(), removeIfThere(name))
		if named {
			err = errors.Join(err, withdraw(seg.path))
		}
		return nil, fmt.Errorf("make segment %s: %w", filepath.Base(seg.path), err)
	}
	return seg, nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// initialise writes a complete file under another name; bbolt's own making of a file is not safe in a power cut.
func (s *segment) initialise(name string, state map[string][]byte) error {
	if err := removeIfThere(name); err != nil {
		return err
	}
	return guard(func() error {
		var file *os.File // bbolt closes it
		db, err := s.openFile(name, false, &file)
		if err != nil {
			return err
		}
		return errors.Join(db.Update(func(tx *bolt.Tx) error { return s.writeHead(tx, state) }), db.Close())
	})
}

func (s *segment) writeHead(tx *bolt.Tx, state map[string][]byte) error {
	if err := putHead(tx, meta{Format: s.sizes.format, UUID: s.uuid, entry: s.entry}); err != nil {
		return err
	}
	bucket := tx.Bucket(bucketNames[bucketSnapshot])
	bucket.FillPercent = 1
	var n uint64
	put := func(piece []byte) error {
		n++
		value := sealBytes(nil, place{s.uuid, bucketSnapshot, n}, piece)
		return bucket.Put(binary.BigEndian.AppendUint64(nil, n), value)
	}
	if err := snapshot(state, put); err != nil {
		return err
	}
	return put(nil) // an empty piece shows that nothing is missing
}

// putHead makes the buckets and stores the meta and its checksum.
func putHead(tx *bolt.Tx, m meta) error {
	for _, name := range bucketNames {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	bucket := tx.Bucket(bucketNames[bucketMeta])
	return errors.Join(bucket.Put(keyMeta, value), bucket.Put(keyMetaSum, metaSum(value)))
}
