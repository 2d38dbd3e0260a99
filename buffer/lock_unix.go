//go:build unix

package buffer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	lockTimeout = time.Second
	lockRetry   = 50 * time.Millisecond
)

// lockDirShared keeps others from using a folder as lockDir does, until the file that it returns is closed, without
// changing the folder. A copy of a folder may have no lock file: then there is nobody to keep out, and no file.
func lockDirShared(dir string) (*os.File, error) {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(f.Name())
		err = fmt.Errorf("%s is %w (pid %s)", dir, ErrLocked, strings.TrimSpace(string(holder)))
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lockDir makes this process the only one that uses a folder, until the file that it returns is closed. The file says
// which process that is.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(lockRetry) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
		}
		if time.Now().After(deadline) {
			holder, _ := os.ReadFile(f.Name())
			err = fmt.Errorf("%s is %w (pid %s)", dir, ErrLocked, strings.TrimSpace(string(holder)))
			return nil, errors.Join(err, f.Close())
		}
	}
	// The number only helps people: a full disk must not keep us from starting.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	return f, nil
}
