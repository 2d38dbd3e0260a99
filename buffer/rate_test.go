package buffer

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestTwentyEventsASecondAreFourCommitsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small(t.TempDir())
		o.CommitDelay, o.SegmentSize, o.MaxSize = 250*time.Millisecond, 4<<20, 64<<20
		b := open(t, o)
		random := rand.New(rand.NewPCG(1, 2))
		begin := time.Now()
		for time.Since(begin) < 100*time.Second {
			time.Sleep(time.Duration(random.ExpFloat64() * float64(time.Second) / 20))
			if err := b.Append(t.Context(), []Group{one(Normal, "x")}, nil); err != nil {
				t.Fatal(err)
			}
			b.Published(Normal, b.Stats().LastSeq)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if s := b.Stats(); s.Commits > 4*100 || s.Appended < 1500 {
			t.Errorf("%d commits for %d events in 100 s", s.Commits, s.Appended)
		}
	})
}

func TestIdleBufferCommitsMarksOnceAndThenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, small(t.TempDir()))
		mustPut(t, b, one(Normal, "a"))
		b.Published(Normal, 1)
		b.Published(Normal, 1)
		time.Sleep(tidyInterval)
		synctest.Wait()
		before := b.Stats()
		if before.Pending[Normal] != 0 || before.Commits != 2 {
			t.Errorf("after a second: %d pending, %d commits", before.Pending[Normal], before.Commits)
		}
		time.Sleep(clockInterval / 2)
		if got := b.Stats().Commits; got != before.Commits {
			t.Errorf("%d commits while nothing happened", got-before.Commits)
		}
	})
}
