package buffer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if isCrashChild() {
		crashChild()
		return
	}
	goleak.VerifyTestMain(m)
}

// small options make segments, delays and limits that a test reaches quickly.
func small(dir string) Options {
	return Options{
		Dir: dir, SegmentSize: 128 << 10, MaxSize: 4 << 20, CommitDelay: 5 * time.Millisecond, Hold: -1,
		Log: slog.New(slog.DiscardHandler),
	}
}

func open(t testing.TB, o Options) *Buffer {
	t.Helper()
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.Close()
		if err := b.Stats().Ledger.Balance(); err != nil { // whatever the test was about
			t.Error("the ledger does not balance:", err)
		}
	})
	return b
}

func reopen(t testing.TB, b *Buffer) *Buffer {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return open(t, b.options)
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// put appends groups and waits for them.
func put(t testing.TB, b *Buffer, groups ...Group) (Outcome, error) {
	t.Helper()
	type result struct {
		outcome Outcome
		err     error
	}
	results := make(chan result, 1)
	ctx := testContext(t)
	if err := b.Append(ctx, groups, func(o Outcome, err error) { results <- result{o, err} }); err != nil {
		t.Fatalf("append: %v", err)
	}
	select {
	case r := <-results:
		return r.outcome, r.err
	case <-ctx.Done():
		t.Fatal("append was never done")
		return Outcome{}, nil
	}
}

func mustPut(t testing.TB, b *Buffer, groups ...Group) {
	t.Helper()
	if _, err := put(t, b, groups...); err != nil {
		t.Fatalf("append: %v", err)
	}
}

// one is a group of one record.
func one(lane Lane, data string) Group {
	return Group{Build: func(tx *Tx) error { tx.Append(lane, []byte(data)); return nil }}
}

func many(lane Lane, n int, size int) []Group {
	groups := make([]Group, n)
	for i := range groups {
		groups[i] = one(lane, fmt.Sprintf("%0*d", size, i))
	}
	return groups
}

func mark(n int) Mark { return Mark{0: 1, 6: byte(n >> 8), 7: byte(n), 15: 1} }

// read returns all records of a lane from a number on.
func read(t testing.TB, b *Buffer, lane Lane, from Seq) []Record {
	t.Helper()
	var all []Record
	for {
		records, err := b.Read(lane, from, 100)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if len(records) == 0 {
			return all
		}
		all = append(all, records...)
		from = records[len(records)-1].Seq + 1
	}
}

func texts(records []Record) []string {
	var all []string
	for _, r := range records {
		all = append(all, fmt.Sprintf("%d %s", r.Seq, r.Data))
	}
	return all
}

func wantTexts(t testing.TB, b *Buffer, lane Lane, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, texts(read(t, b, lane, 0))); diff != "" {
		t.Errorf("lane %d (-want +got):\n%s", lane, diff)
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestRecordsComeOutInOrderAndDenseOverRestarts(t *testing.T) {
	b := open(t, small(t.TempDir()))
	mustPut(t, b, one(Normal, "a"), one(Urgent, "b"), one(Normal, "c"))
	b = reopen(t, b)
	mustPut(t, b, one(Quarantine, "d"), one(Normal, "e"))
	b = reopen(t, b)
	wantTexts(t, b, Normal, "1 a", "3 c", "5 e")
	wantTexts(t, b, Urgent, "2 b")
	wantTexts(t, b, Quarantine, "4 d")
	got := b.Stats()
	if got.LastSeq != 5 || got.Pending != [2]uint64{1, 3} || got.Quarantined != 1 || got.Appended != 4 {
		t.Errorf("stats after restarts: %+v", got)
	}
}

func TestManySegmentsAreReadAsOneQueue(t *testing.T) {
	b := open(t, small(t.TempDir()))
	for range 20 {
		mustPut(t, b, many(Normal, 100, 400)...)
	}
	b = reopen(t, b)
	if got := b.Stats().Segments; got < 5 {
		t.Errorf("%d segments, want at least 5", got)
	}
	records := read(t, b, Normal, 0)
	if len(records) != 2000 {
		t.Fatalf("read %d records, want 2000", len(records))
	}
	for i, r := range records {
		if want := fmt.Sprintf("%0400d", i%100); r.Seq != Seq(i+1) || string(r.Data) != want {
			t.Fatalf("record %d is %d %q", i+1, r.Seq, r.Data)
		}
	}
	if got := b.Stats(); got.Damaged != 0 {
		t.Errorf("%d damaged records in an intact buffer", got.Damaged)
	}
}

func TestRepeatsAreDroppedOverRestarts(t *testing.T) {
	b := open(t, small(t.TempDir()))
	group := func(n int) Group {
		g := one(Normal, fmt.Sprint(n))
		g.Mark, g.Once = mark(n), true
		return g
	}
	want := func(groups []Group, want Outcome) {
		t.Helper()
		if got, err := put(t, b, groups...); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	want([]Group{group(1), group(2), group(1)}, Outcome{Stored: 2, Duplicates: 1})
	b = reopen(t, b)
	want([]Group{group(2), group(3)}, Outcome{Stored: 1, Duplicates: 1})
	again := group(3)
	again.Once = false
	want([]Group{again}, Outcome{Stored: 1})
	wantTexts(t, b, Normal, "1 1", "2 2", "3 3", "4 3")
	b = reopen(t, b)
	if got := b.Stats().Duplicates; got != 2 {
		t.Errorf("%d duplicates counted, want 2", got)
	}
}

func TestStateCommitsWithItsRecord(t *testing.T) {
	b := open(t, small(t.TempDir()))
	count := Group{Build: func(tx *Tx) error {
		n := append(tx.State("counter"), 'x')
		tx.SetState("counter", n)
		tx.Append(Normal, n)
		return nil
	}}
	mustPut(t, b, count, count)
	b = reopen(t, b)
	mustPut(t, b, count)
	wantTexts(t, b, Normal, "1 x", "2 xx", "3 xxx")
	if got := string(b.State("counter")); got != "xxx" {
		t.Errorf("state is %q", got)
	}
	mustPut(t, b, Group{Build: func(tx *Tx) error { tx.SetState("counter", nil); tx.SetState("empty", []byte{}); return nil }})
	b = reopen(t, b)
	if b.State("counter") != nil || b.State("empty") == nil {
		t.Errorf("after removal: %q, %v", b.State("counter"), b.State("empty"))
	}
	var keys []string
	b.EachState("", func(key string, _ []byte) { keys = append(keys, key) })
	if diff := cmp.Diff([]string{"empty"}, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestWindowOfASourceIsCommittedWithoutWaitingForTheDelay(t *testing.T) {
	o := small(t.TempDir())
	o.CommitDelay = time.Hour // only what follows from the window can commit
	b := open(t, o)
	const window, total = 20, 2000
	tokens := make(chan struct{}, window)
	ctx := testContext(t)
	for i := range total {
		select {
		case tokens <- struct{}{}:
		case <-ctx.Done():
			t.Fatalf("stuck after %d", i)
		}
		if err := b.Append(ctx, []Group{one(Normal, "x")}, func(Outcome, error) { <-tokens }); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := b.Stats(); got.LastSeq != total || got.Commits > total/4 {
		t.Errorf("%d records in %d commits", got.LastSeq, got.Commits)
	}
}

func TestGroupThatFailsLeavesNothingAndStopsNoOther(t *testing.T) {
	b := open(t, small(t.TempDir()))
	cause := errors.New("no such sensor")
	bad := Group{Mark: mark(7), Build: func(tx *Tx) error {
		tx.Append(Normal, []byte("bad"))
		tx.SetState("a", []byte("bad"))
		tx.SetState("b", []byte("bad"))
		return cause
	}}
	panics := Group{Build: func(tx *Tx) error { tx.Append(Urgent, []byte("bad")); panic("oops") }}
	reserved := Group{Build: func(tx *Tx) error { tx.SetState("\x00c", []byte("bad")); return nil }}
	good := Group{Build: func(tx *Tx) error { tx.SetState("a", []byte("good")); tx.Append(Normal, []byte("good")); return nil }}
	outcome, err := put(t, b, good, bad, panics, reserved, good)
	if outcome.Stored != 2 || !errors.Is(err, cause) {
		t.Errorf("got %+v, %v", outcome, err)
	}
	once := one(Normal, "once")
	once.Mark, once.Once = mark(7), true
	mustPut(t, b, once)
	b = reopen(t, b)
	wantTexts(t, b, Normal, "1 good", "2 good", "3 once")
	wantTexts(t, b, Urgent)
	if got := string(b.State("a")) + string(b.State("b")); got != "good" {
		t.Errorf("state is %q, want good", got)
	}
}
