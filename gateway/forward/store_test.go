package forward_test

import (
	"context"
	"sync"

	"belfry/buffer"
	"belfry/gateway/event"
)

// memory is a gateway.Store that keeps everything, as a buffer does within hold.
type memory struct {
	mu        sync.Mutex // guards what follows
	records   [2][]buffer.Record
	last      buffer.Seq
	published [2]buffer.Seq
	rejected  []event.Quarantined
	position  []byte
	appended  chan struct{}
}

func newMemory() *memory { return &memory{appended: make(chan struct{})} }

// add stores packed records and returns the number of the last.
func (m *memory) add(lane buffer.Lane, packed ...[]byte) buffer.Seq {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, data := range packed {
		m.last++
		m.records[lane] = append(m.records[lane], buffer.Record{Seq: m.last, Lane: lane, Data: data})
	}
	close(m.appended)
	m.appended = make(chan struct{})
	return m.last
}

func (m *memory) Read(lane buffer.Lane, from buffer.Seq, limit int) ([]buffer.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.records[lane]
	low, high := 0, len(all)
	for low < high {
		if middle := (low + high) / 2; all[middle].Seq < from {
			low = middle + 1
		} else {
			high = middle
		}
	}
	all = all[low:]
	return append([]buffer.Record(nil), all[:min(limit, len(all))]...), nil
}

func (m *memory) Appended() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.appended
}

func (m *memory) Published(lane buffer.Lane, upTo buffer.Seq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.published[lane] = upTo
}

func (m *memory) PublishedUpTo(lane buffer.Lane) buffer.Seq {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.published[lane]
}

func (m *memory) Reject(_ context.Context, _ buffer.Record, data []byte) error {
	entry, err := event.ParseQuarantined(data)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejected = append(m.rejected, entry)
	return nil
}

func (m *memory) Position() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.position
}

func (m *memory) SetPosition(position []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.position = position
}

func (m *memory) State(string) []byte { return nil }

func (m *memory) rejections() []event.Quarantined {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]event.Quarantined(nil), m.rejected...)
}

// forget sets a lane's mark back, as if the process had died before it was on disk.
func (m *memory) forget(lane buffer.Lane, upTo buffer.Seq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.published[lane] = upTo
}
