package buffer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// checkNow lets the writer compare the names at once.
func checkNow(t *testing.T, b *Buffer) {
	t.Helper()
	checked := make(chan struct{})
	err := b.queue.own(func(*Tx) error { return nil }, func(Outcome, error) {
		b.namesChecked = time.Time{}
		b.checkNames(time.Now())
		close(checked)
	})
	if err != nil {
		t.Fatal(err)
	}
	<-checked
}

func TestSegmentThatLosesItsNameLosesNoRecord(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"renamed": func(path string) error { return os.Rename(path, path+".old") },
		"deleted": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, []byte("something else"), 0o600))
		},
		"copied back": func(path string) error { // another file with the same content
			data, err := os.ReadFile(path)
			return errors.Join(err, os.Remove(path), os.WriteFile(path, data, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, small(t.TempDir()))
			mustPut(t, b, one(Normal, "a"), one(Urgent, "b"))
			head := b.head.path
			if err := lose(head); err != nil {
				t.Fatal(err)
			}
			mustPut(t, b, one(Normal, "c")) // nobody has noticed yet
			checkNow(t, b)
			mustPut(t, b, one(Normal, "d"))
			if b.head.path == head {
				t.Error("it goes on in the same file")
			}
			if err := b.Stats().Failing; err != nil {
				t.Errorf("failing: %v", err)
			}
			for range 2 {
				wantTexts(t, b, Normal, "1 a", "3 c", "4 d")
				wantTexts(t, b, Urgent, "2 b")
				b = reopen(t, b)
			}
			if s := b.Stats(); s.Damaged != 0 {
				t.Errorf("%d damaged", s.Damaged)
			}
		})
	}
}

func TestFolderThatIsMovedAwayTakesNothingMore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "buffer")
	b := open(t, small(dir))
	mustPut(t, b, one(Normal, "a"))
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	checkNow(t, b)
	if _, err := put(t, b, one(Normal, "b")); err == nil {
		t.Error("a record is acknowledged that a restart would not find")
	}
	if b.Stats().Failing == nil {
		t.Error("nothing says so")
	}
	if err := os.Rename(dir+".old", dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "recovery by itself", func() bool { return b.Stats().Failing == nil })
	mustPut(t, b, one(Normal, "c"))
	wantTexts(t, reopen(t, b), Normal, "1 a", "2 c")
}

func TestLockThatIsRemovedIsTakenAnew(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	if err := os.Remove(filepath.Join(o.Dir, "lock")); err != nil {
		t.Fatal(err)
	}
	checkNow(t, b)
	mustPut(t, b, one(Normal, "a"))
	if _, err := Open(o); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v, want %v", err, ErrLocked)
	}
}

func TestNothingIsWrittenToAFolderThatAnotherProcessTookOver(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	mustPut(t, b, one(Normal, "a"))
	if err := os.Remove(filepath.Join(o.Dir, "lock")); err != nil {
		t.Fatal(err)
	}
	other, err := lockDir(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	checkNow(t, b)
	if _, err := put(t, b, one(Normal, "b")); !errors.Is(err, ErrLocked) {
		t.Errorf("append beside another process: %v, want %v", err, ErrLocked)
	}
	m, err := readManifest(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Epoch++ // as Open does
	if err := errors.Join(m.write(o.Dir), other.Close()); err != nil {
		t.Fatal(err)
	}
	checkNow(t, b)
	if _, err := put(t, b, one(Normal, "c")); !errors.Is(err, ErrLocked) {
		t.Errorf("append after another process: %v, want %v", err, ErrLocked)
	}
	if m, err := readManifest(o.Dir); err != nil || m.Epoch <= b.epoch {
		t.Errorf("the other's manifest was overwritten: %+v, %v", m, err)
	}
}
