package gatewaytest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"belfry/gateway"
)

// Receiver stands in for the gateway: it keeps what a source emits.
type Receiver struct {
	mu      sync.Mutex
	holding bool              // guarded by mu
	uplinks []gateway.Uplink  // guarded by mu
	open    []func(err error) // done of what is not held yet, guarded by mu
}

// NewReceiver returns a Receiver that says at once of all it gets that it is held, or with holding only when told by Done.
func NewReceiver(holding bool) *Receiver { return &Receiver{holding: holding} }

// Emit implements gateway.Emit.
func (r *Receiver) Emit(ctx context.Context, uplinks []gateway.Uplink, done func(error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	for i := range uplinks {
		if uplinks[i].Discard == "" {
			r.uplinks = append(r.uplinks, uplinks[i])
		}
	}
	holding := r.holding
	if holding {
		r.open = append(r.open, done)
	}
	r.mu.Unlock()
	if !holding {
		done(nil)
	}
	return nil
}

// Done finishes, in order, all that was emitted so far, and what comes later if that is nil.
func (r *Receiver) Done(err error) {
	r.mu.Lock()
	open := r.open
	r.open = nil
	r.holding = err != nil
	r.mu.Unlock()
	for _, done := range open {
		done(err)
	}
}

// Uplinks returns all that was emitted so far, but for what the source wants only counted.
func (r *Receiver) Uplinks() []gateway.Uplink {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.uplinks)
}

// WaitFor waits until at least n uplinks were emitted and returns all.
func (r *Receiver) WaitFor(t testing.TB, n int) []gateway.Uplink {
	t.Helper()
	late := time.Now().Add(waitLimit)
	for {
		uplinks := r.Uplinks()
		if len(uplinks) >= n {
			return uplinks
		}
		if time.Now().After(late) {
			t.Fatalf("got %d uplinks in %s, want %d", len(uplinks), waitLimit, n)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

const waitLimit = 20 * time.Second

// Running is a call of Run that goes on.
type Running struct {
	cancel context.CancelFunc
	ready  chan error
	ended  chan error
}

// Run calls the source's Run and returns once it is ready. The test's end stops it.
func Run(t testing.TB, source gateway.Source, receiver *Receiver) *Running {
	t.Helper()
	running := Begin(t, source, receiver)
	select {
	case err := <-running.ready:
		if err != nil {
			t.Fatalf("source is not ready: %v", err)
		}
	case err := <-running.ended:
		running.ended <- err
		t.Fatalf("run ended before it was ready: %v", err)
	case <-time.After(waitLimit):
		t.Fatalf("source is not ready after %s", waitLimit)
	}
	return running
}

// Begin calls the source's Run and does not wait. The test's end stops it.
func Begin(t testing.TB, source gateway.Source, receiver *Receiver) *Running {
	ctx, cancel := context.WithCancel(context.Background())
	running := &Running{cancel: cancel, ready: make(chan error, 16), ended: make(chan error, 1)}
	go func() { // Stop or the test's end waits for it
		running.ended <- source.Run(ctx, receiver.Emit, func(err error) { running.ready <- err })
	}()
	t.Cleanup(func() { running.Stop(t) })
	return running
}

// Stop cancels the run, which must end without an error within a second if it has not ended before.
func (r *Running) Stop(t testing.TB) {
	t.Helper()
	select {
	case err := <-r.ended:
		r.ended <- err
		return
	default:
	}
	r.cancel()
	began := time.Now()
	if err := r.Ended(t); err != nil {
		t.Errorf("cancelled run returned %v, want nil", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("run took %s to stop, want at most a second", took)
	}
}

// Ended waits until the run is over and returns its error.
func (r *Running) Ended(t testing.TB) error {
	t.Helper()
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	case <-time.After(waitLimit):
		t.Fatalf("run has not ended after %s", waitLimit)
		return nil
	}
}

// Progress waits until the receiver has n uplinks or the run is over, whichever comes first, and returns the run's error.
func (r *Running) Progress(t testing.TB, receiver *Receiver, n int) error {
	t.Helper()
	late := time.Now().Add(waitLimit)
	for len(receiver.Uplinks()) < n {
		select {
		case err := <-r.ended:
			r.ended <- err
			return err
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(late) {
			t.Fatalf("neither %d uplinks nor the end of the run in %s", n, waitLimit)
		}
	}
	return nil
}
