package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// boltChild tells a copy of the test binary to use a database on a mount: files that are mapped into memory must not be
// in the process that serves them.
const boltChild = "FAULTFS_BOLT_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(boltChild); path != "" {
		if err := useBolt(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// mount mounts an empty folder and returns where it is, and what is below.
func mount(t *testing.T) (f *FS, at, backing string) {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	backing, at = t.TempDir(), t.TempDir()
	f, err := Mount(backing, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return f, at, backing
}

func ok(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// lines is a recording without what differs from run to run.
func lines(r Recording) []string {
	var found []string
	for _, op := range r.Ops {
		line := op.Kind.String()
		switch op.Kind {
		case Write:
			line = fmt.Sprintf("write %d at %d: %s", op.File, op.Offset, op.Data)
		case Note:
			line = "note " + string(op.Data)
		case Truncate:
			line = fmt.Sprintf("truncate %d to %d", op.File, op.Size)
		case Sync, Create, Unlink:
			line = fmt.Sprintf("%v %d", op.Kind, op.File)
		case Rename:
			line = fmt.Sprintf("rename %d to %s", op.File, op.To)
		}
		if op.Errno != 0 {
			line += " refused"
		}
		found = append(found, line)
	}
	return found
}

func TestEveryChangeIsRecordedInOrder(t *testing.T) {
	f, at, backing := mount(t)
	note, err := os.OpenFile(filepath.Join(at, Notes), os.O_WRONLY, 0)
	ok(t, err)
	file, err := os.Create(filepath.Join(at, "a"))
	ok(t, err)
	_, err = file.WriteString("hello")
	ok(t, err, file.Sync())
	_, err = note.WriteString("synced")
	ok(t, err, note.Close())
	ok(t, os.Rename(filepath.Join(at, "a"), filepath.Join(at, "b")))
	_, err = file.WriteAt([]byte("J"), 0)
	ok(t, err, file.Truncate(3), file.Close())
	dir, err := os.Open(at)
	ok(t, err, dir.Sync(), dir.Close())
	ok(t, os.Remove(filepath.Join(at, "b")))
	ok(t, os.WriteFile(filepath.Join(at, "b"), []byte("new"), 0o600))
	want := []string{
		"create 1", "write 1 at 0: hello", "fsync 1", "note synced", "rename 1 to b", "write 1 at 0: J",
		"truncate 1 to 3", "fsync of a folder", "unlink 1", "create 2", "write 2 at 0: new",
	}
	if got := lines(f.Recording()); !slices.Equal(got, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	data, err := os.ReadFile(filepath.Join(backing, "b"))
	if err != nil || string(data) != "new" {
		t.Errorf("below is %q, %v", data, err)
	}
	if files, err := os.ReadDir(at); err != nil || len(files) != 1 {
		t.Errorf("the mount lists %v, %v; want b only", files, err)
	}
}

func TestWhatIsThereAtTheStartIsRemembered(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	backing, at := t.TempDir(), t.TempDir()
	ok(t, os.WriteFile(filepath.Join(backing, "old"), []byte("content"), 0o600))
	f, err := Mount(backing, at)
	ok(t, err)
	defer func() { ok(t, f.Unmount()) }()
	ok(t, os.WriteFile(filepath.Join(at, "old"), []byte("x"), 0o600))
	r := f.Recording()
	if len(r.Base) != 1 || r.Base[0].Name != "old" || string(r.Base[0].Data) != "content" {
		t.Fatalf("base is %+v", r.Base)
	}
	want := []string{"truncate 1 to 0", "write 1 at 0: x"}
	if got := lines(r); !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

func TestTheNthOperationFailsAndNoOther(t *testing.T) {
	f, at, backing := mount(t)
	path := filepath.Join(at, "a")
	file, err := os.Create(path)
	ok(t, err)
	defer func() { _ = file.Close() }()
	write := func(n int, want error) {
		t.Helper()
		if _, err := file.WriteAt(fmt.Append(nil, n), int64(n)); !errors.Is(err, want) {
			t.Errorf("write %d: %v, want %v", n, err, want)
		}
	}
	f.Arm(Fault{At: Write, Nth: 2, Times: 1, Errno: syscall.ENOSPC})
	write(0, nil)
	write(1, syscall.ENOSPC)
	write(2, nil)
	if f.Fired() != 1 || f.Seen(Write) != 3 {
		t.Errorf("fired %d times in %d writes", f.Fired(), f.Seen(Write))
	}
	data, err := os.ReadFile(filepath.Join(backing, "a"))
	if err != nil || string(data) != "0\x002" {
		t.Errorf("below is %q, %v", data, err)
	}
	f.Arm(Fault{At: Sync, Nth: 1, Kinds: []Kind{Sync, Write, Rename, Unlink, Create, SyncDir, Open}, Errno: syscall.EROFS})
	write(3, nil)
	for name, err := range map[string]error{
		"fsync": file.Sync(), "rename": os.Rename(path, path+"2"), "unlink": os.Remove(path),
		"create": os.WriteFile(path+"3", nil, 0o600), "open": func() error { _, err := os.ReadFile(path); return err }(),
	} {
		// Which came first is not known here: fsync is the one that begins it.
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(4, syscall.EROFS)
	f.Arm(Fault{})
	write(5, nil)
	ok(t, file.Sync())
}

func TestHalfOfATornWriteIsThere(t *testing.T) {
	f, at, backing := mount(t)
	f.Arm(Fault{At: Write, Nth: 1, Times: 1, Errno: syscall.EIO, Torn: true})
	if err := os.WriteFile(filepath.Join(at, "a"), []byte("abcdef"), 0o600); !errors.Is(err, syscall.EIO) {
		t.Errorf("torn write: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(backing, "a"))
	if err != nil || string(data) != "abc" {
		t.Errorf("below is %q, %v", data, err)
	}
}

func TestASlowFsyncHoldsUpNothingElse(t *testing.T) {
	f, at, _ := mount(t)
	f.Arm(Fault{At: Sync, Nth: 1, Times: 1, Delay: 5 * time.Second})
	file, err := os.Create(filepath.Join(at, "a"))
	ok(t, err)
	defer func() { _ = file.Close() }()
	began, done := time.Now(), make(chan time.Duration, 1)
	go func() {
		_ = file.Sync()
		done <- time.Since(began)
	}()
	for f.Fired() == 0 {
		time.Sleep(time.Millisecond)
	}
	ok(t, os.WriteFile(filepath.Join(at, "b"), []byte("b"), 0o600))
	select {
	case took := <-done:
		t.Fatalf("the fsync took %v and held up a write, or was not held up", took)
	default:
	}
	if took := <-done; took < 5*time.Second {
		t.Errorf("the fsync took %v", took)
	}
}

// useBolt fills a database in several transactions, and reads all of it back through the memory map after each.
func useBolt(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	if _, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 100 * time.Millisecond}); err == nil {
		return errors.New("a second open was not refused: no lock")
	}
	for i := range 60 {
		err := db.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("b"))
			if err != nil {
				return err
			}
			for j := range 20 {
				if err := bucket.Put(fmt.Append(nil, i*20+j), bytes.Repeat([]byte{byte(i)}, 300)); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			err = db.View(func(tx *bolt.Tx) error { return checkBolt(tx, i) })
		}
		if err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
	}
	return db.Close()
}

func checkBolt(tx *bolt.Tx, last int) error {
	for err := range tx.Check() {
		return err
	}
	for i := range (last + 1) * 20 {
		if got := tx.Bucket([]byte("b")).Get(fmt.Append(nil, i)); !bytes.Equal(got, bytes.Repeat([]byte{byte(i / 20)}, 300)) {
			return fmt.Errorf("key %d has %d bytes of something else", i, len(got))
		}
	}
	return nil
}

func TestBoltReadsItsWritesThroughTheMemoryMap(t *testing.T) {
	f, at, backing := mount(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), boltChild+"="+filepath.Join(at, "db"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if f.Seen(Sync) < 100 || f.Seen(Write) < 200 {
		t.Errorf("saw %d fsyncs and %d writes", f.Seen(Sync), f.Seen(Write))
	}
	compareReplay(t, f.Recording(), filepath.Join(backing, "db"))
}

// compareReplay wants that the recorded operations lead to the file that is there.
func compareReplay(t *testing.T, r Recording, path string) {
	t.Helper()
	var image []byte
	resize := func(size int64) {
		image = append(image, make([]byte, max(0, int(size)-len(image)))...)[:size]
	}
	for _, op := range r.Ops {
		switch op.Kind {
		case Truncate:
			resize(op.Size)
		case Write:
			resize(max(int64(len(image)), op.Offset+int64(len(op.Data))))
			copy(image[op.Offset:], op.Data)
		}
	}
	want, err := os.ReadFile(path)
	ok(t, err)
	if !bytes.Equal(image, want) {
		t.Errorf("replay has %d bytes, the file %d, or they differ", len(image), len(want))
	}
}
