package buffer

import (
	"crypto/sha256"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// fingerprint tells every file of a folder and what is in it.
func fingerprint(t *testing.T, dir string) map[string][sha256.Size]byte {
	t.Helper()
	sums := make(map[string][sha256.Size]byte)
	for _, path := range files(t, dir, "*") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sums[filepath.Base(path)] = sha256.Sum256(data)
	}
	return sums
}

func TestReadOnlyShowsEverythingAndChangesNothing(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	fill(t, b, Normal, 2000)
	fill(t, b, Urgent, 10)
	fill(t, b, Quarantine, 10)
	b.Published(Normal, 700)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	want, before := b.Stats(), fingerprint(t, o.Dir)

	o.ReadOnly = true
	r := open(t, o)
	got := r.Stats()
	if got.Pending != want.Pending || got.Quarantined != want.Quarantined || got.LastSeq != want.LastSeq || got.Segments != want.Segments {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if n := len(read(t, r, Normal, r.PublishedUpTo(Normal)+1)); n != int(want.Pending[Normal]) {
		t.Errorf("%d observations can be read, %d are pending", n, want.Pending[Normal])
	}
	if n := len(read(t, r, Quarantine, 1)); n != 10 {
		t.Errorf("%d records in quarantine can be read, want 10", n)
	}
	if err := r.Append(testContext(t), []Group{{}}, func(Outcome, error) {}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Append: got %v, want ErrReadOnly", err)
	}
	for what, err := range map[string]error{
		"Drop": r.Drop(testContext(t), 1), "Reject": r.Reject(testContext(t), Record{Seq: 1}, nil),
		"RetryAll": retryError(r.RetryAll(testContext(t), []Seq{1}, nil)),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: got %v, want ErrReadOnly", what, err)
		}
	}
	r.Published(Normal, 2000)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if after := fingerprint(t, o.Dir); !maps.Equal(before, after) {
		t.Errorf("the folder changed: %v, before %v", after, before)
	}
}

func TestReadOnlyKeepsOutOfAFolderInUse(t *testing.T) {
	o := small(t.TempDir())
	open(t, o)
	o.ReadOnly = true
	if b, err := Open(o); !errors.Is(err, ErrLocked) {
		if err == nil {
			_ = b.Close()
		}
		t.Errorf("got %v, want ErrLocked", err)
	}
	o.Dir = filepath.Join(t.TempDir(), "nothing")
	if _, err := Open(o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for a folder that is not there, want ErrNotExist", err)
	}
	if _, err := os.Stat(o.Dir); err == nil {
		t.Error("the folder was made")
	}
}
