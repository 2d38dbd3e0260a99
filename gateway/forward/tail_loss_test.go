package forward_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"belfry/buffer"
)

func TestLossIsNoticedThoughAnotherGatewayPublishedSince(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	p := startProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	m := newMemory()
	fill(m, 100, 20)
	r := start(t, options(p.url()), m)
	waitPublished(t, m)
	s.Stop()
	before := copyOf(t, s)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	fill(m, 50, 20)
	waitPublished(t, m)
	p.listener.Close() // we cannot come back before the other gateway
	addr := p.listener.Addr().String()
	s.Stop()
	before.restore(t)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	p.cut()
	for i := range 60 {
		var err error
		for range 200 {
			if _, err = js.Publish(context.Background(), "town.other", fmt.Append(nil, i)); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p.listener = listener
	p.group.Go(p.accept)
	t.Cleanup(func() { listener.Close() })
	wait(t, func() bool { return r.sink.Counters()["reconnects"] >= 2 }, func() string { return fmt.Sprint("no reconnect ", r.sink.Counters()) })
	fill(m, 20, 20)
	waitPublished(t, m)
	time.Sleep(time.Second)
	ours := map[string]int{}
	for _, message := range read(t, js) {
		if message.id != "" {
			ours[message.id]++
		}
	}
	if len(ours) != 170 {
		t.Errorf("%d of 170 acknowledged records are on the stream; held_checked_again=%d", len(ours), r.sink.Counters()["held_checked_again"])
	}
}

func TestLateAnswerAboutTheStreamDoesNotSkipTheComparison(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	p := startProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	m := newMemory()
	fill(m, 100, 20)
	r := start(t, options(p.url()), m)
	waitPublished(t, m)
	s.Stop()
	before := copyOf(t, s)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	fill(m, 50, 20)
	waitPublished(t, m)
	p.swallowInfo.Store(true)
	s.Stop()
	before.restore(t)
	fill(m, 100, 20)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool { return p.swallowed.Load() > 0 }, func() string { return "nothing swallowed" })
	time.Sleep(time.Second)
	p.swallowInfo.Store(false) // one answer was late, all later ones come in time
	waitPublished(t, m)
	time.Sleep(100 * time.Millisecond)
	p.cut()
	fill(m, 20, 20)
	waitPublished(t, m)
	time.Sleep(time.Second)
	if got := lastSeq(t, js); got != 270 {
		t.Errorf("%d of 270 records are on the stream, checked again %d", got, r.sink.Counters()["held_checked_again"])
	}
}

// losePowerTogether publishes what first and then lost add, puts the server back to where it was before lost, restarts both
// and wants everything on the stream all the same, with some live records that come after.
func losePowerTogether(t *testing.T, first, lost func(m *memory)) {
	t.Helper()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	first(m)
	r := start(t, options(s.URL()), m)
	waitPublished(t, m)
	s.Stop()
	before := copyOf(t, s)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	lost(m)
	waitPublished(t, m)
	want := lastSeq(t, js) + 20
	r.stop()
	s.Stop()
	before.restore(t)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	start(t, options(s.URL()), m)
	fill(m, 20, 20)
	waitPublished(t, m)
	if !until(5*time.Second, func() bool { return lastSeq(t, js) >= want }) {
		t.Errorf("%d of %d records are on the stream", lastSeq(t, js), want)
	}
}

func TestLossIsNoticedAfterARestartOfBothThoughTheNewestSubjectIsGone(t *testing.T) {
	t.Parallel()
	losePowerTogether(t, func(m *memory) { fill(m, 100, 20) }, func(m *memory) {
		fill(m, 50, 20)
		m.add(buffer.Normal, record("new", "town.99001.lighting.observation.new"))
	})
}

func TestLossOfTheNewestRecordAloneIsNoticedAfterARestartOfBoth(t *testing.T) {
	t.Parallel()
	losePowerTogether(t, func(m *memory) { fill(m, 300, 20) }, func(m *memory) { fill(m, 1, 20) })
}

func TestLossIsNoticedAfterARestartOfBothThoughManySubjectsAreWhole(t *testing.T) {
	t.Parallel()
	losePowerTogether(t, func(m *memory) { fill(m, 300, 200) }, func(m *memory) { fill(m, 2, 200) })
}
