package buffer

import "fmt"

// Tx is what a Build sees: the state as the builds before it left it, and room for its own changes.
type Tx struct {
	batch *batch
	mark  Mark  // for the first record
	given Mark  // the same, also once that is appended
	bytes int   // appended
	err   error // of a call that cannot return one

	discarded string // why there is no record, if there is none
}

// Append stores a record and returns its number, which is final once the group is on disk.
func (tx *Tx) Append(lane Lane, data []byte) Seq {
	if lane > Quarantine {
		tx.err = errLane(lane)
		return 0
	}
	limit := tx.batch.buffer.options.maxGroupBytes()
	if tx.bytes += maxOverhead + len(data); tx.bytes > limit {
		tx.err = fmt.Errorf("group of more than %d bytes", limit)
		return 0
	}
	mark := tx.mark
	tx.mark = Mark{}
	return tx.batch.append(lane, mark, data)
}

// Mark sets the mark of the group's first record, and tells whether it is among the recent ones.
func (tx *Tx) Mark(mark Mark) (known bool) {
	tx.mark, tx.given = mark, mark
	return tx.batch.repeated(mark)
}

// Discard says why a group leaves no record behind; the reason is counted. It has no effect on a group that leaves one.
func (tx *Tx) Discard(reason string) { tx.discarded = reason }

// State returns the value of a key, nil if there is none; it must not be changed.
func (tx *Tx) State(key string) []byte {
	if isInternal(key) {
		return nil
	}
	return tx.batch.get(key)
}

// SetState changes the value of a key; nil removes it. The value is copied.
func (tx *Tx) SetState(key string, value []byte) {
	if isInternal(key) || key == "" {
		tx.err = fmt.Errorf("state key %q is reserved", key)
		return
	}
	if value != nil {
		value = append(make([]byte, 0, len(value)), value...)
	}
	tx.batch.set(key, value)
}
