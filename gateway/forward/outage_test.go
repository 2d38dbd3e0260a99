package forward_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"belfry/gateway/forward"
)

// F63: a connection that carries nothing and does not break is noticed, told and left in under 30 s.
func TestBlackHoleIsSeenAndLeftInTime(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	l := startThinLine(t, onLoopback(t), strings.TrimPrefix(s.URL(), "nats://"), 0, 0)
	m := newMemory()
	fill(m, 100, 10)
	r := start(t, options(l.url()), m)
	waitPublished(t, m)
	wait(t, r.isReady, func() string { return "never ready" })
	begin := time.Now()
	l.stick() // nothing is under way: only pings can tell
	wait(t, func() bool { return !r.isReady() }, func() string { return "the black hole was not seen" })
	if took := time.Since(begin); took > 29*time.Second {
		t.Errorf("seen after %s", took)
	}
	fill(m, 100, 10)
	waitPublished(t, m)
	took := time.Since(begin)
	t.Logf("forwarding again %s after it began", took)
	if took > 29*time.Second {
		t.Errorf("forwarding again after %s", took)
	}
	onceInOrder(t, js, m)
}

// F62: the server is up a moment and down a moment, over and over.
func TestFlappingLineLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	p := startProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	m := newMemory()
	r := startWith(t, options(p.url()), m, func(sink *forward.NATS) { sink.SetReconnect(20 * time.Millisecond) })
	for i := range 30 {
		fill(m, 200, 40)
		if i%3 == 0 {
			p.swallow.Store(true) // acknowledgements get lost too
		}
		time.Sleep(60 * time.Millisecond)
		p.refuse.Store(true)
		p.cut()
		time.Sleep(60 * time.Millisecond)
		p.swallow.Store(false)
		p.refuse.Store(false)
	}
	waitPublished(t, m)
	onceInOrder(t, js, m)
	if got := r.sink.Counters()["reconnects"]; got < 5 {
		t.Errorf("%d reconnects: the line did not flap", got)
	}
}

// F80: the client library's own limit is 60 tries.
func TestServerThatIsAwayForManyTriesIsFoundAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	p := startProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	m := newMemory()
	fill(m, 100, 10)
	startWith(t, options(p.url()), m, func(sink *forward.NATS) { sink.SetReconnect(5 * time.Millisecond) })
	waitPublished(t, m)
	p.refuse.Store(true)
	before := p.accepted.Load()
	p.cut()
	fill(m, 100, 10)
	wait(t, func() bool { return p.accepted.Load() > before+200 }, func() string { return "it does not try any more" })
	p.refuse.Store(false)
	waitPublished(t, m)
	onceInOrder(t, js, m)
}

// F72: the publish timed out at the client and was stored all the same, on a connection that held.
func TestTimedOutButStoredIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	p := startProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	m := newMemory()
	r := start(t, options(p.url()), m)
	fill(m, 50, 50)
	waitPublished(t, m)
	p.swallowAcks.Store(true)
	fill(m, 50, 50)
	wait(t, func() bool { return lastSeq(t, js) >= 60 }, func() string { return "not stored" })
	r.waitSaid("no acknowledgement within")
	p.swallowAcks.Store(false)
	waitPublished(t, m)
	onceInOrder(t, js, m)
	if got := r.sink.Counters(); got["unknown_resolved_stored"] < 10 || got["reconnects"] != 0 || got["retries"] != 0 {
		t.Errorf("got %v, want those that were stored found on the stream over the same connection", got)
	}
}

// F65: the server has no storage left for any stream.
func TestServerWithoutStorageKeepsRecordsAndSaysSo(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.JetStreamMaxStore = 512 << 10 })
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	fillLarge(m, 600, 30)
	r := start(t, options(s.URL()), m)
	r.waitSaid("nats.stream", "storage")
	if got := len(m.rejections()); got > 0 {
		t.Errorf("%d records were rejected because the server was full", got)
	}
	stored := lastSeq(t, js)
	if stored == 0 || stored >= 600 {
		t.Fatalf("%d of 600 are stored: the limit did not hold", stored)
	}
	stream, err := js.Stream(t.Context(), "TOWN")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil { // whoever reads the stream makes room
		t.Fatal(err)
	}
	waitPublished(t, m)
	if got := lastSeq(t, js); got != 600 {
		t.Errorf("%d messages were stored, want each of 600 once", got)
	}
}
