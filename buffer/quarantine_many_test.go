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

// The writer must not stand still for long, whatever a person at the command line asks for.
func TestDropAndRetryDoNotHoldUpTheWriter(t *testing.T) {
	b := townInAnOutage(t, 16, 40, 300, Options{SegmentSize: 32 << 20, MaxSize: 1 << 30})
	seqs := firstInQuarantine(t, b, 40)
	var worst atomic.Int64
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				worst.Store(max(worst.Load(), int64(time.Since(b.Stats().Alive))))
			}
		}
	}()
	began := time.Now()
	if err := b.Drop(testContext(t), seqs[:20]...); err != nil {
		t.Fatal(err)
	}
	drop := time.Since(began)
	t.Logf("Drop of 20 took %v, writer without a beat for %v; 250 at once (what the command does): about %v", drop, time.Duration(worst.Load()), drop*250/20)
	worst.Store(0)
	began = time.Now()
	if _, err := b.RetryAll(testContext(t), seqs[20:40], func(int, *Tx, []byte) error { return fmt.Errorf("still") }); err != nil {
		t.Fatal(err)
	}
	retry := time.Since(began)
	t.Logf("RetryAll of 20 took %v, writer without a beat for %v; 250 at once: about %v", retry, time.Duration(worst.Load()), retry*250/20)
	close(stop)
	<-watched
	if drop > time.Second || retry > time.Second {
		t.Errorf("the writer stood still for %v and %v over 20 records", drop, retry)
	}
}

func TestQuarantineAtItsLimitDoesNotSlowIntake(t *testing.T) {
	b := townInAnOutage(t, 16, 200, 300, Options{SegmentSize: 32 << 20, MaxSize: 1 << 30, QuarantineSize: 16 * 200 * 300})
	raw := bytes.Repeat([]byte("q"), 300)
	for range 3 {
		began := time.Now()
		mustPut(t, b, Group{Build: func(tx *Tx) error { tx.Append(Quarantine, raw); return nil }})
		mustPut(t, b, Group{Build: func(tx *Tx) error { tx.Append(Normal, raw); return nil }})
		mustPut(t, b, Group{Build: func(tx *Tx) error { tx.Append(Normal, raw); return nil }})
		took := time.Since(began)
		t.Log(took)
		if took > 150*time.Millisecond {
			t.Errorf("three events took %v while quarantine is at its limit", took)
		}
	}
}

func TestReadOfQuarantineTakesLittleMemory(t *testing.T) {
	b := townInAnOutage(t, 24, 48, 128<<10, Options{SegmentSize: 16 << 20, MaxSize: 1 << 30, QuarantineSize: 900 << 20})
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
