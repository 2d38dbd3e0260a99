package buffer

import (
	"bytes"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// townInAnOutage is a buffer during an outage of NATS: full segments, each with some of what could not be decoded.
func townInAnOutage(t *testing.T, segments, perSegment, quarantineBytes int, o Options) *Buffer {
	t.Helper()
	o.Dir, o.CommitDelay = t.TempDir(), time.Millisecond
	b := open(t, o)
	data := bytes.Repeat([]byte("x"), 700)
	raw := bytes.Repeat([]byte("q"), quarantineBytes)
	for b.Stats().Segments <= segments {
		at := b.Stats().Segments
		for range perSegment / 4 {
			mustPut(t, b, Group{Build: func(tx *Tx) error {
				tx.Append(Quarantine, raw)
				tx.Append(Quarantine, raw)
				tx.Append(Quarantine, raw)
				tx.Append(Quarantine, raw)
				return nil
			}})
		}
		for b.Stats().Segments == at {
			var groups []Group
			for range 16 {
				groups = append(groups, Group{Build: func(tx *Tx) error {
					for range 64 {
						tx.Append(Normal, data)
					}
					return nil
				}})
			}
			mustPut(t, b, groups...)
		}
	}
	s := b.Stats()
	t.Logf("%d segments, %d MiB, %d in quarantine", s.Segments, s.Bytes>>20, s.Quarantined)
	return b
}

// firstInQuarantine returns the oldest numbers.
func firstInQuarantine(t *testing.T, b *Buffer, n int) (seqs []Seq) {
	records, err := b.Read(Quarantine, 1, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

// openFiles counts the closed segments whose files are open.
func openFiles(b *Buffer) (n int) {
	for _, s := range b.segments {
		if s.mu.Lock(); s != b.head && s.db != nil {
			n++
		}
		s.mu.Unlock()
	}
	return n
}

// Each file that is opened is checked as a whole first: the writer must not do that for files that cannot hold the number.
func TestDropAndRetryOpenOnlyTheFileThatHoldsTheRecord(t *testing.T) {
	b := townInAnOutage(t, 16, 40, 300, Options{SegmentSize: 1 << 20, MaxSize: 1 << 30})
	seqs := firstInQuarantine(t, b, 40)
	for _, s := range b.segments {
		if s != b.head {
			s.closeIdle()
		}
	}
	if err := b.Drop(testContext(t), seqs[:20]...); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RetryAll(testContext(t), seqs[20:40], func(int, *Tx, []byte) error { return fmt.Errorf("still") }); err != nil {
		t.Fatal(err)
	}
	if n := openFiles(b); n > 1 {
		t.Errorf("%d files were opened for records that lie in one", n)
	}
	if got := b.Stats().Quarantined; got != 16*40-20 {
		t.Errorf("%d left in quarantine", got)
	}
}

func TestReadOfQuarantineTakesLittleMemory(t *testing.T) {
	b := townInAnOutage(t, 24, 48, 128<<10, Options{SegmentSize: 8 << 20, MaxSize: 1 << 30, QuarantineSize: 900 << 20})
	runtime.GC()
	var before, m runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapAlloc))
			}
		}
	}()
	records, err := b.Read(Quarantine, 1, 250)
	close(stop)
	<-watched
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("one Read of quarantine returned %d records; heap from %d to %d MiB", len(records), before.HeapAlloc>>20, peak.Load()>>20)
	if peak.Load()-before.HeapAlloc > 32<<20 {
		t.Error("a Read of at most 4 MiB took more than 32 MiB of heap")
	}
}
