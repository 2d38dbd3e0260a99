// Package faultfs is a FUSE file system over a folder that records every change in order, and lets chosen operations fail
// or take long. Linux only, as root.
package faultfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	loopback "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Notes is a file in the root of every mount that is not in the folder: what is written to it is recorded in its place
// among the operations, and nothing else.
const Notes = ".notes"

// FS is a mounted file system.
type FS struct {
	server     *fuse.Server
	mountpoint string

	// mu makes operations that change something one at a time, so that they are recorded in the order in which they happen.
	mu    sync.Mutex
	names map[string]int // number of the file at a path
	last  int            // number of the newest file
	log   Recording
	fault Fault
	seen  map[Kind]int // operations since Arm
	fired int
	armed bool
}

// Available says why file systems cannot be mounted here, nil if they can.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("mounting needs root")
	}
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return device.Close()
}

// Mount shows the folder backing at mountpoint. Nothing but what goes through the mount may change it meanwhile. The
// process that calls Mount must not map files of the mount into its memory: the garbage collector would wait for it.
func Mount(backing, mountpoint string) (*FS, error) {
	f := &FS{mountpoint: mountpoint, names: make(map[string]int), seen: make(map[Kind]int)}
	if err := f.readBase(backing); err != nil {
		return nil, err
	}
	inner, err := loopback.NewLoopbackRoot(backing)
	if err != nil {
		return nil, err
	}
	// Nobody else changes the files, so the kernel may keep what it knows. Its pages are what programs have mapped; a write
	// goes to them and, at once, to us.
	always := time.Hour
	f.server, err = loopback.Mount(mountpoint, &node{LoopbackNode: inner.(*loopback.LoopbackNode), fs: f}, &loopback.Options{
		EntryTimeout: &always, AttrTimeout: &always,
		MountOptions: fuse.MountOptions{
			DirectMountStrict: true, FsName: "faultfs", Name: "faultfs", MaxWrite: 1 << 20, DisableXAttrs: true,
			ExplicitDataCacheControl: true, DisabledCapabilities: fuse.CAP_PASSTHROUGH | fuse.CAP_WRITEBACK_CACHE,
		},
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// readBase remembers what is there before the first operation.
func (f *FS) readBase(backing string) error {
	return filepath.WalkDir(backing, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(backing, path)
		if err != nil {
			return err
		}
		f.last++
		f.names[name] = f.last
		f.log.Base = append(f.log.Base, File{ID: f.last, Name: name, Data: data})
		return nil
	})
}

// Unmount ends the file system. A mount that is still in use disappears from the tree all the same.
func (f *FS) Unmount() error {
	if err := f.server.Unmount(); err != nil {
		return errors.Join(err, unix.Unmount(f.mountpoint, unix.MNT_DETACH))
	}
	return nil
}

// Recording returns what was done so far. It stays as it is, whatever happens after.
func (f *FS) Recording() Recording {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Recording{Base: f.log.Base, Ops: f.log.Ops[:len(f.log.Ops):len(f.log.Ops)]}
}

// fileAt returns the number of a file. The caller holds mu.
func (f *FS) fileAt(path string) int {
	id, ok := f.names[path]
	if !ok {
		f.last++
		id = f.last
		f.names[path] = id
	}
	return id
}

// do runs an operation that changes something, unless it is to fail, and records it. fill completes the record while no
// other operation runs.
func (f *FS) do(op Op, fill func(*Op), run func() error) syscall.Errno {
	f.delay(op.Kind)
	f.mu.Lock()
	defer f.mu.Unlock()
	if fill != nil {
		fill(&op)
	}
	if errno := f.strike(op.Kind); errno != 0 {
		f.fail(op, errno)
		return errno
	}
	if err := run(); err != nil {
		return loopback.ToErrno(err)
	}
	f.log.Ops = append(f.log.Ops, op)
	switch op.Kind {
	case Create:
		f.names[op.Name] = op.File
	case Rename:
		f.names[op.To] = op.File
		delete(f.names, op.Name)
	case Unlink:
		delete(f.names, op.Name)
	}
	return 0
}

// fail records an operation that did not happen.
func (f *FS) fail(op Op, errno syscall.Errno) {
	op.Errno = errno
	f.log.Ops = append(f.log.Ops, op)
}
