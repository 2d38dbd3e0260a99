package faultfs

import (
	"bytes"
	"context"
	"os"
	"syscall"

	loopback "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// file is an open file.
type file struct {
	*os.File
	node *node
	id   int
}

var (
	_ loopback.FileReader    = (*file)(nil)
	_ loopback.FileWriter    = (*file)(nil)
	_ loopback.FileGetattrer = (*file)(nil)
	_ loopback.FileAllocater = (*file)(nil)
	_ loopback.FileFlusher   = (*file)(nil)
	_ loopback.FileReleaser  = (*file)(nil)
)

// Read reads; it never fails by itself.
func (f *file) Read(_ context.Context, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	n, err := unix.Pread(int(f.Fd()), dest, offset)
	if err != nil {
		return nil, loopback.ToErrno(err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Write writes all of data, or fails.
func (f *file) Write(_ context.Context, data []byte, offset int64) (uint32, syscall.Errno) {
	op := Op{Kind: Write, File: f.id, Offset: offset, Data: bytes.Clone(data)}
	errno := f.node.fs.do(op, nil, func() error {
		_, err := f.WriteAt(data, offset)
		return err
	})
	if errno != 0 {
		f.node.fs.tear(f, op)
		return 0, errno
	}
	return uint32(len(data)), 0
}

// tear writes the first half of a write that was refused, if the fault is of that kind.
func (f *FS) tear(to *file, op Op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.fault.Torn || len(op.Data) < 2 {
		return
	}
	op.Data = op.Data[:len(op.Data)/2]
	if _, err := to.WriteAt(op.Data, op.Offset); err == nil {
		f.log.Ops = append(f.log.Ops, op)
	}
}

func (f *file) truncate(size int64) syscall.Errno {
	op := Op{Kind: Truncate, File: f.id, Size: size}
	return f.node.fs.do(op, nil, func() error { return f.Truncate(size) })
}

// Allocate reserves room.
func (f *file) Allocate(_ context.Context, offset, size uint64, mode uint32) syscall.Errno {
	op := Op{Kind: Allocate, File: f.id, Offset: int64(offset), Size: int64(size)}
	return f.node.fs.do(op, nil, func() error { return unix.Fallocate(int(f.Fd()), mode, int64(offset), int64(size)) })
}

// Getattr tells the size, also of a file that has no name any more.
func (f *file) Getattr(_ context.Context, out *fuse.AttrOut) syscall.Errno {
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &stat); err != nil {
		return loopback.ToErrno(err)
	}
	out.FromStat(&stat)
	return 0
}

// Flush is called at every close.
func (f *file) Flush(context.Context) syscall.Errno { return 0 }

// Release is called at the last one.
func (f *file) Release(context.Context) syscall.Errno { return loopback.ToErrno(f.Close()) }

// notes is the file Notes.
type notes struct {
	loopback.Inode
	fs *FS
}

var (
	_ loopback.NodeOpener    = (*notes)(nil)
	_ loopback.NodeWriter    = (*notes)(nil)
	_ loopback.NodeGetattrer = (*notes)(nil)
	_ loopback.NodeSetattrer = (*notes)(nil)
)

// Open gives no handle; every write stands for itself.
func (n *notes) Open(context.Context, uint32) (loopback.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Write records a note.
func (n *notes) Write(_ context.Context, _ loopback.FileHandle, data []byte, _ int64) (uint32, syscall.Errno) {
	op := Op{Kind: Note, Data: bytes.Clone(data)}
	return uint32(len(data)), n.fs.do(op, nil, func() error { return nil })
}

// Getattr tells that it is a file.
func (n *notes) Getattr(_ context.Context, _ loopback.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = syscall.S_IFREG | 0o600
	return 0
}

// Setattr changes nothing.
func (n *notes) Setattr(ctx context.Context, handle loopback.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.Getattr(ctx, handle, out)
}
