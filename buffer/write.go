package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// write makes a batch durable in one transaction. After an error the segment must not be written again; whether the
// batch is in it is then unknown. hook is given bbolt's commit, for tests that let it fail.
func (s *segment) write(bt *batch, hook func(commit func() error) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil || !s.writing {
		return errClosed
	}
	err := guard(func() error {
		tx, err := s.db.Begin(true)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after the commit
		if err := s.put(tx, bt); err != nil {
			return err
		}
		if s.Commits%viewsBetweenRelief == 0 {
			relieve(tx)
		}
		s.data = tx.Size() + int64(bt.bytes)
		commit := tx.Commit
		if hook != nil {
			commit = func() error { return hook(tx.Commit) }
		}
		err = commit()
		pages := tx.Stats()
		s.written += uint64(pages.GetPageAlloc()) + pageSize // every page that it allocated, and a meta page
		return err
	})
	if err != nil {
		return err
	}
	s.Commits++
	return nil
}

func (s *segment) put(tx *bolt.Tx, bt *batch) error {
	var buckets [len(bucketNames)]*bolt.Bucket
	open := func(id bucketID) *bolt.Bucket {
		if buckets[id] == nil {
			buckets[id] = tx.Bucket(bucketNames[id])
			buckets[id].FillPercent = 1 // keys only grow
		}
		return buckets[id]
	}
	var key [8]byte
	for _, r := range bt.records {
		binary.BigEndian.PutUint64(key[:], uint64(r.seq))
		if err := open(r.bucket).Put(key[:], r.value); err != nil {
			return err
		}
	}
	number := s.Commits + 1
	binary.BigEndian.PutUint64(key[:], number)
	return open(bucketLog).Put(key[:], sealBytes(nil, place{s.uuid, bucketLog, number}, bt.logEntry(nil)))
}

// loadSnapshot reads the state that the segment began with; an error says that it is not complete.
func (s *segment) loadSnapshot(set func(key string, value []byte)) error {
	complete, pieces := false, uint64(0)
	var errs []error
	err := s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketNames[bucketSnapshot]).ForEach(func(k, v []byte) error {
			n := binary.BigEndian.Uint64(k)
			piece, err := unsealBytes(place{s.uuid, bucketSnapshot, n}, v)
			if pieces++; err == nil && n != pieces {
				err = fmt.Errorf("%w: a piece of the state is missing", ErrCorrupt)
			}
			if err == nil && !readChanges(piece, set) {
				err = ErrCorrupt
			}
			complete = err == nil && len(piece) == 0
			errs = append(errs, err)
			return nil
		})
	})
	if err = errors.Join(append(errs, err)...); err == nil && !complete {
		err = ErrCorrupt
	}
	return err
}

// replay reads what the commits changed since, and returns how many entries could not be read.
func (s *segment) replay(set func(key string, value []byte)) (damaged int, err error) {
	var last uint64
	err = s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketNames[bucketLog]).ForEach(func(k, v []byte) error {
			n := binary.BigEndian.Uint64(k)
			if s.Closed && s.Commits > 0 && n > s.Commits {
				return nil // of the commit for which it was retired
			}
			damaged += int(n - last - 1) // those that are missing
			last = n
			changes, err := unsealBytes(place{s.uuid, bucketLog, n}, v)
			if err != nil || !readChanges(changes, set) {
				damaged++
			}
			return nil
		})
	})
	s.Commits = last
	return damaged, err
}
