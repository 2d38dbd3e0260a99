//go:build unix

package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// CheckDir refuses a folder in which others could put files in the place of ours, and one that belongs to somebody else,
// with the command that helps. A folder that is not there yet is good: Open makes it.
func CheckDir(dir string) error {
	stat, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !stat.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	uid := os.Geteuid()
	if owner, ok := stat.Sys().(*syscall.Stat_t); ok && uid != 0 && int(owner.Uid) != uid {
		return fmt.Errorf("%s belongs to user %d, not to the user %d that runs this (chown -R %d %s)", dir, owner.Uid, uid, uid, dir)
	}
	if mode := stat.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("others may write to %s, mode %04o (chmod go-w %s)", dir, mode, dir)
	}
	return nil
}
