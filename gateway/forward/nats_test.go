package forward_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
)

func TestEverythingArrivesOnceAndInOrderPerSubject(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 3000, 50)
	r := start(t, options(s.URL()), m)
	waitPublished(t, m)
	fill(m, 3000, 50)
	waitPublished(t, m)
	r.stop()
	onceInOrder(t, js, m)
	if got := r.sink.Counters()["published"]; got != 6000 {
		t.Errorf("counted %d published, want 6000", got)
	}
}

func TestHeadersNameTheEventAndItsNumber(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	m.add(buffer.Normal, record("first", "town.a"), record("second", "town.a"))
	start(t, options(s.URL()), m)
	waitPublished(t, m)
	stream, err := js.Stream(t.Context(), "TOWN")
	if err != nil {
		t.Fatal(err)
	}
	got, err := stream.GetMsg(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"Nats-Msg-Id": "second", "Belfry-Sequence": "2", "Content-Type": "application/cloudevents+json",
	} {
		if have := got.Header.Get(header); have != want {
			t.Errorf("header %s: got %q, want %q", header, have, want)
		}
	}
	if want := `{"id":"second"}`; string(got.Data) != want {
		t.Errorf("got body %s, want %s", got.Data, want)
	}
}

// F59: the server is down at boot.
func TestServerAbsentAtStartIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	s.Stop()
	m := newMemory()
	fill(m, 100, 10)
	r := start(t, options(s.URL()), m)
	r.waitSaid("nats.servers: connect to")
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	waitPublished(t, m)
	onceInOrder(t, js, m)
	wait(t, r.isReady, func() string { return "not ready although everything is published" })
}

// F74: a publish that the client library kept to send again by itself would come twice.
func TestServerRestartsLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	r := start(t, options(s.URL()), m)
	for range 5 {
		fill(m, 4000, 50)
		before := r.sink.Counters()["published"]
		wait(t, func() bool { return r.sink.Counters()["published"] > before+500 }, func() string { return "nothing is published" })
		s.Stop()
		fill(m, 100, 50)
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	waitPublished(t, m)
	onceInOrder(t, js, m)
	if got := r.sink.Counters()["reconnects"]; got < 5 {
		t.Errorf("counted %d reconnects, want at least 5", got)
	}
}

// F71, F72: the outage is longer than the duplicate window, and what went before it was stored.
func TestStoredButUnacknowledgedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	p := startProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	m := newMemory()
	r := start(t, options(p.url()), m)
	wait(t, r.isReady, func() string { return "never ready" })
	fill(m, 50, 50)
	waitPublished(t, m) // every subject is known, so that the next records are published without a question
	for range 3 {
		p.swallow.Store(true)
		fill(m, 500, 50)
		<-p.swallows                       // an acknowledgement is lost
		time.Sleep(150 * time.Millisecond) // past the stream's duplicate window
		p.cut()
		p.swallow.Store(false)
		waitPublished(t, m)
	}
	onceInOrder(t, js, m)
	if got := r.sink.Counters()["unknown_resolved_stored"]; got == 0 {
		t.Error("no record was found to be stored already: the test did not lose an acknowledgement")
	}
}

func TestCopyHeldUpOnTheWayIsNotStoredTwice(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	p := startProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	m := newMemory()
	r := start(t, options(p.url()), m)
	fill(m, 20, 20)
	waitPublished(t, m)
	p.holdUp()
	fill(m, 200, 20)
	wait(t, func() bool { return r.sink.Counters()["in_flight"] == 20 }, func() string { return "not in flight" })
	p.cut() // the client connects anew while its old publishes are still on the way
	waitPublished(t, m)
	time.Sleep(150 * time.Millisecond) // past the stream's duplicate window
	p.release()
	// What the server makes of them shows after a round trip behind them.
	for range 3 {
		fill(m, 20, 20)
		waitPublished(t, m)
	}
	onceInOrder(t, js, m)
	if got := r.sink.Counters()["unknown_resolved_missing"]; got == 0 {
		t.Error("no record was found missing: the test held nothing up")
	}
}

func TestRestartWithAMarkBehindSendsNothingTwice(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 20000, 50)
	r := start(t, options(s.URL()), m)
	waitPublished(t, m)
	r.stop()
	m.forget(buffer.Normal, 3) // further back than what is read ahead
	time.Sleep(150 * time.Millisecond)
	fill(m, 500, 50)
	r = start(t, options(s.URL()), m)
	waitPublished(t, m)
	onceInOrder(t, js, m)
	if got := r.sink.Counters()["unknown_resolved_stored"]; got != 20000-3 {
		t.Errorf("found %d records stored already, want %d", got, 20000-3)
	}
}

func TestAnotherPublisherOnTheSameSubjectConfusesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	subject := "town.99001.lighting.observation.s0"
	other := func() {
		t.Helper()
		if _, err := js.Publish(t.Context(), subject, []byte("from somebody else")); err != nil {
			t.Fatal(err)
		}
	}
	other()
	fill(m, 40, 2)
	r := start(t, options(s.URL()), m)
	waitPublished(t, m)
	other()
	fill(m, 40, 2)
	waitPublished(t, m)
	if got := r.sink.Counters()["conflicts"]; got == 0 {
		t.Error("no conflict was counted: the other publisher was not noticed")
	}
	r.stop()
	for range 5 {
		other() // now the last message on the subject is not ours
	}
	m.forget(buffer.Normal, 10)
	time.Sleep(150 * time.Millisecond)
	fill(m, 10, 2)
	start(t, options(s.URL()), m)
	waitPublished(t, m)

	var ours []stored
	for _, message := range read(t, js) {
		if message.id != "" {
			ours = append(ours, message)
		}
	}
	if len(ours) != 90 {
		t.Errorf("got %d messages of ours, want 90", len(ours))
	}
}

func TestReadingThatAnotherGatewayPublishedIsNotPublishedAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	first, second := newMemory(), newMemory()
	for i := range 10 {
		id, subject := string(rune('a'+i)), "town.99001.water.observation.w1"
		first.add(buffer.Normal, record(id, subject))
		second.add(buffer.Normal, record("other-"+id, "town.x"), record(id, subject)) // the same under other numbers
	}
	other := options(s.URL())
	other.ClientName = "mairie-sud"
	r := start(t, options(s.URL()), first)
	waitPublished(t, first)
	r.stop()
	time.Sleep(150 * time.Millisecond)
	start(t, other, second)
	waitPublished(t, second)
	if got := len(read(t, js)); got != 20 {
		t.Errorf("got %d messages on the stream, want 20", got)
	}
}

func TestNewBufferUnderAnOldNameLosesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	old := newMemory()
	fill(old, 100, 5)
	r := start(t, options(s.URL()), old)
	waitPublished(t, old)
	r.stop()
	m := newMemory() // counts from 1 again
	for i := range 100 {
		m.add(buffer.Normal, record("new-"+string(rune('a'+i%26))+string(rune('a'+i/26)), "town.99001.lighting.observation.s"+string(rune('0'+i%5))))
	}
	start(t, options(s.URL()), m)
	waitPublished(t, m)
	if got := len(read(t, js)); got != 200 {
		t.Errorf("got %d messages on the stream, want 200", got)
	}
}

func TestUrgentRecordsOvertakeABacklog(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	config := townStream()
	config.MaxMsgs = 10
	makeStream(t, js, config)
	m := newMemory()
	fill(m, 3000, 50)
	o := options(s.URL())
	o.Window = 20
	r := start(t, o, m)
	r.waitSaid("full") // the backlog stands
	m.add(buffer.Urgent, record("alarm", "town.99001.lighting.alarm.s1"))
	config.MaxMsgs = -1
	makeStream(t, js, config)
	waitPublished(t, m)
	onceInOrder(t, js, m)
	for place, message := range read(t, js) {
		if message.id == "alarm" && place > 200 {
			t.Errorf("the alarm is message %d of 3001", place+1)
		}
	}
}

// F76: the server loses its power after it acknowledged.
func TestLostEndOfTheStreamIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		s := startServer(t, nil)
		js := dial(t, s.URL())
		makeStream(t, js, townStream())
		m := newMemory()
		fill(m, 1000, 20)
		r := start(t, options(s.URL()), m)
		waitPublished(t, m)
		// A server that lost its newest messages with its power numbers on from where it is.
		s.Stop()
		before := copyOf(t, s)
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		fill(m, 500, 20)
		waitPublished(t, m)
		if restarted {
			r.stop()
		}
		s.Stop()
		before.restore(t)
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if restarted {
			start(t, options(s.URL()), m)
		}
		wait(t, func() bool { return lastSeq(t, js) == 1500 }, func() string { return "the lost messages were not sent again" })
		fill(m, 100, 20)
		waitPublished(t, m)
		onceInOrder(t, js, m)
	}
}

func lastSeq(t testing.TB, js jetstream.JetStream) uint64 {
	stream, err := js.Stream(t.Context(), "TOWN")
	if err != nil {
		return 0
	}
	return stream.CachedInfo().State.LastSeq
}
