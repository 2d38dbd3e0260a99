package buffer

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// inTime runs f with a clock that begins in the year 2000, whatever it was before, as a box without a battery does.
func inTime(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// F54, F55: the clock is years behind at the next start. What was stored before keeps its place and its age.
func TestAClockThatGoesBackChangesNoOrderAndNoAge(t *testing.T) {
	o := small(t.TempDir())
	o.MaxAge, o.SegmentAge, o.QuarantineAge = 10*time.Hour, time.Minute, 10*time.Hour
	var left time.Duration
	inTime(t, func(t *testing.T) {
		time.Sleep(26 * 365 * 24 * time.Hour) // it is 2025
		b := open(t, o)
		mustPut(t, b, one(Normal, "a"), one(Quarantine, "q"))
		time.Sleep(2 * time.Minute)
		mustPut(t, b, one(Normal, "b"))
		left = b.Stats().Oldest
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
	inTime(t, func(t *testing.T) { // it is 2000
		b := open(t, o)
		mustPut(t, b, one(Normal, "c"))
		wantTexts(t, b, Normal, "1 a", "3 b", "4 c")
		if got := b.Stats().Oldest; got < left || got > left+time.Minute {
			t.Errorf("the oldest record has waited %s, %s before the restart", got, left)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// F56: the box was off, or the clock jumped, for twenty years. Nothing expires because of that.
func TestTwentyYearsOnTheClockExpireNothing(t *testing.T) {
	inTime(t, func(t *testing.T) {
		o := small(t.TempDir())
		o.MaxAge, o.SegmentAge, o.QuarantineAge, o.Hold = 10*time.Hour, time.Minute, 10*time.Hour, time.Hour
		b := open(t, o)
		mustPut(t, b, one(Urgent, "alarm"), one(Normal, "a"), one(Quarantine, "q"))
		time.Sleep(5 * time.Minute)
		mustPut(t, b, one(Normal, "b"))
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * 365 * 24 * time.Hour)
		b = open(t, o)
		time.Sleep(time.Minute) // for every limit to be looked at
		s := b.Stats()
		if s.Expired != 0 || s.Pending != [2]uint64{1, 2} || s.Quarantined != 1 || s.Oldest > time.Hour {
			t.Errorf("after twenty years: %+v", s)
		}
		wantTexts(t, b, Normal, "2 a", "4 b")
		time.Sleep(11 * time.Hour) // and these do count
		if s := b.Stats(); s.Expired == 0 {
			t.Errorf("nothing expired in 11 hours of running: %+v", s)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// F54, F57: the files say 1970, or the far future. No decision hangs on that.
func TestTimesOfFilesDoNotMatter(t *testing.T) {
	b := open(t, small(t.TempDir()))
	fill(t, b, Normal, 500)
	before := b.Stats()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for i, at := range []time.Time{time.Unix(0, 0), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)} {
		paths, err := filepath.Glob(filepath.Join(b.options.Dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
		b = open(t, b.options)
		mustPut(t, b, one(Normal, "new"))
		if s := b.Stats(); s.Expired != 0 || s.Damaged != 0 || s.Pending[Normal] != before.Pending[Normal]+uint64(i)+1 {
			t.Errorf("files of %s: %+v", at, s)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
