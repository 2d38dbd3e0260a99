package source

import (
	"context"
	"fmt"
)

// acknowledge sends what may be acknowledged, in order, until ctx is done or something could not be held.
func (s *session) acknowledge(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.acks.changed:
		}
		for b := s.acks.next(); b != nil; b = s.acks.next() {
			if b.err != nil {
				s.end(fmt.Errorf("hold %d messages: %w", len(b.arrivals), b.err))
				return
			}
			s.acknowledgeBatch(b)
			s.acks.drop()
		}
	}
}

func (s *session) acknowledgeBatch(b *batch) {
	expected := 0
	for i := range b.arrivals {
		if b.arrivals[i].Qos() > 0 {
			expected++
		}
	}
	s.guard.expect(expected)
	for i := range b.arrivals {
		b.arrivals[i].Ack() // does nothing for QoS 0
	}
	s.acked.Add(uint64(expected))
	s.queue.release(b.arrivals)
}

// waitIdle waits until all that was handed over is acknowledged, or failed, or ctx is done.
func (s *session) waitIdle(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.acks.settled():
	}
}
