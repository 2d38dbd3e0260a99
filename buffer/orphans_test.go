package buffer

import (
	"os"
	"testing"
)

func TestFileWhoseDeletionDidNotLastIsDeletedAgain(t *testing.T) {
	o := small(t.TempDir())
	o.Hold = 1
	b := open(t, o)
	fill(t, b, Normal, 100)
	first := files(t, o.Dir, "*.seg")[0]
	kept, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, b, Normal, 900)
	b.Published(Normal, b.Stats().LastSeq)
	eventually(t, "the first segment to be deleted", func() bool {
		_, err := os.Stat(first)
		return os.IsNotExist(err)
	})
	closeBuffer(t, b)
	if err := os.WriteFile(first, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	if _, err := os.Stat(first); !os.IsNotExist(err) {
		t.Errorf("the released file is there again: %v", err)
	}
	mustPut(t, b, one(Normal, "after"))
	if got := b.Stats(); got.Pending[Normal] != 1 {
		t.Errorf("%d records are pending, want the new one", got.Pending[Normal])
	}
}
