package buffer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// F50: fsync takes 5 s. What comes meanwhile waits in memory, up to a limit, and is committed in order.
func TestSlowFsyncIsNoLossAndMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small(t.TempDir())
		o.SegmentSize, o.MaxSize = 4<<20, 64<<20
		b := open(t, o)
		setHook(t, b, func(commit func() error) error { time.Sleep(5 * time.Second); return commit() })
		done, asked := 0, 0
		append := func(ctx context.Context) error {
			err := b.Append(ctx, many(Normal, 16, 10), func(o Outcome, err error) {
				if err != nil {
					t.Error(err)
				}
				done += o.Stored
			})
			if err == nil {
				asked += 16
			}
			return err
		}
		began := time.Now()
		if err := append(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the commit goes on
		for range maxQueued / 16 {
			if err := append(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("intake waited %s for the disk", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := append(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("more than the limit was taken: %v", err)
		}
		if alive := time.Since(b.Stats().Alive); alive > 6*time.Second {
			t.Errorf("last sign of life %s ago", alive)
		}
		if got := len(read(t, b, Normal, 0)); got != 0 {
			t.Errorf("%d records can be read before they are on disk", got)
		}
		setHookLater(t, b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = open(t, o)
		records := read(t, b, Normal, 0)
		if len(records) != asked || done != asked {
			t.Errorf("%d records, %d acknowledged, %d appended", len(records), done, asked)
		}
		for i, r := range records {
			if r.Seq != Seq(i+1) {
				t.Fatalf("record %d after %d", r.Seq, i)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// setHookLater takes the hook away once the writer gets to it.
func setHookLater(t *testing.T, b *Buffer) {
	t.Helper()
	if err := b.queue.own(func(*Tx) error { b.commitHook = nil; return nil }, nil); err != nil {
		t.Fatal(err)
	}
}
