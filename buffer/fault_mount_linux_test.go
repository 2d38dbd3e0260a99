package buffer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a file system")
	}
}

// tmpfs mounts a file system in memory of a given size.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Errorf("unmount %s: %v", dir, err)
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
	}
}

// disk is an ext4 file system in an image file.
type disk struct {
	t       *testing.T
	image   string
	loop    string // its device
	dir     string // where it is mounted
	mounted bool
}

// newDisk makes an image in a folder and mounts it. Only what is written of the image takes room there.
func newDisk(t *testing.T, folder string, bytes int64, options ...string) *disk {
	t.Helper()
	needRoot(t)
	d := &disk{t: t, image: filepath.Join(folder, "image"), dir: t.TempDir()}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, bytes); err != nil {
		t.Fatal(err)
	}
	d.tool("mkfs.ext4", append(options, "-q", "-F", d.image)...)
	d.loop = strings.TrimSpace(d.tool("losetup", "--find", "--show", d.image))
	t.Cleanup(func() {
		d.unmount()
		d.tool("losetup", "--detach", d.loop)
	})
	d.mount()
	return d
}

// tool runs a program; the test is skipped where there is none.
func (d *disk) tool(name string, args ...string) string {
	d.t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		d.t.Skip("needs ", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		d.t.Skipf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (d *disk) mount() {
	d.t.Helper()
	if err := syscall.Mount(d.loop, d.dir, "ext4", 0, "errors=remount-ro"); err != nil {
		d.t.Skipf("mount %s: %v", d.loop, err)
	}
	d.mounted = true
}

func (d *disk) unmount() {
	if d.mounted {
		d.mounted = false
		unmount(d.t, d.dir)
	}
}

// repair is what an operator does, or a restart of the machine.
func (d *disk) repair() {
	d.t.Helper()
	d.unmount()
	out, err := exec.Command("e2fsck", "-f", "-y", d.loop).CombinedOutput() // exit code 1: repaired
	if err != nil && !strings.Contains(err.Error(), "exit status 1") {
		d.t.Fatalf("e2fsck: %v: %s", err, out)
	}
	d.mount()
}

// fail has ext4 find an error in itself, after which it takes no more writes.
func (d *disk) fail() {
	d.t.Helper()
	trigger := fmt.Sprintf("/sys/fs/ext4/%s/trigger_fs_error", filepath.Base(d.loop))
	if err := os.WriteFile(trigger, []byte("test\n"), 0o200); err != nil {
		d.t.Skipf("no way to make ext4 fail: %v", err)
	}
}

// fillUp appends until the disk takes no more, and returns how many records are acknowledged.
func fillUp(t *testing.T, b *Buffer) (held int, err error) {
	t.Helper()
	for range 10_000 {
		outcome, err := put(t, b, many(Normal, 20, 1000)...)
		if err != nil {
			return held, err
		}
		held += outcome.Stored
	}
	t.Fatal("the disk is never full")
	return 0, nil
}

func wantRecords(t *testing.T, b *Buffer, when string, want int) {
	t.Helper()
	// What was on its way to a disk that then failed may be there too, whole batches of it.
	if got := len(drained(t, b, Normal, 0)); got < want || got > want+maxBatchRecords || want == 0 {
		t.Errorf("%s %d records can be read, %d were acknowledged", when, got, want)
	}
}
