package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	temporary   = ".tmp"
	suffixAside = ".bad" // of damaged files that are kept
)

// makeDir makes a folder so that it is there after a power cut.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// replaceFile gives a file new content, durably: at every moment it is either the old or the new.
func replaceFile(path string, data []byte) error {
	name := path + temporary
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%w: %w", errInDoubt, err)
	}
	return nil
}

// withdraw removes a file so that it does not come back after a power cut, or says that it may.
func withdraw(path string) error {
	err := removeIfThere(path)
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errInDoubt, err)
	}
	return nil
}

// errInDoubt says that a file was replaced or removed, but may be the old one again after a power cut.
var errInDoubt = errors.New("not known to be on disk")

// putAside renames a suspect file so that it is neither used nor lost, and returns its new name. No file is no error.
func putAside(path string) (string, error) {
	for i := 0; ; i++ {
		name := path + suffixAside
		if i > 0 {
			name = fmt.Sprintf("%s.%d%s", path, i, suffixAside)
		}
		if _, err := os.Lstat(name); err == nil {
			continue
		}
		err := os.Rename(path, name)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return name, errors.Join(err, syncDir(filepath.Dir(path)))
	}
}

// countAside counts the files that were put aside.
func countAside(dir string) (files int, bytes int64) {
	paths, _ := filepath.Glob(filepath.Join(dir, "*"+suffixAside))
	for _, path := range paths {
		if size, err := fileSize(path); err == nil {
			files, bytes = files+1, bytes+size
		}
	}
	return files, bytes
}

// removeTemporary removes what a process that was killed while making a file left behind.
func removeTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), temporary) {
			errs = append(errs, os.Remove(filepath.Join(dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}
