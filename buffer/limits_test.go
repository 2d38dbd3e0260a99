package buffer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// fill appends n groups of records of 1000 bytes, in transactions of 50.
func fill(t testing.TB, b *Buffer, lane Lane, n int) {
	t.Helper()
	for ; n > 0; n -= 50 {
		mustPut(t, b, many(lane, min(n, 50), 1000)...)
	}
}

func TestPublishedSegmentsAreDeletedAfterHold(t *testing.T) {
	o := small(t.TempDir())
	o.Hold = time.Hour
	b := open(t, o)
	fill(t, b, Normal, 1000)
	before := b.Stats()
	b.Published(Normal, before.LastSeq)
	eventually(t, "mark", func() bool { return b.Stats().Pending[Normal] == 0 })
	if got := b.Stats(); got.Segments < before.Segments || got.Held != 1000 || got.Published != 1000 {
		t.Errorf("held: %+v", got)
	}
	if got := len(read(t, b, Normal, 0)); got != 1000 {
		t.Errorf("%d held records can be read, want 1000", got)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	o.Hold = -1
	b = open(t, o)
	eventually(t, "deletion", func() bool { return b.Stats().Segments == 2 })
	got := b.Stats()
	if got.Held >= 1000 || got.Published != 1000 || got.Bytes >= before.Bytes/2 {
		t.Errorf("released: %+v, before %+v", got, before)
	}
	if b.PublishedUpTo(Normal) != before.LastSeq {
		t.Errorf("mark %d, want %d", b.PublishedUpTo(Normal), before.LastSeq)
	}
}

// F37: the buffer's own limit, giving up the oldest.
func TestOldestObservationsAreGivenUpFirstAndNamed(t *testing.T) {
	o := small(t.TempDir())
	o.MaxSize = 1 << 20
	var expired []Seq
	o.Expired = func(records []Record, reason string) [][]byte {
		for _, r := range records {
			if r.Lane != Normal {
				t.Errorf("record %d of lane %d given up", r.Seq, r.Lane)
			}
			expired = append(expired, r.Seq)
		}
		return [][]byte{fmt.Appendf(nil, "notice %d..%d %s", records[0].Seq, records[len(records)-1].Seq, reason)}
	}
	b := open(t, o)
	mustPut(t, b, one(Urgent, "alarm"))
	fill(t, b, Normal, 2000)
	b = reopen(t, b)
	s := b.Stats()
	if s.Bytes > o.MaxSize || s.Expired == 0 || int(s.Expired) != len(expired) {
		t.Errorf("stats %+v, %d given to the callback", s, len(expired))
	}
	if s.Appended != s.Expired+s.Pending[Urgent]+s.Pending[Normal] {
		t.Errorf("ledger does not balance: %+v", s)
	}
	urgent := texts(read(t, b, Urgent, 0))
	if len(urgent) < 2 || urgent[0] != "1 alarm" || uint64(len(urgent)) != s.Pending[Urgent] {
		t.Errorf("urgent: %q", urgent)
	}
	normal := read(t, b, Normal, b.PublishedUpTo(Normal)+1)
	if uint64(len(normal)) != s.Pending[Normal] || normal[0].Seq <= expired[len(expired)-1] || !slices.IsSorted(expired) {
		t.Errorf("%d records left from %d, given up to %d, pending %d", len(normal), normal[0].Seq, expired[len(expired)-1], s.Pending[Normal])
	}
}

func TestCarriedAlarmsComeFirstAndCanBePublished(t *testing.T) {
	o := small(t.TempDir())
	o.MaxSize = 1 << 20
	b := open(t, o)
	for range 5 {
		mustPut(t, b, many(Urgent, 3, 10)...)
		fill(t, b, Normal, 400)
	}
	want := []Seq{1, 2, 3, 404, 405, 406, 807, 808, 809, 1210, 1211, 1212, 1613, 1614, 1615}
	check := func(from Seq, want []Seq) {
		t.Helper()
		var got []Seq
		for _, r := range read(t, b, Urgent, from) {
			got = append(got, r.Seq)
		}
		if !slices.Equal(got, want) {
			t.Errorf("alarms from %d: %v, want %v", from, got, want)
		}
	}
	check(0, want)
	check(3, want[2:])
	b.Published(Urgent, 405)
	eventually(t, "mark", func() bool { return b.Stats().Pending[Urgent] == 10 })
	b = reopen(t, b)
	check(406, want[5:])
	if got := b.Stats(); got.Published != 5 || got.Pending[Urgent] != 10 {
		t.Errorf("stats %+v", got)
	}
	b.Published(Urgent, 1615)
	eventually(t, "mark", func() bool { return b.Stats().Pending[Urgent] == 0 })
	if got := b.Stats().Published; got != 15 {
		t.Errorf("%d published, want 15", got)
	}
}

func TestAlarmsAreGivenUpOnlyBeyondAQuarter(t *testing.T) {
	o := small(t.TempDir())
	o.MaxSize = 1 << 20
	var given uint64
	o.Expired = func(records []Record, reason string) [][]byte { given += uint64(len(records)); return nil }
	b := open(t, o)
	fill(t, b, Urgent, 3000)
	s := b.Stats()
	if s.Bytes > o.MaxSize*5/4 || s.Expired == 0 || s.Expired != given || s.Pending[Urgent]*1000 < uint64(o.MaxSize/8) {
		t.Errorf("stats %+v, given up %d", s, given)
	}
	records := read(t, b, Urgent, b.PublishedUpTo(Urgent)+1)
	if uint64(len(records)) != s.Pending[Urgent] || s.Pending[Urgent]+s.Expired != 3000 {
		t.Errorf("%d records to read, stats %+v", len(records), s)
	}
	for i, r := range records {
		if r.Seq != records[0].Seq+Seq(i) {
			t.Fatalf("record %d after %d", r.Seq, records[i-1].Seq)
		}
	}
}

// F37: the buffer's own limit, leaving new messages where they are.
func TestFullBufferRefusesWhenAskedToUntilThereIsRoom(t *testing.T) {
	o := small(t.TempDir())
	o.MaxSize, o.Refuse, o.Hold = 1<<20, true, time.Hour
	b := open(t, o)
	held, refused := 0, false
	for i := 0; i < 100 && !refused; i++ {
		outcome, err := put(t, b, many(Normal, 50, 1000)...)
		held += outcome.Stored
		if refused = errors.Is(err, ErrFull); err != nil && !refused {
			t.Fatal(err)
		}
	}
	if !refused {
		t.Fatal("never refused")
	}
	if got := len(read(t, b, Normal, 0)); got != held {
		t.Errorf("%d records to read, %d acknowledged", got, held)
	}
	if err := b.Reject(testContext(t), Record{Seq: 1, Lane: Normal}, []byte("too large")); err != nil {
		t.Errorf("reject in a full buffer: %v", err)
	}
	b.Published(Normal, b.Stats().LastSeq)
	eventually(t, "room", func() bool { _, err := put(t, b, one(Normal, "again")); return err == nil })
	if got := b.Stats(); got.Expired != 0 || got.Published != uint64(held-1) {
		t.Errorf("published %d of %d, expired %d", got.Published, held, got.Expired)
	}
}

func TestObservationsAreGivenUpAfterMaxAgeOfRunningTime(t *testing.T) {
	o := small(t.TempDir())
	o.SegmentAge, o.MaxAge = 20*time.Millisecond, 100*time.Millisecond
	reasons := make(chan string, 100)
	o.Expired = func(records []Record, reason string) [][]byte {
		reasons <- fmt.Sprint(reason, len(records))
		return nil
	}
	b := open(t, o)
	mustPut(t, b, one(Normal, "old"), one(Urgent, "alarm"))
	select {
	case got := <-reasons:
		if got != "max_age1" {
			t.Errorf("given up: %s", got)
		}
	case <-testContext(t).Done():
		t.Fatal("not given up")
	}
	eventually(t, "accounting", func() bool { s := b.Stats(); return s.Expired == 1 && s.Pending == [2]uint64{1, 0} })
	wantTexts(t, b, Urgent, "2 alarm")
}

func TestQuarantineOutlivesItsSegmentAndCanBeDropped(t *testing.T) {
	b := open(t, small(t.TempDir()))
	mustPut(t, b, one(Quarantine, "raw"), one(Normal, "refused"), one(Quarantine, "other"))
	record := read(t, b, Normal, 0)[0]
	for range 2 { // repeatable
		if err := b.Reject(testContext(t), record, []byte("why")); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, b, Normal, 1000)
	b.Published(Normal, b.Stats().LastSeq)
	eventually(t, "deletion", func() bool { return b.Stats().Segments <= 2 })
	want := []string{"1 raw", "3 other", "4 why"}
	wantTexts(t, b, Quarantine, want...)
	b = reopen(t, b)
	wantTexts(t, b, Quarantine, want...)
	if s := b.Stats(); s.Quarantined != 3 || s.QuarantinedTotal != 3 || s.Published != 1000 {
		t.Errorf("stats %+v", s)
	}
	if err := b.Drop(testContext(t), 3, 3, 99999); err != nil {
		t.Fatal(err)
	}
	wantTexts(t, b, Quarantine, "1 raw", "4 why")
	b = reopen(t, b)
	wantTexts(t, b, Quarantine, "1 raw", "4 why")
	if s := b.Stats(); s.Quarantined != 2 || s.QuarantinedTotal != 3 {
		t.Errorf("stats %+v", s)
	}
}

func TestQuarantineGivesUpItsOldest(t *testing.T) {
	o := small(t.TempDir())
	o.QuarantineSize = 50_000
	given := 0
	o.Expired = func(records []Record, reason string) [][]byte {
		if reason != reasonQuarantineSize {
			t.Errorf("reason %s", reason)
		}
		given += len(records)
		return [][]byte{[]byte("notice")}
	}
	b := open(t, o)
	fill(t, b, Quarantine, 200)
	eventually(t, "limit", func() bool { return b.Stats().Quarantined <= 50 })
	s := b.Stats()
	records := read(t, b, Quarantine, 0)
	left := len(records) // 50 fit, and a twentieth is given up beyond that
	if left < 47 || left > 50 || s.Quarantined != uint64(left) || given != 200-left || s.Expired != uint64(given) || s.Pending[Urgent] == 0 {
		t.Errorf("%d records left, %d given up, stats %+v", left, given, s)
	}
	if newest := records[left-1].Seq; newest < 200 {
		t.Errorf("newest is %d", newest)
	}
}

func TestAppendWaitsWhileTooMuchIsQueued(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	release := make(chan struct{})
	defer func() { // before Close
		select {
		case <-release:
		default:
			close(release)
		}
	}()
	started := make(chan struct{})
	block := Group{Build: func(*Tx) error { close(started); <-release; return nil }}
	if err := b.Append(t.Context(), []Group{block}, nil); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := b.Append(t.Context(), many(Normal, maxQueued, 1), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := b.Append(ctx, []Group{one(Normal, "late")}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("append to a full queue: %v", err)
	}
	close(release)
	mustPut(t, b, one(Normal, "later"))
	if got := b.Stats().LastSeq; got != maxQueued+1 {
		t.Errorf("%d records, want %d", got, maxQueued+1)
	}
}
