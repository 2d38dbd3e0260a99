package buffer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Found by the crash campaign: the manifest could not be written, the new segment was deleted again, and came back after
// a power cut, since nothing had made the deletion durable. What the old segment got in between was cut off.
func TestSegmentThatComesBackAfterAPowerCutCostsNoAcknowledgedRecord(t *testing.T) {
	o := small(filepath.Join(t.TempDir(), "buffer"))
	b := open(t, o)
	seen := t.TempDir() // every segment as it was when a manifest failed
	setManifestHook(t, b, func(func() error) error {
		for _, path := range files(t, o.Dir, "*.seg") {
			data, err := os.ReadFile(path)
			if err = errors.Join(err, os.WriteFile(filepath.Join(seen, filepath.Base(path)), data, 0o600)); err != nil {
				t.Error(err)
			}
		}
		return errDisk
	})
	held := 0
	for len(files(t, seen, "*.seg")) < 3 {
		outcome, err := put(t, b, many(Normal, 10, 1000)...)
		if err == nil {
			held += outcome.Stored
		}
	}
	left := filepath.Join(t.TempDir(), "left")
	if err := os.CopyFS(left, os.DirFS(o.Dir)); err != nil {
		t.Fatal(err)
	}
	for _, path := range files(t, seen, "*.seg") {
		back := filepath.Join(left, filepath.Base(path))
		if _, err := os.Stat(back); err != nil {
			if err := os.Rename(path, back); err != nil {
				t.Fatal(err)
			}
		}
	}
	o.Dir = left
	if got := len(read(t, open(t, o), Normal, 0)); got != held {
		t.Errorf("%d records after the restart, %d were acknowledged", got, held)
	}
}
