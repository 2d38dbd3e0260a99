package forward_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway/demo"
	"belfry/gateway/forward"
)

// world is a stream, a store, and a log of what was said about them.
type world struct {
	t   testing.TB
	s   *demo.NATS
	js  jetstream.JetStream
	m   *memory
	o   forward.Options
	r   *runner
	log *logged
}

func newWorld(t testing.TB, config jetstream.StreamConfig) *world {
	t.Helper()
	s := startServer(t, nil)
	w := &world{t: t, s: s, js: dial(t, s.URL()), m: newMemory(), o: options(s.URL()), log: &logged{}}
	w.o.Log = slog.New(slog.NewTextHandler(w.log, nil))
	makeStream(t, w.js, config)
	return w
}

func (w *world) start()                     { w.t.Helper(); w.r = start(w.t, w.o, w.m) }
func (w *world) counter(name string) uint64 { return w.r.sink.Counters()[name] }
func (w *world) fill(count, subjects int)   { fill(w.m, count, subjects) }
func (w *world) published()                 { w.t.Helper(); waitPublished(w.t, w.m) }
func (w *world) waitCount(name string, n uint64) {
	w.t.Helper()
	wait(w.t, func() bool { return w.counter(name) >= n }, func() string { return fmt.Sprintf("%s is not %d: %v", name, n, w.r.sink.Counters()) })
}

// loses has the server go back to where it was before during was called, as after a loss of power.
func (w *world) loses(during func()) {
	w.t.Helper()
	w.s.Stop()
	before := copyOf(w.t, w.s)
	w.startServer()
	during()
	w.s.Stop()
	before.restore(w.t)
	w.startServer()
}

func (w *world) startServer() {
	w.t.Helper()
	if err := w.s.Start(); err != nil {
		w.t.Fatal(err)
	}
}

// others publishes messages that are not ours.
func (w *world) others(count int) {
	w.t.Helper()
	for i := range count {
		var err error
		for range 200 {
			if _, err = w.js.Publish(w.t.Context(), "town.other", fmt.Append(nil, i)); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// onceBesideOthers is onceInOrder for a stream on which others publish too.
func (w *world) onceBesideOthers() {
	w.t.Helper()
	var all []string
	for _, records := range w.m.records {
		for _, r := range records {
			all = append(all, fmt.Sprintf("%d", r.Seq))
		}
	}
	times := map[string]int{}
	for _, message := range read(w.t, w.js) {
		if message.id != "" {
			times[message.sequence]++
		}
	}
	for _, seq := range all {
		if times[seq] != 1 {
			w.t.Errorf("record %s is on the stream %d times; counters %v", seq, times[seq], w.r.sink.Counters())
			return
		}
	}
}

// F76: the server lost its end while both were down, and another publisher has used its numbers since.
func TestLossIsNoticedAfterARestartOfBothThoughOthersPublishedSince(t *testing.T) {
	t.Parallel()
	w := newWorld(t, townStream())
	w.fill(500, 20)
	w.start()
	w.published()
	w.loses(func() {
		w.waitCount("reconnects", 1)
		w.fill(60, 20)
		w.published()
		w.r.stop()
	})
	w.others(100) // past the numbers that were lost
	w.start()
	w.waitCount("verified_loss", 1)
	w.fill(20, 20)
	w.published()
	w.onceBesideOthers()
}

// F76: only what lies behind the last message that the stream still has is asked for again.
func TestWhatTheStreamStillHasIsNotLookedAtAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, townStream())
	w.fill(20_000, 200)
	w.start()
	w.published()
	w.loses(func() {
		w.waitCount("reconnects", 1)
		for range 40 {
			w.fill(5, 200)
			w.published()
		}
	})
	w.waitCount("verified_loss", 1)
	w.fill(1, 200)
	w.published()
	onceInOrder(t, w.js, w.m)
	if got := w.counter("held_checked_again"); got < 200 || got > 6400 {
		t.Errorf("%d of 20,200 records were looked at again after a loss of 200", got)
	}
}

// F76: a gateway that is stopped in the middle of sending again goes on where it was.
func TestSendingAgainGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, townStream())
	w.fill(1000, 20)
	w.start()
	w.published()
	w.loses(func() {
		w.waitCount("reconnects", 1)
		w.fill(500, 20)
		w.published()
		w.r.stop()
	})
	config := townStream()
	config.MaxMsgs = 1200 // 300 of the 500 have no room at first
	makeStream(t, w.js, config)
	w.start()
	w.waitCount("verified_loss", 1)
	w.r.waitSaid("full")
	w.r.stop()
	config.MaxMsgs = -1
	makeStream(t, w.js, config)
	w.start()
	wait(t, func() bool { return lastSeq(t, w.js) >= 1500 }, func() string { return "the rest was not sent again" })
	w.fill(50, 20)
	w.published()
	onceInOrder(t, w.js, w.m)
}

// F76: the same with the buffer of the product instead of the test's.
func TestLossIsNoticedWithARealBufferAfterARestartOfBoth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, townStream())
	dir := t.TempDir()
	run := func(round int, what func(sink *forward.NATS)) {
		b, err := buffer.Open(buffer.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if round >= 0 {
			appendRecords(t, b, w.m, round)
		}
		sink, err := forward.New(w.o)
		if err != nil {
			t.Fatal(err)
		}
		stop := runSink(t, sink, b)
		what(sink)
		stop()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	count := func(name string, want uint64) func(*forward.NATS) {
		return func(sink *forward.NATS) {
			wait(t, func() bool { return sink.Counters()[name] >= want }, func() string { return fmt.Sprint(name, sink.Counters()) })
		}
	}
	run(0, count("published", 2000))
	w.loses(func() { run(1, count("published", 2000)) })
	run(-1, func(sink *forward.NATS) {
		count("verified_loss", 1)(sink)
		wait(t, func() bool { return lastSeq(t, w.js) == 4000 }, func() string { return fmt.Sprint("not sent again ", sink.Counters()) })
	})
	onceInOrder(t, w.js, w.m)
	run(-1, count("verified", 1)) // and is whole from now on
	if got := lastSeq(t, w.js); got != 4000 {
		t.Errorf("%d messages on the stream, want 4000", got)
	}
}

// F76: a connection outlives the loss where another server carries the stream.
func TestLossIsNoticedThoughTheConnectionHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, townStream())
	w.fill(300, 20)
	w.start()
	w.published()
	var before storeCopy
	w.s.Stop()
	before = copyOf(t, w.s)
	w.startServer()
	w.waitCount("reconnects", 1)
	w.fill(100, 20)
	w.published()
	config := *w.s.Server().JetStreamConfig()
	if err := w.s.Server().DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	before.restore(t)
	config.StoreDir = w.s.Dir()
	if err := w.s.Server().EnableJetStream(&config); err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool { return lastSeq(t, w.js) == 300 }, func() string { return "the stream is not back" })
	w.fill(20, 20)
	w.waitCount("verified_loss", 1)
	w.published()
	wait(t, func() bool { return lastSeq(t, w.js) == 420 }, func() string { return fmt.Sprint("not sent again ", w.r.sink.Counters()) })
	onceInOrder(t, w.js, w.m)
	if got := w.counter("reconnects"); got != 1 {
		t.Errorf("%d reconnects: the connection did not hold", got)
	}
}

// F71, F76: the acknowledgement never came, the process ended, the duplicate window is over.
func TestStoredButUnacknowledgedIsNotSentAgainByTheNextProcess(t *testing.T) {
	t.Parallel()
	config := townStream()
	config.Duplicates = 500 * time.Millisecond
	w := newWorld(t, config)
	p := startProxy(t, strings.TrimPrefix(w.s.URL(), "nats://"))
	w.o.Servers = []string{p.url()}
	w.start()
	w.fill(100, 20)
	w.published()
	for range 3 {
		p.swallow.Store(true)
		w.fill(100, 20)
		<-p.swallows
		w.r.stop()
		p.swallow.Store(false)
		time.Sleep(700 * time.Millisecond)
		w.start()
		w.published()
		onceInOrder(t, w.js, w.m)
		if got := w.counter("unknown_resolved_stored"); got == 0 {
			t.Error("nothing was found to be stored already: no acknowledgement was lost")
		}
	}
	if got := w.counter("verified_loss"); got != 0 {
		t.Error("a loss was seen where there was none")
	}
}

// F77: what an operator takes out of the stream is reported, and stays out.
func TestPurgeIsReportedAndNotUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, townStream())
	purge := func() {
		t.Helper()
		stream, err := w.js.Stream(t.Context(), "TOWN")
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	messages := func(want int) {
		t.Helper()
		if got := len(read(t, w.js)); got != want {
			t.Errorf("got %d messages on the stream, want %d; counters %v", got, want, w.r.sink.Counters())
		}
	}
	w.fill(200, 10)
	w.start()
	w.published()
	w.r.stop()
	purge() // while we are away
	w.start()
	w.waitCount("verified_removed", 1)
	w.fill(50, 10)
	w.published()
	messages(50)
	w.fill(50, 10)
	w.published()
	purge() // while we are connected and nothing is under way
	w.fill(30, 10)
	w.waitCount("verified_removed", 2)
	w.published()
	messages(30)
	if !strings.Contains(w.log.String(), "were purged or deleted") {
		t.Errorf("nothing about it in the log:\n%s", w.log)
	}
	if got := w.counter("held_checked_again"); got != 0 {
		t.Errorf("%d records were looked at again", got)
	}
}

// F77: the newest message was deleted by hand, and the one before it proves that nothing else is gone.
func TestDeletedMessageIsNoLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t, townStream())
	w.start()
	for range 30 {
		w.fill(10, 10)
		w.published()
	}
	w.r.stop()
	stream, err := w.js.Stream(t.Context(), "TOWN")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 300); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.waitCount("verified_removed", 1)
	w.fill(10, 10)
	w.published()
	if got := len(read(t, w.js)); got != 309 {
		t.Errorf("got %d messages on the stream, want 309", got)
	}
	// And a loss behind it is one all the same.
	w.loses(func() {
		w.waitCount("reconnects", 1)
		w.fill(40, 10)
		w.published()
		w.r.stop()
	})
	w.start()
	w.waitCount("verified_loss", 1)
	wait(t, func() bool { return lastSeq(t, w.js) == 350 }, func() string { return "not sent again" })
}

// F77: a stream that was made anew is not filled with what the one before had.
func TestStreamMadeAnewIsReportedAndNotFilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, townStream())
	remake := func() {
		t.Helper()
		if err := w.js.DeleteStream(t.Context(), "TOWN"); err != nil {
			t.Fatal(err)
		}
		makeStream(t, w.js, townStream())
	}
	w.fill(200, 10)
	w.start()
	w.published()
	w.r.stop()
	remake()      // while we are away
	w.others(500) // so that the old numbers are there again
	w.start()
	w.waitCount("verified_recreated", 1)
	w.fill(50, 10)
	w.published()
	if got := len(read(t, w.js)); got != 550 {
		t.Errorf("got %d messages on the stream, want 550; counters %v", got, w.r.sink.Counters())
	}
	remake() // while we are connected
	w.fill(30, 10)
	w.published()
	w.waitCount("verified_recreated", 2)
	w.fill(30, 10)
	w.published()
	if got := len(read(t, w.js)); got != 60 {
		t.Errorf("got %d messages on the stream, want 60; counters %v", got, w.r.sink.Counters())
	}
	w.r.stop()
	w.start()
	w.waitCount("verified", 1) // the new one is known by now
	if w.counter("verified_recreated") != 0 || w.counter("held_checked_again") != 0 {
		t.Errorf("the stream is still taken for new: %v", w.r.sink.Counters())
	}
}

// F76: without a position, as after damage to the buffer, all that is held is looked at again and nothing is doubled.
func TestWithoutAPositionEverythingHeldIsLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, townStream())
	w.fill(300, 10)
	w.start()
	w.published()
	w.r.stop()
	w.m.SetPosition([]byte{255, 1, 2, 3})
	w.start()
	w.waitCount("held_checked_again", 300)
	w.fill(20, 10)
	w.published()
	onceInOrder(t, w.js, w.m)
}
