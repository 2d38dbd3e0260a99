package forward_test

import (
	"fmt"
	"os"
	"testing"

	"belfry/buffer"
	"belfry/gateway/forward"
)

// F47: the folder is replaced by a copy from before. What was published since is not published again, and what comes after
// is published, although it has the numbers of records that the copy does not know.
func TestAnOldCopyOfTheBufferPublishesNothingTwice(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream()) // too short a memory to recognise anything by itself
	dir, copied := t.TempDir(), t.TempDir()
	expected := newMemory()
	forwardAll := func(dir string, rounds ...int) {
		t.Helper()
		b, err := buffer.Open(buffer.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for _, round := range rounds {
			appendRecords(t, b, expected, round)
		}
		sink, err := forward.New(options(s.URL()))
		if err != nil {
			t.Fatal(err)
		}
		stop := runSink(t, sink, b)
		wait(t, func() bool { return b.PublishedUpTo(buffer.Normal) >= b.Stats().LastSeq }, func() string { return fmt.Sprint(sink.Counters()) })
		stop()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	forwardAll(dir, 0)
	b, err := buffer.Open(buffer.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	appendRecords(t, b, expected, 1) // the copy has these as not published
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	forwardAll(dir, 2)
	forwardAll(copied, 3)
	onceInOrder(t, js, expected)
}
