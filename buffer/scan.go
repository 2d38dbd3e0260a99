package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// scan is a search in one bucket of a segment: for the records from one number to another, at most limit of them and
// about room bytes.
type scan struct {
	bucket   bucketID
	from, to Seq
	limit    int
	room     int
	skip     func(Seq) bool // may be nil

	found   []stored
	damaged []stored // Data is what was found
}

func (s *scan) lane() Lane {
	if s.bucket == bucketCarried {
		return Urgent
	}
	return Lane(s.bucket)
}

// collect runs a scan. It reports whether there is nothing more up to the end of the range; an error that is damage says
// that the file must be repaired first.
func (s *segment) collect(q *scan) (done bool, err error) {
	if q.from > q.to || len(q.found) >= q.limit || q.room <= 0 {
		return q.from > q.to, nil
	}
	err = s.view(func(tx *bolt.Tx) error {
		var err error
		done, err = q.run(tx, s)
		return err
	})
	return done, err
}

// numbers returns the numbers in a range that records of the segment have, whatever their lane.
func (s *segment) numbers(first, last Seq) map[Seq]bool {
	there := make(map[Seq]bool)
	for bucket := range bucketCarried {
		_ = s.view(func(tx *bolt.Tx) error { // what is not found makes a range less exact, no more
			cursor := tx.Bucket(bucketNames[bucket]).Cursor()
			for k, _ := cursor.Seek(binary.BigEndian.AppendUint64(nil, uint64(first))); len(k) == 8; k, _ = cursor.Next() {
				seq := Seq(binary.BigEndian.Uint64(k))
				if seq > last {
					break
				}
				there[seq] = true
			}
			return nil
		})
	}
	return there
}

// run looks at records until it has enough. What it found is copied before the transaction ends.
func (q *scan) run(tx *bolt.Tx, s *segment) (done bool, page error) {
	found, damaged := len(q.found), len(q.damaged)
	start := q.from
	page = guard(func() error {
		bucket := tx.Bucket(bucketNames[q.bucket])
		if bucket == nil {
			return fmt.Errorf("%w: no bucket", ErrCorrupt)
		}
		var err error
		done, err = q.walk(bucket.Cursor(), s)
		return err
	})
	if err := guard(func() error { own(q.found[found:]); own(q.damaged[damaged:]); return nil }); err != nil {
		q.found, q.damaged, q.from = q.found[:found], q.damaged[:damaged], start
		return false, err
	}
	return done, page
}

func (q *scan) walk(cursor *bolt.Cursor, s *segment) (done bool, err error) {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(q.from))
	for k, v := cursor.Seek(key[:]); ; k, v = cursor.Next() {
		if k == nil {
			return true, nil
		}
		if len(k) != len(key) {
			return false, fmt.Errorf("%w: key of %d bytes", ErrCorrupt, len(k))
		}
		seq := Seq(binary.BigEndian.Uint64(k))
		if seq > q.to {
			return true, nil
		}
		if seq < q.from {
			return false, fmt.Errorf("%w: key %d after %d", ErrCorrupt, seq, q.from)
		}
		if len(q.found) >= q.limit || q.room <= 0 {
			return false, nil
		}
		if q.skip == nil || !q.skip(seq) {
			q.take(place{s.uuid, q.bucket, uint64(seq)}, v)
		}
		q.from = seq + 1
	}
}

func (q *scan) take(p place, value []byte) {
	record, err := unseal(p, value)
	record.Seq, record.Lane = Seq(p.key), q.lane()
	if err != nil {
		record.Data = value
		q.damaged = append(q.damaged, record)
		return
	}
	q.found = append(q.found, record)
	q.room -= len(value)
}

// own moves the data of records into one piece of memory of their own.
func own(records []stored) {
	size := 0
	for i := range records {
		size += len(records[i].Data)
	}
	memory := make([]byte, 0, size)
	for i := range records {
		start := len(memory)
		memory = append(memory, records[i].Data...)
		records[i].Data = memory[start:len(memory):len(memory)]
	}
}

// around returns the ordinal of the newest record of a bucket up to seq, and the record after it; zero if there is none.
func (s *segment) around(bucket bucketID, seq Seq) (ordinal uint64, next stored, err error) {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(seq+1))
	err = s.view(func(tx *bolt.Tx) error {
		cursor := tx.Bucket(bucketNames[bucket]).Cursor()
		k, v := cursor.Seek(key[:])
		if k != nil {
			next, _ = s.unsealAt(bucket, k, v)
			next.Data = nil
			k, v = cursor.Prev()
		} else {
			k, v = cursor.Last()
		}
		if k == nil {
			return nil
		}
		record, err := s.unsealAt(bucket, k, v)
		ordinal = record.ordinal
		return err
	})
	return ordinal, next, err
}

func (s *segment) unsealAt(bucket bucketID, key, value []byte) (stored, error) {
	if len(key) != 8 {
		return stored{}, fmt.Errorf("%w: key of %d bytes", ErrCorrupt, len(key))
	}
	seq := binary.BigEndian.Uint64(key)
	record, err := unseal(place{s.uuid, bucket, seq}, value)
	record.Seq = Seq(seq)
	return record, err
}

// newest calls f with the records of a bucket, newest first, until it returns false. Damaged ones are left out; Data is
// not to be kept.
func (s *segment) newest(bucket bucketID, f func(stored) bool) error {
	return s.view(func(tx *bolt.Tx) error {
		cursor, seen := tx.Bucket(bucketNames[bucket]).Cursor(), 0
		for k, v := cursor.Last(); k != nil; k, v = cursor.Prev() {
			if seen++; seen%recordsBetweenRelief == 0 {
				relieve(tx)
			}
			record, err := s.unsealAt(bucket, k, v)
			if errors.Is(err, ErrCorrupt) {
				continue
			}
			if !f(record) {
				return nil
			}
		}
		return nil
	})
}
