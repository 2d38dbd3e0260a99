package forward_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"belfry/buffer"
	"belfry/gateway/forward"
)

func TestRealBufferIsForwardedOverRestarts(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	dir := t.TempDir()
	expected := newMemory()
	for round := range 3 {
		b, err := buffer.Open(buffer.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		appendRecords(t, b, expected, round)
		sink, err := forward.New(options(s.URL()))
		if err != nil {
			t.Fatal(err)
		}
		stop := runSink(t, sink, b)
		want := uint64(1500)
		if round == 2 {
			want = b.Stats().Pending[buffer.Normal]
		}
		wait(t, func() bool { return sink.Counters()["published"] >= want }, func() string { return fmt.Sprint(sink.Counters()) })
		stop()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	onceInOrder(t, js, expected)
}

// runSink runs a sink on a real buffer until the function that it returns is called.
func runSink(t testing.TB, sink *forward.NATS, b *buffer.Buffer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sink.Run(ctx, b, func(error) {}) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func appendRecords(t testing.TB, b *buffer.Buffer, expected *memory, round int) {
	t.Helper()
	groups := make([]buffer.Group, 2000)
	for i := range groups {
		packed := record(fmt.Sprintf("id-%d-%d", round, i), fmt.Sprintf("town.99001.water.observation.w%d", i%40))
		expected.add(buffer.Normal, packed)
		groups[i].Build = func(tx *buffer.Tx) error {
			tx.Append(buffer.Normal, packed)
			return nil
		}
	}
	done := make(chan error, 1)
	if err := b.Append(t.Context(), groups, func(_ buffer.Outcome, err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
