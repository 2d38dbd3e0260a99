package buffer

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// F35: the disk is full, and then it is not.
func TestFullDiskKeepsWhatIsThereAndRecovers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	b := open(t, small(dir))
	defer func() { _ = b.Close() }()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 300<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	held := 0
	for {
		outcome, err := put(t, b, many(Normal, 20, 1000)...)
		if err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("full disk: %v", err)
			}
			break
		}
		held += outcome.Stored
	}
	if got := len(read(t, b, Normal, 0)); got != held || held == 0 {
		t.Errorf("on the full disk %d records can be read, %d were acknowledged", got, held)
	}
	if b.Stats().Failing == nil {
		t.Error("nothing says that the disk is full")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "recovery by itself", func() bool { return b.Stats().Failing == nil })
	mustPut(t, b, one(Normal, "after"))
	b = reopen(t, b)
	if got := len(read(t, b, Normal, 0)); got != held+1 {
		t.Errorf("after a restart %d records can be read, want %d", got, held+1)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
