package source

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"runtime"
	"slices"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"belfry/gateway"
)

const (
	maxBatch        = 256 // uplinks handed over in one call
	pingTimeout     = 10 * time.Second
	handOverTimeout = 500 * time.Millisecond // how long the library may take to accept a SUBSCRIBE
	settleTimeout   = 400 * time.Millisecond // how long the end of a run may wait for what was handed over
	answerTimeout   = 200 * time.Millisecond // how long an answer to a device may take to be written
	closeTimeout    = 200 * time.Millisecond // how long the broker may take to close the connection after our farewell
	endingsTogether = time.Minute            // so many connections that the broker ended in this time are suspicious
	maxEndings      = 3
	uncontested     = 5 * time.Minute // a connection that lasted so long is ours alone
)

var errQueueFull = errors.New("more came in than could be stored")

// session is one connection to a broker, as long as one Run.
type session struct {
	*subscriber
	queue *queue
	acks  *acks
	end   context.CancelCauseFunc // ends the run with a reason

	client    mqtt.Client
	guard     *guard
	undialed  error       // why there is no connection
	unwatch   func() bool // stops watching for the end of the run while connecting
	connected time.Time
	arrived   uint64    // messages so far, numbered as the guard does; only arrive touches it
	digest    hash.Hash // scratch of handOver
}

// run hands over what comes in until parent is done (nil) or the session cannot go on. ctx is the run's own.
func (s *session) run(parent, ctx context.Context, emit gateway.Emit, ready func(error)) error {
	var running sync.WaitGroup
	acking, stopAcking := context.WithCancel(context.WithoutCancel(ctx))
	running.Go(func() {
		defer s.caught()
		s.acknowledge(acking)
	})
	running.Go(func() {
		defer s.caught()
		if err := s.subscribe(ctx); err != nil {
			s.end(err)
			return
		}
		ready(nil)
		s.probe(ctx)
	})
	s.forward(ctx, emit)
	s.finish(emit)
	stopAcking()
	s.close()
	running.Wait()
	if parent.Err() != nil {
		return nil
	}
	err := context.Cause(ctx)
	ready(err)
	return err
}

// caught ends the run after a panic on one of its goroutines; deferred by each.
func (s *session) caught() {
	if cause := recover(); cause != nil {
		s.end(gateway.NewFault(cause))
	}
}

// arrive is called by the library, one message after the other. It must not block: the library reads nothing meanwhile.
func (s *session) arrive(_ mqtt.Client, message mqtt.Message) {
	s.arrived++
	a := arrival{Message: message, received: time.Now(), cut: s.guard.size(s.arrived)}
	if message.Qos() > 0 {
		a.repeat = s.ids.arrive(message.MessageID(), message.Duplicate())
	}
	taken := s.queue.push(a)
	if !taken && message.Qos() == 0 {
		s.droppedQoS0.Add(1)
	}
}

// lost is called by the library when the connection ended without our doing.
func (s *session) lost(reason error) {
	if cause := s.guard.failure(); cause != nil {
		reason = cause
	}
	err := fmt.Errorf("connection lost: %w", shorten(reason))
	if endedByBroker(reason) && s.endings.often(s.connected, time.Now()) {
		err = fmt.Errorf("connection lost %d times within %s: %w (%w of client_id %q: give each its own; or the broker does not stay up)",
			maxEndings, endingsTogether, shorten(reason), gateway.ErrContested, s.options.ClientID)
	}
	s.end(s.serverError(err))
}

// endings are the times at which the broker ended connections.
type endings struct {
	last      [maxEndings]time.Time
	contested bool
}

// often notes one more, and says whether they are too many. Once they are, a connection must last to end that.
func (e *endings) often(since, now time.Time) bool {
	copy(e.last[:], e.last[1:])
	e.last[maxEndings-1] = now
	many := !e.last[0].IsZero() && now.Sub(e.last[0]) < endingsTogether
	e.contested = many || e.contested && now.Sub(since) < uncontested
	return e.contested
}

// forward hands over batches until ctx is done or the queue overflowed and is empty.
func (s *session) forward(ctx context.Context, emit gateway.Emit) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.queue.ready:
		}
		runtime.Gosched() // what the library has read already comes along: one call for many messages
		arrivals, full := s.queue.take()
		for chunk := range slices.Chunk(arrivals, maxBatch) {
			if err := s.handOver(ctx, chunk, emit); err != nil {
				return
			}
		}
		if full {
			s.waitIdle(ctx)
			s.end(fmt.Errorf("sources.%s.queue: %w; the broker keeps the rest", s.env.Name, errQueueFull))
			return
		}
	}
}

// handOver emits what is in arrivals, at most maxBatch of them.
func (s *session) handOver(ctx context.Context, arrivals []arrival, emit gateway.Emit) error {
	uplinks := make([]gateway.Uplink, len(arrivals))
	for i := range arrivals {
		s.uplink(&arrivals[i], &uplinks[i], s.digest)
	}
	b := &batch{arrivals: arrivals}
	s.acks.add(b)
	s.ids.handOver(arrivals)
	err := emit(ctx, uplinks, func(err error) { s.acks.finish(b, err) })
	if err != nil {
		s.ids.takeBack(arrivals)
		s.acks.finish(b, err)
	}
	return err
}

// finish hands over what would be lost with the connection, and waits a little for what was handed over: the fewer
// messages the broker repeats the better.
func (s *session) finish(emit gateway.Emit) {
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	arrivals, _ := s.queue.take()
	arrivals = slices.DeleteFunc(arrivals, func(a arrival) bool { return a.Qos() > 0 && !s.options.CleanSession })
	for chunk := range slices.Chunk(arrivals, maxBatch) {
		if s.handOver(ctx, chunk, emit) != nil {
			break
		}
	}
	s.waitIdle(ctx)
}

// close ends the connection and waits for the library's goroutines.
func (s *session) close() {
	force := time.AfterFunc(2*closeTimeout, s.guard.shut)
	defer force.Stop()
	s.client.Disconnect(uint(2 * sendTimeout / time.Millisecond)) // returns as soon as all is done
	s.guard.shut()
}

// publish sends a message to the broker with QoS 0: an answer that comes late is none.
func (s *session) publish(topic string, payload []byte) error {
	token := s.client.Publish(topic, 0, false, payload)
	if !token.WaitTimeout(answerTimeout) {
		return errors.New("the broker does not take it in time")
	}
	return token.Error()
}
