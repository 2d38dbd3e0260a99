package buffer

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkAppend stores records of 400 bytes in transactions of one size.
func BenchmarkAppend(b *testing.B) {
	data := bytes.Repeat([]byte("x"), 400)
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("group=%d", size), func(b *testing.B) {
			o := small(b.TempDir())
			o.SegmentSize, o.MaxSize = 32<<20, 8<<30
			buffer := open(b, o)
			build := func(tx *Tx) error { tx.Append(Normal, data); return nil }
			items := make([]item, size)
			for i := range items {
				items[i] = item{group: Group{Build: build}, request: &request{left: math.MaxInt}}
			}
			done := make(chan struct{})
			written := writtenBytes(b)
			b.ReportAllocs()
			b.ResetTimer()
			begin := time.Now()
			err := buffer.queue.own(func(*Tx) error { return nil }, func(Outcome, error) {
				for range (b.N + size - 1) / size { // on the writer's goroutine
					buffer.commit(items)
					_ = buffer.rollover()
				}
				close(done)
			})
			if err != nil {
				b.Fatal(err)
			}
			<-done
			b.StopTimer()
			b.ReportMetric(float64(writtenBytes(b)-written)/float64(b.N), "written-B/op")
			b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "records/s")
		})
	}
}

// writtenBytes is how much this process has handed to write calls.
func writtenBytes(b *testing.B) (written int64) {
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	_, after, _ := bytes.Cut(data, []byte("wchar: "))
	if _, err := fmt.Sscan(string(after), &written); err != nil {
		b.Fatal(err)
	}
	return written
}

// BenchmarkWindow stores records for a source that allows a number of messages in flight and waits for their
// acknowledgements.
func BenchmarkWindow(b *testing.B) {
	data := bytes.Repeat([]byte("x"), 400)
	for _, window := range []int{1, 20, 1000} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			o := small(b.TempDir())
			o.SegmentSize, o.MaxSize, o.CommitDelay = 32<<20, 8<<30, 250*time.Millisecond
			buffer := open(b, o)
			tokens := make(chan struct{}, window)
			groups := []Group{{Build: func(tx *Tx) error { tx.Append(Normal, data); return nil }}}
			var failed atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				tokens <- struct{}{}
				err := buffer.Append(b.Context(), groups, func(_ Outcome, err error) {
					if err != nil {
						failed.Add(1)
					}
					<-tokens
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			for range window {
				tokens <- struct{}{}
			}
			if failed.Load() > 0 {
				b.Fatalf("%d failed", failed.Load())
			}
			b.ReportMetric(float64(b.N)/float64(buffer.Stats().Commits), "records/commit")
		})
	}
}

// BenchmarkRead reads records of 400 bytes, 256 at a time.
func BenchmarkRead(b *testing.B) {
	o := small(b.TempDir())
	o.SegmentSize, o.MaxSize = 32<<20, 1<<30
	buffer := open(b, o)
	for range 40 {
		mustPut(b, buffer, many(Normal, 256, 400)...)
	}
	from := Seq(0)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		records, err := buffer.Read(Normal, from, 256)
		if err != nil {
			b.Fatal(err)
		}
		if n, from = n+len(records), 0; len(records) > 0 {
			from = records[len(records)-1].Seq + 1
		}
	}
}
