package faultfs

import (
	"context"
	"syscall"

	loopback "github.com/hanwen/go-fuse/v2/fs"
)

// dir is an open folder.
type dir struct {
	stream
	node *node
}

// stream is what the loopback reads a folder with.
type stream interface {
	loopback.FileReaddirenter
	loopback.FileSeekdirer
	loopback.FileReleasedirer
}

var _ loopback.FileFsyncdirer = (*dir)(nil)

// OpendirHandle opens a folder.
func (n *node) OpendirHandle(ctx context.Context, flags uint32) (loopback.FileHandle, uint32, syscall.Errno) {
	if errno := n.fs.opens(); errno != 0 {
		return nil, 0, errno
	}
	handle, fuseFlags, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &dir{handle.(stream), n}, fuseFlags, 0
}

// Fsyncdir only records: the folder below need not be durable.
func (d *dir) Fsyncdir(context.Context, uint32) syscall.Errno {
	return d.node.fs.do(Op{Kind: SyncDir, Name: d.node.name()}, nil, func() error { return nil })
}
