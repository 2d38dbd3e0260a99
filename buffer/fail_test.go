package buffer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var errDisk = errors.New("disk is on fire")

// failing lets the next commits fail: some before they reach the disk, some after.
type failing struct{ before, after int }

// setHook installs a commit hook between two transactions.
func setHook(t *testing.T, b *Buffer, hook func(commit func() error) error) {
	t.Helper()
	mustPut(t, b, Group{Build: func(*Tx) error { b.commitHook = nil; return nil }})
	done := make(chan struct{})
	err := b.queue.own(func(*Tx) error { return nil }, func(Outcome, error) { b.commitHook = hook; close(done) })
	if err != nil {
		t.Fatal(err)
	}
	<-done
}

func (f *failing) hook(commit func() error) error {
	switch {
	case f.before > 0:
		f.before--
		return errDisk
	case f.after > 0:
		f.after--
		return errors.Join(commit(), errDisk)
	}
	return commit()
}

// F39: one commit fails, before or after it is on disk.
func TestFailedCommitIsMadeAgainInANewSegmentFromTheSameState(t *testing.T) {
	for name, f := range map[string]*failing{"before": {before: 1}, "after": {after: 1}} {
		t.Run(name, func(t *testing.T) {
			b := open(t, small(t.TempDir()))
			var seen []string
			count := Group{Build: func(tx *Tx) error {
				n := append(tx.State("n"), 'x')
				seen = append(seen, string(n))
				tx.SetState("n", n)
				tx.Append(Normal, n)
				return nil
			}}
			mustPut(t, b, count)
			setHook(t, b, f.hook)
			mustPut(t, b, count)
			mustPut(t, b, count)
			if want := []string{"x", "xx", "xx", "xxx"}; !slices.Equal(seen, want) {
				t.Errorf("builds saw %v, want %v", seen, want)
			}
			want := []string{"1 x", "2 xx", "3 xxx"}
			wantTexts(t, b, Normal, want...)
			if s := b.Stats(); s.Segments != 2 || s.Failing != nil {
				t.Errorf("%d segments, failing %v; want 2, nil", s.Segments, s.Failing)
			}
			b = reopen(t, b)
			wantTexts(t, b, Normal, want...)
			if got := string(b.State("n")); got != "xxx" {
				t.Errorf("state is %q", got)
			}
		})
	}
}

func TestBufferRecoversWhenTheDiskFailsForAWhile(t *testing.T) {
	b := open(t, small(t.TempDir()))
	mustPut(t, b, one(Normal, "a"))
	setHook(t, b, (&failing{after: 2}).hook)
	if _, err := put(t, b, one(Normal, "b")); !errors.Is(err, errDisk) {
		t.Fatalf("append on a broken disk: %v", err)
	}
	wantTexts(t, b, Normal, "1 a")
	mustPut(t, b, one(Normal, "c"))
	wantTexts(t, b, Normal, "1 a", "2 c")
	if s := b.Stats(); s.Failing != nil || s.Pending[Normal] != 2 {
		t.Errorf("stats: %+v", s)
	}
	b = reopen(t, b)
	wantTexts(t, b, Normal, "1 a", "2 c")
}

func TestFailureAndCloseLeaveOnlyWhatWasAcknowledged(t *testing.T) {
	b := open(t, small(t.TempDir()))
	mustPut(t, b, one(Normal, "a"))
	setHook(t, b, (&failing{after: 100}).hook)
	if _, err := put(t, b, Group{Build: func(tx *Tx) error {
		tx.SetState("n", []byte("b"))
		tx.Append(Normal, []byte("b"))
		return nil
	}}); err == nil {
		t.Fatal("append on a broken disk was acknowledged")
	}
	b = reopen(t, b)
	mustPut(t, b, one(Normal, "c"))
	wantTexts(t, b, Normal, "1 a", "2 c")
	if s := b.Stats(); b.State("n") != nil || s.Pending[Normal] != 2 || s.Damaged != 0 {
		t.Errorf("state %q, stats %+v", b.State("n"), s)
	}
}

func TestSecondProcessIsToldWhoHasTheFolder(t *testing.T) {
	dir := t.TempDir()
	open(t, small(dir))
	_, err := Open(small(dir))
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second open: %v", err)
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "buffer")
	b := open(t, small(dir))
	mustPut(t, b, one(Normal, "a"))
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAppendToAClosedBufferIsRefused(t *testing.T) {
	b := open(t, small(t.TempDir()))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Append(t.Context(), []Group{one(Normal, "a")}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if _, err := b.Read(Normal, 0, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestCloseCommitsWhatIsQueued(t *testing.T) {
	o := small(t.TempDir())
	o.CommitDelay = time.Hour
	b := open(t, o)
	acknowledged := false
	err := b.Append(t.Context(), []Group{one(Normal, "a")}, func(_ Outcome, err error) { acknowledged = err == nil })
	if err != nil {
		t.Fatal(err)
	}
	b = reopen(t, b)
	wantTexts(t, b, Normal, "1 a")
	if !acknowledged {
		t.Error("not acknowledged")
	}
}
