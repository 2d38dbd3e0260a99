package buffer

import (
	"errors"
	"fmt"
	"testing"
)

func TestRetryAllKeepsTheOrderAndEachHasItsOwnFate(t *testing.T) {
	b := open(t, small(t.TempDir()))
	for i := range 6 {
		mustPut(t, b, Group{Build: func(tx *Tx) error { tx.Append(Quarantine, fmt.Appendf(nil, "q%d", i)); return nil }})
	}
	seqs := []Seq{5, 2, 9, 3, 2}
	before := b.Stats()
	fates, err := b.RetryAll(testContext(t), seqs, func(i int, tx *Tx, data []byte) error {
		tx.Append(Normal, data)
		if seqs[i] == 3 {
			return errors.New("still odd")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", "not in quarantine", "still odd", "not in quarantine"} {
		if got := fates[i]; (got == nil) != (want == "") || got != nil && want != "still odd" && !errors.Is(got, ErrNotThere) {
			t.Errorf("record %d: got %v, want %q", seqs[i], got, want)
		}
	}
	wantTexts(t, b, Normal, "7 q4", "8 q1")
	wantTexts(t, b, Quarantine, "1 q0", "3 q2", "4 q3", "6 q5")
	after := b.Stats()
	if err := after.Ledger.Balance(); err != nil || after.Ledger.Retried != 2 {
		t.Errorf("ledger: %v, %d retried, want 2", err, after.Ledger.Retried)
	}
	if n := after.Commits - before.Commits; n > uint64(len(seqs)) {
		t.Errorf("%d commits for %d records", n, len(seqs))
	}
}

func TestMarkSetInATransactionIsKnownAfterwards(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	mark := Mark{1, 2, 3}
	mustPut(t, b, Group{Build: func(tx *Tx) error { tx.Append(Quarantine, []byte("q")); return nil }})
	known := true
	err := retryOne(t, b, 1, func(tx *Tx, data []byte) error {
		known = tx.Mark(mark)
		tx.Append(Normal, data)
		return nil
	})
	if err != nil || known {
		t.Fatalf("got %v; known before: %v", err, known)
	}
	b = reopen(t, b)
	outcome, err := put(t, b, Group{Mark: mark, Once: true, Build: func(tx *Tx) error { tx.Append(Normal, []byte("again")); return nil }})
	if err != nil || outcome.Duplicates != 1 {
		t.Errorf("got %+v, %v for a message that came another way after its retry, want a duplicate", outcome, err)
	}
}

// retryOne is RetryAll for one record.
func retryOne(t *testing.T, b *Buffer, seq Seq, build func(tx *Tx, data []byte) error) error {
	t.Helper()
	return retryError(b.RetryAll(testContext(t), []Seq{seq}, func(_ int, tx *Tx, data []byte) error { return build(tx, data) }))
}

// retryError is what a RetryAll of one record says of it.
func retryError(fates []error, err error) error {
	if err == nil {
		err = fates[0]
	}
	return err
}
