package buffer

import (
	"context"
	"fmt"
)

// RetryAll takes records out of quarantine, in the order of seqs and with few commits, and has build append what becomes of
// each, in the transaction that takes it out; it returns when that is on disk. build gets the record's place in seqs, and is
// otherwise as a Group's Build; data must not be kept. Each record has a fate of its own: nil, or ErrNotThere, or the error of
// build, which leaves it where it is. The second error is that of the call: then it is not known what became of the records.
func (b *Buffer) RetryAll(ctx context.Context, seqs []Seq, build func(i int, tx *Tx, data []byte) error) ([]error, error) {
	if b.options.ReadOnly {
		return nil, ErrReadOnly
	}
	results := make([]chan error, len(seqs))
	for i, seq := range seqs {
		results[i] = make(chan error, 1)
		retry := retryOf(seq, func(tx *Tx, data []byte) error { return build(i, tx, data) })
		if err := b.queue.own(retry, func(_ Outcome, err error) { results[i] <- err }); err != nil {
			return nil, err
		}
	}
	fates := make([]error, len(seqs))
	for i := range results {
		select {
		case fates[i] = <-results[i]:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return fates, nil
}

// retryOf takes a record out of quarantine and has build append what becomes of it.
func retryOf(seq Seq, build func(tx *Tx, data []byte) error) func(tx *Tx) error {
	return func(tx *Tx) error {
		found, err := tx.batch.inQuarantine(seq)
		if err != nil {
			return err
		}
		if found == nil {
			return fmt.Errorf("record %d: %w", seq, ErrNotThere)
		}
		tx.batch.takeOut(*found)
		tx.batch.counters.retried++
		return build(tx, found.Data)
	}
}
