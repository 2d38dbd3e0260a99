package source

import "sync"

// batch is what was handed over in one call.
type batch struct {
	arrivals []arrival
	done     bool
	err      error // why it is not held
}

// acks keeps batches in the order of their arrival until they may be acknowledged. MQTT 3.1.1 section 4.6 wants
// acknowledgements in that order, however the store finishes.
type acks struct {
	changed chan struct{} // gets a value when the first batch may be done

	mu      sync.Mutex
	pending []*batch      // guarded by mu, as the batches' done and err are
	idle    chan struct{} // closed when nothing is pending, guarded by mu; nil when nobody waits
}

func newAcks() *acks { return &acks{changed: make(chan struct{}, 1)} }

func (a *acks) add(b *batch) {
	a.mu.Lock()
	a.pending = append(a.pending, b)
	a.mu.Unlock()
}

// finish says that a batch is held, or why not. It does not block, and may be called after Run is over.
func (a *acks) finish(b *batch, err error) {
	a.mu.Lock()
	b.done, b.err = true, err
	a.mu.Unlock()
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// next returns the first batch if it is done, else nil. It stays the first until drop.
func (a *acks) next() *batch {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) == 0 || !a.pending[0].done {
		return nil
	}
	return a.pending[0]
}

// drop forgets the first batch.
func (a *acks) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending[0] = nil
	a.pending = a.pending[1:]
	if len(a.pending) == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// settled returns a channel that is closed once there is nothing to wait for.
func (a *acks) settled() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	settled := a.idle
	if len(a.pending) == 0 {
		close(a.idle)
		a.idle = nil
	}
	return settled
}
