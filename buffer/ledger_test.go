package buffer

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLedgerKnowsWhatBecameOfEverythingOverRestarts(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	keep := func(lane Lane, text string) Group {
		return Group{Build: func(tx *Tx) error { tx.Append(lane, []byte(text)); return nil }}
	}
	mark := Mark{1}
	once := Group{Mark: mark, Once: true, Build: keep(Normal, "once").Build}
	mustPut(t, b, keep(Normal, "a"), keep(Normal, "b"), keep(Urgent, "c"), once, once)
	mustPut(t, b, keep(Quarantine, "q1"), keep(Quarantine, "q2"), keep(Quarantine, "q3"))
	mustPut(t, b, Group{Build: func(tx *Tx) error { tx.Discard("empty"); return nil }}, Group{Build: func(tx *Tx) error { tx.SetState("k", []byte("v")); return nil }})
	if _, err := put(t, b, Group{Build: func(tx *Tx) error { tx.Append(Normal, nil); return fmt.Errorf("no") }}); err == nil {
		t.Fatal("a group that failed was acknowledged")
	}
	if err := b.Reject(testContext(t), Record{Seq: 2, Lane: Normal}, []byte("b is too large")); err != nil {
		t.Fatal(err)
	}
	if err := b.Drop(testContext(t), 5); err != nil {
		t.Fatal(err)
	}
	err := retryOne(t, b, 6, func(tx *Tx, data []byte) error {
		tx.Append(Normal, append([]byte("better "), data...))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Ledger{
		Messages: 10, Kept: 7, Discarded: map[string]uint64{"repeat": 1, "empty": 1, "no_record": 1},
		Received: 8, Pending: 4, Quarantined: 2, Dropped: 1, Retried: 1, Expired: map[string]uint64{},
	}
	check := func(when string) {
		t.Helper()
		got := b.Stats().Ledger
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
		if err := got.Balance(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	check("before publishing")
	b = reopen(t, b)
	check("after a restart")
	b.Published(Normal, 100)
	b.Published(Urgent, 100)
	b = reopen(t, b)
	want.Pending, want.Held = 0, 4
	check("after publishing and a restart")
}

func TestRetryThatFailsLeavesTheRecordInQuarantine(t *testing.T) {
	b := open(t, small(t.TempDir()))
	mustPut(t, b, Group{Build: func(tx *Tx) error { tx.Append(Quarantine, []byte("odd")); return nil }})
	err := retryOne(t, b, 1, func(tx *Tx, data []byte) error {
		tx.Append(Normal, data)
		return fmt.Errorf("still odd")
	})
	if err == nil || err.Error() != "still odd" {
		t.Errorf("got %v, want the error of build", err)
	}
	wantTexts(t, b, Quarantine, "1 odd")
	wantTexts(t, b, Normal)
	if err := retryOne(t, b, 7, func(*Tx, []byte) error { return nil }); err == nil {
		t.Error("a record that is not there was retried")
	}
}

func TestLedgerNamesTheSumThatIsWrong(t *testing.T) {
	good := Ledger{Messages: 3, Kept: 2, Discarded: map[string]uint64{"repeat": 1}, Received: 2, Pending: 1, Lost: 1}
	if err := good.Balance(); err != nil {
		t.Errorf("got %v for a ledger that balances", err)
	}
	bad := good
	bad.Kept = 3
	if bad.Balance() == nil {
		t.Error("messages that do not add up went unnoticed")
	}
	bad = good
	bad.Received = 3
	if bad.Balance() == nil {
		t.Error("records that do not add up went unnoticed")
	}
}
