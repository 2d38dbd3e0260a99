//go:build !unix

package buffer

import (
	"os"
	"path/filepath"
)

// lockDir only keeps a file open: the lock that bbolt puts on the newest segment has to do.
func lockDir(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
}

// lockDirShared keeps nobody out.
func lockDirShared(string) (*os.File, error) { return nil, nil }
