package buffer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// namesInterval is how often the files in use are compared with those that have their names. Somebody may have renamed,
// replaced or deleted one: what is written to it then would not be found again, and a lock would keep nobody out.
const namesInterval = time.Minute

// checkNames puts right what it can. As long as it cannot, nothing is written: what could not be found again must not be
// acknowledged. It is for the writer.
func (b *Buffer) checkNames(now time.Time) {
	interval := namesInterval
	if b.astray != nil {
		interval = tidyInterval
	}
	if now.Sub(b.namesChecked) < interval {
		return
	}
	b.namesChecked = now
	err := b.checkLock()
	if err == nil {
		err = b.checkSegmentNames()
	}
	if b.astray = err; err != nil {
		b.fail(err)
	}
}

// checkLock takes the lock anew when its file is not the one that this process has locked, if nobody used the folder
// meanwhile.
func (b *Buffer) checkLock() error {
	path := filepath.Join(b.options.Dir, "lock")
	if inUse(b.lock, path) {
		return nil
	}
	taken, err := lockDir(b.options.Dir)
	if err != nil {
		return fmt.Errorf("the lock file was removed or replaced: %w", err)
	}
	if m, err := readManifest(b.options.Dir); err == nil && m.Epoch > b.epoch {
		return errors.Join(fmt.Errorf("%s was %w meanwhile, because the lock file was removed or replaced: restart this one",
			b.options.Dir, ErrLocked), taken.Close())
	}
	b.log.Warn("buffer took its lock anew: the file had been removed or replaced", "file", path)
	old := b.lock
	b.lock = taken
	return old.Close()
}

// checkSegmentNames restores the names of segments that are open.
func (b *Buffer) checkSegmentNames() error {
	for _, s := range b.segments {
		lost, err := s.restoreName()
		if err != nil {
			return fmt.Errorf("%s was removed or replaced, and cannot be restored: %w", filepath.Base(s.path), err)
		}
		if !lost {
			continue
		}
		b.log.Error("buffer restored a segment from its open file: it had been renamed, removed or replaced", "file", filepath.Base(s.path))
		if s == b.head { // others may write to what it was: go on in a new one
			b.retire(fmt.Errorf("%s was renamed, removed or replaced", filepath.Base(s.path)))
		} else if err := s.close(); err != nil {
			return err
		}
	}
	return nil
}

// restoreName copies the open file to where it should be if it is not there any more, and says whether that was so. What
// is there in its place is put aside.
func (s *segment) restoreName() (lost bool, err error) {
	s.mu.RLock() // no transaction, and nobody closes it
	defer s.mu.RUnlock()
	if s.file == nil || inUse(s.file, s.path) {
		return false, nil
	}
	stat, err := s.file.Stat()
	if err != nil {
		return true, err
	}
	name := s.path + temporary
	if err := copyFile(name, io.NewSectionReader(s.file, 0, stat.Size())); err != nil {
		return true, errors.Join(err, removeIfThere(name))
	}
	if _, err := putAside(s.path); err != nil {
		return true, errors.Join(err, removeIfThere(name))
	}
	if err := os.Rename(name, s.path); err != nil {
		return true, errors.Join(err, removeIfThere(name))
	}
	return true, syncDir(filepath.Dir(s.path))
}

// inUse says whether a name is still that of an open file. What cannot be found out is no reason to think otherwise.
func inUse(file *os.File, path string) bool {
	own, err := file.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(path)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	return os.SameFile(own, there)
}

func copyFile(name string, from io.Reader) error {
	to, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}
