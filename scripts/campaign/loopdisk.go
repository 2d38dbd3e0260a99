package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loopDisk is an ext4 file system in a file, whose power can be cut.
type loopDisk struct {
	image   string
	at      string // where it is mounted
	options string // of the mount
}

const loopDiskSize = 512 << 20 // sparse

// newLoopDisk makes a file system in a folder and mounts it there.
func newLoopDisk(dir, options string) (*loopDisk, error) {
	d := &loopDisk{image: filepath.Join(dir, "disk.ext4"), at: filepath.Join(dir, "disk"), options: options}
	if err := os.Mkdir(d.at, 0o700); err != nil {
		return nil, err
	}
	file, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.Truncate(loopDiskSize), file.Close()); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-J", "size=8", d.image); err != nil {
		return nil, err
	}
	if err := d.mount(); err != nil {
		return nil, err
	}
	return d, os.Chmod(d.at, 0o700)
}

// command runs a program of the system's administrator, whose path may lack the folders of such programs.
func command(name string, args ...string) error {
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path := filepath.Join(dir, name); unix.Access(path, unix.X_OK) == nil {
			name = path
			break
		}
	}
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (d *loopDisk) mount() error {
	return command("mount", "-t", "ext4", "-o", "loop,"+d.options, d.image, d.at)
}

// unmount waits a little for those who still use it.
func (d *loopDisk) unmount() (err error) {
	for late := time.Now().Add(10 * time.Second); time.Now().Before(late); time.Sleep(10 * time.Millisecond) {
		if err = unix.Unmount(d.at, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", d.at, err)
	}
	return nil
}

const (
	shutdownRequest = 0x8004587d // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)
	withoutFlushing = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
)

// cut cuts the power: what was not synced is gone, and whatever is done on it from now on fails.
func (d *loopDisk) cut() error {
	dir, err := os.Open(d.at)
	if err != nil {
		return err
	}
	defer dir.Close()
	flags := uint32(withoutFlushing)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), shutdownRequest, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return fmt.Errorf("shut down %s: %w", d.at, errno)
	}
	return nil
}

// restore mounts it again after a cut. Nobody may use it any more.
func (d *loopDisk) restore() error {
	if err := d.unmount(); err != nil {
		return err
	}
	return d.mount()
}

// sync writes everything to the disk.
func (d *loopDisk) sync() error {
	dir, err := os.Open(d.at)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Syncfs(int(dir.Fd()))
}

// close unmounts it for good, whoever uses it.
func (d *loopDisk) close() {
	if d != nil && d.unmount() != nil {
		_ = unix.Unmount(d.at, unix.MNT_DETACH)
	}
}

// noPowerCuts says why power cannot be cut under load on this machine, "" when it can.
func noPowerCuts(dir string) string {
	if reason := noBroker(); reason != "" {
		return reason
	}
	if os.Geteuid() != 0 {
		return "mounting needs root"
	}
	dir, err := os.MkdirTemp(dir, "try-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	d, err := newLoopDisk(dir, mountOptions[0])
	if err != nil {
		return err.Error()
	}
	defer d.close()
	if err := d.cut(); err != nil {
		return err.Error()
	}
	return ""
}

// mountOptions are what rounds mount with, in turn.
var mountOptions = []string{"commit=1", "commit=5,data=writeback", "commit=300,barrier=0", "commit=5,noauto_da_alloc", "commit=1,data=journal"}
