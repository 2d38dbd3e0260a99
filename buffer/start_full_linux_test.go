package buffer

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk mounts a tmpfs for the test.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,"+options); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk leaves a number of bytes free on a tmpfs, and returns the file that takes the rest.
func fillDisk(t *testing.T, dir string, left int64) string {
	t.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, int64(stat.Bavail)*stat.Bsize-left), 0o600); err != nil {
		t.Fatal(err)
	}
	return ballast
}

func TestStartOnAFullDiskDeliversAndRecovers(t *testing.T) {
	for name, left := range map[string]int64{"nothing free": 0, "one page free": 4096, "1 % free": 20 << 10} {
		t.Run(name, func(t *testing.T) {
			dir := smallDisk(t, "size=2m")
			b := open(t, small(dir))
			defer func() { _ = b.Close() }() // before the disk goes
			groups := many(Normal, 300, 500)
			mustPut(t, b, groups...)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			ballast := fillDisk(t, dir, left)
			b = open(t, small(dir))
			defer func() { _ = b.Close() }()
			if got := len(read(t, b, Normal, 0)); got != len(groups) {
				t.Errorf("%d records can be read, want %d", got, len(groups))
			}
			for range 20 { // until it is full
				if _, err := put(t, b, many(Normal, 20, 500)...); err != nil {
					if !errors.Is(err, syscall.ENOSPC) {
						t.Fatal(err)
					}
					break
				}
			}
			if b.Stats().Failing == nil {
				t.Error("nothing says that the disk is full")
			}
			held := len(read(t, b, Normal, 0))
			b = reopen(t, b) // its newest segment was given up meanwhile
			defer func() { _ = b.Close() }()
			if got := len(read(t, b, Normal, 0)); got != held {
				t.Errorf("%d records can be read after another start, want %d", got, held)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			eventually(t, "recovery by itself", func() bool { return b.Stats().Failing == nil })
			mustPut(t, b, one(Normal, "after"))
			stored := b.Stats().Appended
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			b = open(t, small(dir))
			defer func() { _ = b.Close() }()
			if s := b.Stats(); s.Appended != stored || s.Damaged > 0 {
				t.Errorf("after a restart %d records, %d damaged; want %d, none", s.Appended, s.Damaged, stored)
			}
		})
	}
}

func TestNearlyFullDiskIsFreedAsThePolicySays(t *testing.T) {
	dir := smallDisk(t, "size=6m")
	o := small(dir)
	b := open(t, o)
	defer func() { _ = b.Close() }()
	for range 30 {
		mustPut(t, b, many(Normal, 100, 1000)...)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	fillDisk(t, dir, 60<<10) // 1 % free
	o.MaxSize = 1 << 20
	b = open(t, o)
	defer func() { _ = b.Close() }()
	eventually(t, "the oldest records to expire", func() bool { return b.Stats().Bytes <= o.MaxSize })
	if s := b.Stats(); s.Expired == 0 || s.Failing != nil {
		t.Errorf("%d expired, failing %v", s.Expired, s.Failing)
	}
	mustPut(t, b, many(Normal, 100, 1000)...)
}
