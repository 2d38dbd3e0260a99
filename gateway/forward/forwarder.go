package forward

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/buffer"
	"belfry/gateway"
)

const (
	grace           = 2 * time.Second // for acknowledgements at the end
	longestSleep    = 5 * time.Second // Alive tells that the loop turns
	maxIdleSubjects = 1 << 16         // remembered although nothing waits on them
)

// forwarder is the state of one Run. Only the goroutine of run touches it; everyone else goes through the inbox.
type forwarder struct {
	*NATS
	store gateway.Store
	inbox *inbox
	tasks tasks
	now   time.Time // of this turn of the loop

	lanes    [2]lane // Urgent, Normal
	subjects map[string]*subject
	toAsk    [2]fifo[*subject] // listed, not sure of
	runnable [2]fifo[*subject] // listed, ready to be published on
	parked   map[*subject]struct{}
	denied   map[*subject]struct{} // those with a problem
	storedAt time.Time             // when the stream took something last
	asks     int                   // questions under way

	flights map[*nats.Msg]*flight
	spare   []*flight
	limit   limit
	rate    rate

	connection connection
	stream     streamState
	tail       tail
	pause      pause
	status     status
}

func newForwarder(n *NATS, store gateway.Store, ready func(error)) *forwarder {
	f := &forwarder{
		NATS: n, store: store, inbox: newInbox(),
		subjects: map[string]*subject{}, parked: map[*subject]struct{}{}, denied: map[*subject]struct{}{},
		flights: map[*nats.Msg]*flight{},
		status:  status{ready: ready},
	}
	f.tasks.inbox = f.inbox
	var marks [2]buffer.Seq
	for i := range f.lanes {
		marks[i] = store.PublishedUpTo(buffer.Lane(i))
		f.lanes[i] = lane{lane: buffer.Lane(i), next: marks[i] + 1, told: marks[i], largest: guessedSize}
	}
	f.tail = openTail(store.Position(), marks)
	f.limit, f.rate = newLimit(), newRate(f.options.Rate, time.Now())
	return f
}

func (f *forwarder) run(ctx context.Context) {
	// What must outlive ctx by the grace of the last acknowledgements hangs on this context; a connection that
	// blocks in a write is torn off by it.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { time.AfterFunc(2*grace, cancel) })()
	f.tasks.ctx = inner

	clean := false
	defer func() { // also after a panic: a Run leaves nothing behind
		f.end(cancel)
		if clean {
			f.advance()
		}
	}()
	f.loop(ctx)
	clean = true
}

// end closes the client and waits for all that Run started.
func (f *forwarder) end(cancel context.CancelFunc) {
	cancel()
	f.closeSession()
	f.tasks.wait()
	_, calls := f.inbox.take(nil)
	for _, call := range calls { // one may bring a client that connected too late
		call()
	}
	f.closeSession()
	f.gauge()
}

func (f *forwarder) loop(ctx context.Context) {
	var outcomes []outcome
	var calls []func()
	done := ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var end time.Time // when to stop waiting for acknowledgements
	var appended <-chan struct{}
	for {
		f.now = time.Now()
		f.alive.Store(int64(f.now.Sub(f.born)))
		outcomes, calls = f.inbox.take(outcomes)
		for _, o := range outcomes {
			f.settle(o)
		}
		clear(outcomes)
		for _, call := range calls {
			call()
		}
		f.advance()
		if done == nil && (len(f.flights) == 0 || !f.now.Before(end)) {
			return
		}
		next := f.store.Appended() // before reading, so that nothing comes in between unseen
		select {
		case <-appended: // whatever woke us up
			f.lanes[buffer.Urgent].drained, f.lanes[buffer.Normal].drained = false, false
		default:
		}
		appended = next
		if done != nil {
			f.connect()
			f.prepare()
			f.rewindHeld()
			f.fill()
			f.unpark()
			f.pump()
		}
		f.gauge()
		f.report()
		timer.Reset(f.nextTurn(done == nil, end))
		select {
		case <-done:
			done, end = nil, time.Now().Add(grace)
		case <-f.inbox.wake:
		case <-appended:
		case <-timer.C:
		}
	}
}

// nextTurn says how long the loop may sleep when nothing happens.
func (f *forwarder) nextTurn(stopping bool, end time.Time) time.Duration {
	next := f.now.Add(longestSleep)
	sooner := func(t time.Time) {
		if t.After(f.now) && t.Before(next) {
			next = t
		}
	}
	if stopping {
		sooner(end)
	} else {
		sooner(f.connection.retryAt)
		sooner(f.stream.retryAt)
		sooner(f.stream.lookAt)
		sooner(f.rate.next())
		sooner(f.pause.until)
		for i := range f.lanes {
			sooner(f.lanes[i].retryAt)
		}
		for s := range f.parked {
			sooner(s.retryAt)
		}
	}
	return max(time.Until(next), 0)
}

// advance tells the store how far each lane is dealt with without a gap, and before that where the stream is: a mark
// must not be on disk without the place that proves it.
func (f *forwarder) advance() {
	if f.tail.rewind {
		return // the marks are about to be looked at again
	}
	var done [2]buffer.Seq
	for i := range f.lanes {
		done[i] = f.lanes[i].advance()
		if f.tail.again[i] > 0 {
			f.tail.again[i] = done[i] + 1
			if done[i] >= f.lanes[i].told {
				f.tail.again[i], f.tail.changed = 0, true
			}
		}
	}
	if f.tail.again == [2]buffer.Seq{} {
		f.tail.whole = 0
	}
	if f.tail.note(done) {
		f.store.SetPosition(f.tail.encode())
	}
	for i, upTo := range done {
		if upTo > f.lanes[i].told {
			f.lanes[i].told = upTo
			f.store.Published(buffer.Lane(i), upTo)
		}
	}
}

// gauge shows what is under way to those who watch.
func (f *forwarder) gauge() {
	f.inFlight.Store(uint64(len(f.flights)))
	f.inFlightBytes.Store(uint64(max(f.limit.flying, 0)))
	f.windowBytes.Store(uint64(f.limit.bytes))
	f.rateLimited.Store(uint64(f.rate.waited.Milliseconds()))
}

// subject finds or makes the state of a subject, and forgets idle ones when there are too many.
func (f *forwarder) subject(name string) *subject {
	s, ok := f.subjects[name]
	if ok {
		return s
	}
	if len(f.subjects) >= maxIdleSubjects {
		f.forgetIdle()
	}
	s = &subject{name: name}
	f.subjects[name] = s
	return s
}

// forgetIdle drops an eighth of the subjects, as far as nothing waits on them; they are asked for again when needed.
func (f *forwarder) forgetIdle() {
	enough := maxIdleSubjects / 8
	for name, s := range f.subjects {
		if s.state == idle && s.queue.len() == 0 {
			delete(f.subjects, name)
			if enough--; enough == 0 {
				return
			}
		}
	}
}

// list puts a subject with waiting records where pump finds it.
func (f *forwarder) list(s *subject) {
	f.skipStored(s)
	if s.queue.len() == 0 {
		s.state, s.single = idle, nil
		return
	}
	s.state = listed
	lane := s.head().record.Lane
	if s.sure {
		f.runnable[lane].push(s)
	} else {
		f.toAsk[lane].push(s)
	}
}

// park keeps a subject back for a while, longer each time; the others go on.
func (f *forwarder) park(s *subject, first, longest time.Duration, problem error) {
	s.wait = min(max(2*s.wait, first), longest)
	s.retryAt = f.now.Add(jitter(s.wait))
	s.state = parked
	if problem != nil {
		s.problem = problem
	}
	f.parked[s] = struct{}{}
}

func (f *forwarder) unpark() {
	for s := range f.parked {
		if !s.retryAt.After(f.now) {
			delete(f.parked, s)
			f.list(s)
		}
	}
}

// finish is called when an item that is the head of its subject is stored or rejected.
func (f *forwarder) finish(it *item) {
	f.lanes[it.record.Lane].finish(it)
	it.record.Data, it.body = nil, nil
	if it.subject != nil {
		it.subject.queue.pop()
	}
}
