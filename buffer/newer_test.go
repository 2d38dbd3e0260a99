package buffer

import (
	"fmt"
	"slices"
	"testing"
)

// F102, F101: an older version leaves what a newer one wrote alone and says so; after the upgrade it is delivered.
func TestRecordsOfANewerVersionAreDeliveredAfterTheUpgrade(t *testing.T) {
	old := small(t.TempDir())
	var lost []Range
	var causes []string
	old.Lost = func(ranges []Range, cause string) [][]byte {
		lost, causes = append(lost, ranges...), append(causes, cause)
		return [][]byte{[]byte("notice")}
	}
	b := open(t, old)
	number(t, b, Normal, 0, 100)
	closeBuffer(t, b)

	upgraded := small(old.Dir)
	upgraded.format = segmentFormat + 1
	b = open(t, upgraded)
	number(t, b, Normal, 100, 700) // more than one segment
	number(t, b, Urgent, 700, 710)
	mark := Mark{7}
	mustPut(t, b, Group{Mark: mark, Once: true, Build: func(tx *Tx) error { tx.Append(Normal, []byte("marked")); return nil }})
	fill(t, b, Quarantine, 5)
	published := read(t, b, Normal, 0)[149].Seq
	b.Published(Normal, published)
	wanted := pendingData(t, b)
	closeBuffer(t, b)

	b = open(t, old)
	if len(files(t, old.Dir, "*"+suffixNewer)) == 0 || len(lost) == 0 || slices.ContainsFunc(causes, func(c string) bool { return c != causeNewer }) {
		t.Fatalf("the downgrade named %v because of %v", lost, causes)
	}
	number(t, b, Normal, 710, 760)
	during := pendingData(t, b)
	b = reopen(t, b) // and again
	closeBuffer(t, b)

	b = open(t, upgraded)
	if left := files(t, old.Dir, "*"+suffixNewer); len(left) > 0 {
		t.Errorf("%v wait still", left)
	}
	got := pendingData(t, b)
	for _, text := range append(wanted, during...) {
		if !slices.Contains(got, text) {
			t.Errorf("%q is not there after the upgrade", text)
		}
	}
	var order []string // of what the newer version had stored
	for _, record := range read(t, b, Normal, b.PublishedUpTo(Normal)+1) {
		order = append(order, string(record.Data))
	}
	if n := len(order); n == 0 || order[n-1] != "marked" {
		t.Errorf("the newest of the newer version is not the last of %d", n)
	}
	if n := len(read(t, b, Quarantine, 0)); n != 5 {
		t.Errorf("%d records in quarantine, want 5", n)
	}
	if outcome, err := put(t, b, Group{Mark: mark, Once: true, Build: func(tx *Tx) error { tx.Append(Normal, []byte("again")); return nil }}); err != nil || outcome.Duplicates != 1 {
		t.Errorf("a repeat is not recognised after the upgrade: %+v, %v", outcome, err)
	}
}

// F104: cut off anywhere while records are taken in, it goes on where it was.
func TestTakingInASegmentCanBeCutOffAnywhere(t *testing.T) {
	for after := range 6 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			old := small(t.TempDir())
			upgraded := small(old.Dir)
			upgraded.format = segmentFormat + 1
			b := open(t, upgraded)
			number(t, b, Normal, 0, 600)
			number(t, b, Urgent, 600, 610)
			wanted := pendingData(t, b)
			closeBuffer(t, b)
			closeBuffer(t, open(t, old))

			cut := upgraded
			left := after
			cut.interrupt = func() error {
				if left--; left < 0 {
					return errDisk
				}
				return nil
			}
			closeBuffer(t, open(t, cut))
			if left >= 0 || len(files(t, old.Dir, "*"+suffixNewer)) == 0 {
				t.Fatal("nothing was cut off")
			}
			got := pendingData(t, open(t, upgraded))
			slices.Sort(got)
			slices.Sort(wanted)
			if !slices.Equal(got, wanted) {
				t.Errorf("%d records after the cut, want the %d that there were", len(got), len(wanted))
			}
		})
	}
}

// number appends records that each say their number.
func number(t *testing.T, b *Buffer, lane Lane, from, to int) {
	t.Helper()
	for ; from < to; from += 50 {
		var groups []Group
		for n := from; n < min(from+50, to); n++ {
			groups = append(groups, one(lane, fmt.Sprintf("%01000d", n)))
		}
		mustPut(t, b, groups...)
	}
}

// pendingData returns what of the two forwarded lanes is still to be published.
func pendingData(t *testing.T, b *Buffer) (all []string) {
	t.Helper()
	for lane := Urgent; lane < Quarantine; lane++ {
		for _, record := range read(t, b, lane, b.PublishedUpTo(lane)+1) {
			all = append(all, string(record.Data))
		}
	}
	return all
}
