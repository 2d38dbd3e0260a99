package forward

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// inbox is how other goroutines reach the forwarder's loop, which alone owns the state. Putting never blocks.
type inbox struct {
	wake chan struct{} // holds one when there is something

	mu       sync.Mutex // guards what follows
	outcomes []outcome
	calls    []func()
}

// outcome is what became of one published message.
type outcome struct {
	msg    *nats.Msg
	seq    uint64 // in the stream, when err is nil
	repeat bool   // it was there already
	err    error
	at     time.Time
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) settle(o outcome) {
	o.at = time.Now()
	b.mu.Lock()
	b.outcomes = append(b.outcomes, o)
	b.mu.Unlock()
	b.ring()
}

// call runs f on the loop's goroutine, after the outcomes that are already there.
func (b *inbox) call(f func()) {
	b.mu.Lock()
	b.calls = append(b.calls, f)
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns what came in; spare is memory to use again.
func (b *inbox) take(spare []outcome) ([]outcome, []func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	outcomes, calls := b.outcomes, b.calls
	b.outcomes, b.calls = spare[:0], nil
	return outcomes, calls
}
