package faultfs

import (
	"fmt"
	"syscall"
)

// Kind is a kind of operation.
type Kind uint8

// The kinds of operations. Open changes nothing and is not recorded; it is there to fail.
const (
	Write Kind = iota
	Sync       // fsync or fdatasync of a file
	SyncDir
	Create
	Open // of a file or a folder that is there
	Rename
	Unlink
	Mkdir
	Truncate
	Allocate
	Note // a write to the file Notes
)

var kindNames = [...]string{"write", "fsync", "fsync of a folder", "create", "open", "rename", "unlink", "mkdir", "truncate", "fallocate", "note"}

func (k Kind) String() string { return kindNames[k] }

// Op is one operation. Files have numbers, since their names change.
type Op struct {
	Kind   Kind
	File   int    // what is written, synced, created, renamed or unlinked
	Name   string // of a file or folder, from the root of the mount
	To     string // of Rename
	Offset int64  // of Write and Allocate
	Size   int64  // of Truncate and Allocate
	Data   []byte // of Write and Note
	Errno  syscall.Errno
}

func (o Op) String() string {
	return fmt.Sprintf("%v file %d %q %q offset %d size %d data %d errno %d", o.Kind, o.File, o.Name, o.To, o.Offset, o.Size, len(o.Data), o.Errno)
}

// File is a file that was there before the first operation.
type File struct {
	ID   int
	Name string
	Data []byte
}

// Recording is everything that happened on a mount. Operations with an Errno were refused: they changed nothing.
type Recording struct {
	Base []File
	Ops  []Op
}
