package forward_test

import (
	"strings"
	"testing"
	"time"

	"belfry/buffer"
)

func TestStopWaitsForAcknowledgementsOnTheirWay(t *testing.T) {
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 20000, 500)
	r := start(t, options(s.URL()), m)
	wait(t, func() bool { return r.sink.Counters()["published"] > 1000 }, func() string { return "nothing is published" })
	r.stop()
	// Nothing is sent behind a record in flight on its subject, so what is stored is what is counted.
	if got, want := uint64(len(read(t, js))), r.sink.Counters()["published"]; got != want {
		t.Errorf("%d messages are stored, %d were acknowledged before the stop", got, want)
	}
	if m.PublishedUpTo(buffer.Normal) == 0 {
		t.Error("the store was not told what is published")
	}
}

func TestStopDoesNotWaitForADeadServer(t *testing.T) {
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	p := startProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	m := newMemory()
	r := start(t, options(p.url()), m)
	fill(m, 100, 50)
	waitPublished(t, m)
	p.holdUp()
	fill(m, 100, 50)
	wait(t, func() bool { return r.sink.Counters()["in_flight"] > 0 }, func() string { return "nothing in flight" })
	begin := time.Now()
	r.stop()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

func TestStopWhileThereIsNoServer(t *testing.T) {
	s := startServer(t, nil)
	s.Stop()
	m := newMemory()
	r := start(t, options(s.URL()), m)
	r.waitSaid("nats.servers")
	begin := time.Now()
	r.stop()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("stopping took %s", took)
	}
}
