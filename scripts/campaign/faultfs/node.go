package faultfs

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	loopback "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or folder.
type node struct {
	*loopback.LoopbackNode
	fs *FS
}

var (
	_ loopback.NodeWrapChilder    = (*node)(nil)
	_ loopback.NodeLookuper       = (*node)(nil)
	_ loopback.NodeOpener         = (*node)(nil)
	_ loopback.NodeOpendirHandler = (*node)(nil)
	_ loopback.NodeCreater        = (*node)(nil)
	_ loopback.NodeMkdirer        = (*node)(nil)
	_ loopback.NodeUnlinker       = (*node)(nil)
	_ loopback.NodeRenamer        = (*node)(nil)
	_ loopback.NodeSetattrer      = (*node)(nil)
	_ loopback.NodeFsyncer        = (*node)(nil)
)

// WrapChild makes nodes of what the loopback finds.
func (n *node) WrapChild(_ context.Context, ops loopback.InodeEmbedder) loopback.InodeEmbedder {
	if inner, ok := ops.(*loopback.LoopbackNode); ok {
		return &node{LoopbackNode: inner, fs: n.fs}
	}
	return ops
}

// name is the path from the root of the mount, real the one in the folder below.
func (n *node) name() string { return n.Path(n.Root()) }

func (n *node) child(name string) string { return filepath.Join(n.name(), name) }

func (n *node) real() string { return filepath.Join(n.RootData.Path, n.name()) }

// Lookup finds Notes too.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*loopback.Inode, syscall.Errno) {
	if name == Notes && n.IsRoot() {
		out.Attr.Mode = syscall.S_IFREG | 0o600
		return n.NewInode(ctx, &notes{fs: n.fs}, loopback.StableAttr{Mode: syscall.S_IFREG}), 0
	}
	return n.LoopbackNode.Lookup(ctx, name, out)
}

// Open opens a file. What the kernel knows of its content stays, since only we change it.
func (n *node) Open(_ context.Context, flags uint32) (loopback.FileHandle, uint32, syscall.Errno) {
	if errno := n.fs.opens(); errno != 0 {
		return nil, 0, errno
	}
	truncate := flags&syscall.O_TRUNC != 0
	real, err := os.OpenFile(n.real(), int(flags)&^(syscall.O_APPEND|syscall.O_TRUNC), 0)
	if err != nil {
		return nil, 0, loopback.ToErrno(err)
	}
	opened := &file{File: real, node: n, id: n.id()}
	if truncate {
		if errno := opened.truncate(0); errno != 0 {
			_ = real.Close()
			return nil, 0, errno
		}
	}
	return opened, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *node) id() int {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	return n.fs.fileAt(n.name())
}

// opens counts the opening of something that is there.
func (f *FS) opens() syscall.Errno {
	f.delay(Open)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.strike(Open)
}

// Create makes and opens a file.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*loopback.Inode, loopback.FileHandle, uint32, syscall.Errno) {
	var inode *loopback.Inode
	var handle *file
	path := filepath.Join(n.real(), name)
	fill := func(op *Op) {
		n.fs.last++
		op.File = n.fs.last
	}
	errno := n.fs.do(Op{Kind: Create, Name: n.child(name)}, fill, func() error {
		real, err := os.OpenFile(path, int(flags)&^(syscall.O_APPEND)|os.O_CREATE, os.FileMode(mode))
		if err != nil {
			return err
		}
		var errno syscall.Errno
		if inode, errno = n.LoopbackNode.Lookup(ctx, name, out); errno != 0 {
			_ = real.Close()
			return errno
		}
		handle = &file{File: real, node: inode.Operations().(*node), id: n.fs.last}
		return nil
	})
	if errno != 0 {
		return nil, nil, 0, errno
	}
	return inode, handle, fuse.FOPEN_KEEP_CACHE, 0
}

// Mkdir makes a folder.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (inode *loopback.Inode, errno syscall.Errno) {
	errno = n.fs.do(Op{Kind: Mkdir, Name: n.child(name)}, nil, func() error {
		inode, errno = n.LoopbackNode.Mkdir(ctx, name, mode, out)
		return asError(errno)
	})
	return inode, errno
}

// Unlink removes a name.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	op := Op{Kind: Unlink, Name: n.child(name)}
	return n.fs.do(op, n.fs.named, func() error { return asError(n.LoopbackNode.Unlink(ctx, name)) })
}

// Rename gives a file another name.
func (n *node) Rename(ctx context.Context, name string, parent loopback.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := parent.(*node)
	if !ok || flags != 0 {
		return syscall.EINVAL
	}
	op := Op{Kind: Rename, Name: n.child(name), To: to.child(newName)}
	return n.fs.do(op, n.fs.named, func() error { return asError(n.LoopbackNode.Rename(ctx, name, to, newName, 0)) })
}

// named completes an operation with the number of the file that has its name.
func (f *FS) named(op *Op) { op.File = f.fileAt(op.Name) }

// Setattr changes a size, or what is not recorded.
func (n *node) Setattr(ctx context.Context, handle loopback.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if errno := n.resize(handle, int64(size)); errno != 0 {
			return errno
		}
		in.Valid &^= fuse.FATTR_SIZE
	}
	return n.LoopbackNode.Setattr(ctx, nil, in, out)
}

func (n *node) resize(handle loopback.FileHandle, size int64) syscall.Errno {
	if opened, ok := handle.(*file); ok {
		return opened.truncate(size)
	}
	op := Op{Kind: Truncate, Name: n.name(), Size: size}
	return n.fs.do(op, n.fs.named, func() error { return os.Truncate(n.real(), size) })
}

// Fsync only records: the folder below need not be durable.
func (n *node) Fsync(_ context.Context, handle loopback.FileHandle, _ uint32) syscall.Errno {
	op := Op{Kind: Sync}
	if opened, ok := handle.(*file); ok {
		op.File = opened.id
	} else {
		op.File = n.id()
	}
	return n.fs.do(op, nil, func() error { return nil })
}

func asError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
