package buffer

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// setManifestHook installs a hook between two transactions.
func setManifestHook(t *testing.T, b *Buffer, hook func(write func() error) error) {
	t.Helper()
	done := make(chan struct{})
	err := b.queue.own(func(*Tx) error { return nil }, func(Outcome, error) { b.manifestHook = hook; close(done) })
	if err != nil {
		t.Fatal(err)
	}
	<-done
}

// Found by the crash campaign: the file of a segment whose alarms were carried out was deleted, the manifest still
// named it, and the alarms counted as lost.
func TestPowerCutBetweenDeletingASegmentAndItsManifestKeepsCarriedAlarms(t *testing.T) {
	o := small(t.TempDir())
	o.MaxSize = 1 << 20
	b := open(t, o)
	var want []string
	for i := range 5 {
		mustPut(t, b, one(Urgent, fmt.Sprint("alarm ", i)))
		want = append(want, fmt.Sprint(b.Stats().LastSeq, " alarm ", i))
		fill(t, b, Normal, 20)
	}
	left := filepath.Join(t.TempDir(), "left")
	setManifestHook(t, b, func(write func() error) error {
		known, err := readManifest(o.Dir)
		if err != nil {
			t.Error(err)
		}
		for _, e := range known.Segments {
			_, gone := os.Stat(filepath.Join(o.Dir, e.fileName()))
			if _, err := os.Stat(left); os.IsNotExist(gone) && os.IsNotExist(err) {
				if err := os.CopyFS(left, os.DirFS(o.Dir)); err != nil {
					t.Error(err)
				}
			}
		}
		return write()
	})
	for b.Stats().Expired == 0 {
		fill(t, b, Normal, 50)
	}
	fill(t, b, Normal, 200)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	o.Dir = left
	b = open(t, o)
	mustPut(t, b, one(Normal, "after"))
	if s := b.Stats(); s.Damaged > 0 || s.Pending[Urgent] != uint64(len(want)) || b.PublishedUpTo(Urgent) > 0 {
		t.Errorf("%d records damaged, %d alarms pending, published up to %d", s.Damaged, s.Pending[Urgent], b.PublishedUpTo(Urgent))
	}
	wantTexts(t, b, Urgent, want...)
}
