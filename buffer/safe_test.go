package buffer

import (
	"os"
	"slices"
	"testing"
)

func TestSafeModePutsADamagedSegmentAsideAtTheStart(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	for range 16 {
		mustPut(t, b, many(Normal, 50, 1000)...)
	}
	closeBuffer(t, b)
	segments := files(t, o.Dir, "*.seg")
	slices.Sort(segments)
	if len(segments) < 4 {
		t.Fatalf("%d segments", len(segments))
	}
	damaged := segments[1]
	if err := os.WriteFile(damaged, []byte("not a segment at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	asideAfterOpen := func() bool {
		b = open(t, o)
		aside := len(files(t, o.Dir, "*.bad")) > 0
		if !aside {
			closeBuffer(t, b)
		}
		return aside
	}
	if asideAfterOpen() {
		t.Error("the start looks at more than the newest segments without being told to")
	}
	o.Safe = true
	if !asideAfterOpen() {
		t.Error("the damaged segment is still where it was")
	}
	mustPut(t, b, one(Normal, "after"))
	records := read(t, b, Normal, 0)
	if n := len(records); n < 200 || string(records[n-1].Data) != "after" {
		t.Errorf("%d records can be read", n)
	}
}
