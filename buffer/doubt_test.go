package buffer

import (
	"fmt"
	"os"
	"testing"
)

// The folder's fsync fails for a while, after the rename of the manifest; then the power goes.
func TestManifestThatIsInDoubtCostsNoAcknowledgedRecord(t *testing.T) {
	dir := t.TempDir()
	o := small(dir)
	b := open(t, o)
	mustPut(t, b, one(Normal, "a"))
	// From here on fsync of the folder fails after the manifest was renamed (EIO, EMFILE, ...).
	done := make(chan struct{})
	_ = b.queue.own(func(*Tx) error {
		b.manifestHook = func(write func() error) error {
			if err := write(); err != nil {
				return err
			}
			return fmt.Errorf("%w: EIO", errInDoubt)
		}
		return nil
	}, func(Outcome, error) { close(done) })
	<-done
	held := 1
	for range 40 { // passes the segment's size
		outcome, err := put(t, b, many(Normal, 10, 1000)...)
		if err == nil {
			held += outcome.Stored
		}
	}
	copied := t.TempDir()
	// kill -9: what is on disk now
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	o.Dir = copied
	c := open(t, o)
	if got := len(read(t, c, Normal, 0)); got != held {
		t.Errorf("%d records after the restart, %d were acknowledged", got, held)
	}
}
