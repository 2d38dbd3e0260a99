package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// logged keeps what a buffer logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func logging(o Options) (Options, *logged) {
	l := new(logged)
	o.Log = slog.New(slog.NewTextHandler(l, nil))
	return o, l
}

// F36: the disk says that there is room and finds out at fsync that there is none, as thin storage and dying cards do.
func TestDiskThatIsFullOnlyAtFsyncLosesNothingUnseen(t *testing.T) {
	t.Parallel()
	thin := tmpfs(t, "5m")
	d := newDisk(t, thin, 64<<20, "-b", "1024", "-J", "size=1")
	o, log := logging(small(d.dir))
	o.MaxSize = 32 << 20
	b := open(t, o)
	held, err := fillUp(t, b)
	var room unix.Statfs_t
	if unix.Statfs(d.dir, &room) == nil && room.Bavail*uint64(room.Bsize) < 10<<20 {
		t.Errorf("the file system itself was full, and not what is under it: %v", err)
	}
	wantRecords(t, b, "after the failure", held)
	if _, err := put(t, b, one(Normal, "again")); err == nil {
		held++ // in a new segment, if the file system goes on
	}
	time.Sleep(2 * tidyInterval) // it tries again and again
	if n := log.count("buffer cannot write\""); n > 3 {
		t.Errorf("it says %d times that it cannot write", n)
	}
	_ = b.Close() // may not get its last marks to the disk
	d.unmount()
	if err := syscall.Mount("tmpfs", thin, "tmpfs", syscall.MS_REMOUNT, "size=100m"); err != nil {
		t.Fatal(err)
	}
	d.repair()
	named := false
	o.Lost = func([]Range, string) [][]byte { named = true; return nil }
	b = open(t, o)
	defer func() { _ = b.Close() }()
	// The file system itself may have lost blocks whose fsync had succeeded: then that is seen and named.
	eventually(t, "the acknowledged records, or word of their loss", func() bool {
		return len(read(t, b, Normal, 0)) >= held || named && b.Stats().Damaged > 0
	})
	mustPut(t, b, one(Normal, "after"))
}

// F38: the file system turns read-only under the open files.
func TestReadOnlyFileSystemCanBeDrained(t *testing.T) {
	t.Parallel()
	d := newDisk(t, t.TempDir(), 32<<20)
	o, log := logging(small(d.dir))
	b := open(t, o)
	fill(t, b, Normal, 500)
	d.fail()
	if _, err := put(t, b, one(Normal, "lost")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("append: %v, want that the file system is read-only", err)
	}
	drained := 0
	for records := read(t, b, Normal, b.PublishedUpTo(Normal)+1); len(records) > 0; records = read(t, b, Normal, b.PublishedUpTo(Normal)+1) {
		drained += len(records)
		b.Published(Normal, records[len(records)-1].Seq)
	}
	if drained != 500 {
		t.Errorf("%d records could be drained, want 500", drained)
	}
	time.Sleep(3 * tidyInterval)
	if err := b.Stats().Failing; !errors.Is(err, syscall.EROFS) {
		t.Errorf("status says %v", err)
	}
	if n := log.count("level=ERROR"); n > 4 {
		t.Errorf("%d errors logged in 3 seconds", n)
	}
	if got := len(read(t, b, Normal, 0)); got != 500 {
		t.Errorf("%d records are left on the read-only disk, want all 500", got)
	}
	_ = b.Close()
	d.repair()
	b = open(t, o)
	defer func() { _ = b.Close() }()
	mustPut(t, b, one(Normal, "after"))
	wantRecords(t, b, "after the repair", 501)
}

// F38: a folder that nobody may write to for a while is drained meanwhile, and used again without a restart.
func TestFolderThatCanBeWrittenAgainIsUsedWithoutARestart(t *testing.T) {
	t.Parallel()
	d := newDisk(t, t.TempDir(), 32<<20)
	b := open(t, small(d.dir))
	defer func() { _ = b.Close() }() // before the disk goes
	defer immutable(t, d.dir, false)
	fill(t, b, Normal, 300)
	immutable(t, d.dir, true)
	if _, err := put(t, b, one(Normal, "refused")); !errors.Is(err, syscall.EPERM) {
		t.Errorf("append: %v, want that it is not permitted", err)
	}
	wantRecords(t, b, "meanwhile", 300)
	b.Published(Normal, 200)
	immutable(t, d.dir, false)
	eventually(t, "recovery by itself", func() bool { return b.Stats().Failing == nil })
	mustPut(t, b, one(Normal, "after"))
	eventually(t, "marks", func() bool { return b.Stats().Published == 200 })
	records := read(t, b, Normal, 201)
	if n := len(records); n != 101 || string(records[100].Data) != "after" {
		t.Errorf("%d records to publish, want 101", n)
	}
}

const immutableFlag = 0x10 // FS_IMMUTABLE_FL

// immutable sets or clears the flag that keeps even root from changing a folder and the files in it.
func immutable(t *testing.T, dir string, on bool) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, dir) {
		if stat, err := os.Stat(path); err != nil || !stat.Mode().IsRegular() && path != dir {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if err == nil {
			if flags &^= immutableFlag; on {
				flags |= immutableFlag
			}
			err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
		}
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// F51: no inode is left, so no new segment can be made: the newest is filled beyond its size until there is one again.
func TestNoMoreInodesIsNoLoss(t *testing.T) {
	t.Parallel()
	d := newDisk(t, t.TempDir(), 64<<20, "-N", "64")
	o, log := logging(small(d.dir))
	o.MaxSize = 32 << 20
	b := open(t, o)
	defer func() { _ = b.Close() }()
	mustPut(t, b, one(Normal, "first"))
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(d.dir, fmt.Sprint("ballast", i)))
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	segments := b.Stats().Segments
	fill(t, b, Normal, 2000) // some fifteen segments
	if got := b.Stats(); got.Segments != segments || got.Failing != nil {
		t.Errorf("%d segments, failing: %v; want %d that take everything", got.Segments, got.Failing, segments)
	}
	time.Sleep(3 * failedPause)
	mustPut(t, b, one(Normal, "more"))
	if n := log.count("cannot begin a new segment"); n != 1 {
		t.Errorf("it says %d times that it cannot begin a new segment, want once", n)
	}
	wantRecords(t, b, "without inodes", 2002)
	for _, path := range mustGlob(t, filepath.Join(d.dir, "ballast*")) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a new segment", func() bool { return b.Stats().Segments > segments })
	b = reopen(t, b)
	wantRecords(t, b, "after a restart", 2002)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
