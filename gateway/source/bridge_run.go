package source

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"belfry/gateway"
	"belfry/gateway/lorawan"
)

const (
	receiveAgain = 10 * time.Millisecond // how soon a feed that is full is asked again
	feedGrace    = 50 * time.Millisecond // how long the end of a run may take to hand over what has come in
)

// Run implements gateway.Source. The feed works on while the session waits for what it has handed over.
func (s *bridge) Run(parent context.Context, emit gateway.Emit, ready func(error)) error {
	if s.env.Network == nil {
		return errNoNetwork
	}
	ctx, end := context.WithCancelCause(parent)
	defer end(nil)
	emit = oneByOne(emit)
	feed := s.env.Network.NewFeed(lorawan.FeedOptions{Source: s.env.Name, Emit: emit, Downlink: s.downlink, Count: s.count})
	feeding, stop := context.WithCancel(context.WithoutCancel(parent))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { end(s.feed(feeding, feed)) })
	running.Go(func() {
		defer stop()
		select {
		case <-feeding.Done():
			return
		case <-ctx.Done():
		}
		select {
		case <-feeding.Done():
		case <-time.After(feedGrace):
		}
	})
	err := s.serve(ctx, ready, func(session *session) gateway.Emit {
		return (&bridgeRun{bridge: s, publish: session.publish, feed: feed, rest: emit}).emit
	})
	stop()
	running.Wait()
	if parent.Err() != nil {
		return nil
	}
	if err == nil {
		err = context.Cause(ctx)
		ready(err)
	}
	return err
}

// oneByOne lets one call of emit run at a time: the feed and the session have goroutines of their own.
func oneByOne(emit gateway.Emit) gateway.Emit {
	var running sync.Mutex
	return func(ctx context.Context, uplinks []gateway.Uplink, done func(error)) error {
		running.Lock()
		defer running.Unlock()
		return emit(ctx, uplinks, done)
	}
}

// feed runs a feed until ctx is done, and says why it ended before.
func (s *bridge) feed(ctx context.Context, feed *lorawan.Feed) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = gateway.NewFault(cause)
		}
	}()
	return feed.Run(ctx)
}

// bridgeRun is what hands over in one Run.
type bridgeRun struct {
	*bridge
	publish func(topic string, payload []byte) error
	feed    receiver
	rest    gateway.Emit // takes what is no frame
}

// receiver is what a bridge needs of a lorawan.Feed while it runs.
type receiver interface {
	Receive(receptions []lorawan.Reception, done func(error)) bool
}

// emit is a gateway.Emit that gives the frames to the network.
func (r *bridgeRun) emit(ctx context.Context, uplinks []gateway.Uplink, done func(error)) error {
	receptions, rest := r.sort(uplinks)
	parts := &parts{left: 2, done: done}
	if len(receptions) == 0 {
		parts.settle(nil)
	} else if err := r.receive(ctx, receptions, parts.settle); err != nil {
		return err
	}
	if len(rest) == 0 {
		parts.settle(nil)
		return nil
	}
	return r.rest(ctx, rest, parts.settle)
}

// receive waits until the network takes receptions.
func (r *bridgeRun) receive(ctx context.Context, receptions []lorawan.Reception, done func(error)) error {
	for !r.feed.Receive(receptions, done) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(receiveAgain):
		}
	}
	return nil
}

// sort tells frames from what is counted or goes to quarantine.
func (r *bridgeRun) sort(uplinks []gateway.Uplink) (receptions []lorawan.Reception, rest []gateway.Uplink) {
	for i := range uplinks {
		uplink := &uplinks[i]
		if uplink.Fault == nil && uplink.Discard == "" {
			reception, form, err := r.reception(uplink)
			if reception != nil {
				reception.Transmit = r.transmitter(uplink.Topic, reception.Gateway, form)
				receptions = append(receptions, *reception)
				continue
			}
			if uplink.Fault = err; err == nil {
				*uplink = gateway.Uplink{Received: uplink.Received}
				r.discard(uplink, "crc_bad")
			}
		}
		rest = append(rest, *uplink)
	}
	return receptions, rest
}

// transmitter sends answers through the radio gateway whose event had a topic and a form; nil when nothing is to be sent.
func (r *bridgeRun) transmitter(topic, eui string, form bridgeForm) func(lorawan.Downlink) error {
	if !r.downlink {
		return nil
	}
	topic = strings.TrimSuffix(topic, "event/up") + "command/down"
	return func(d lorawan.Downlink) error {
		command, err := form.command(eui, d)
		if err == nil {
			err = r.publish(topic, command)
		}
		if err != nil {
			return fmt.Errorf("send through gateway %s: %w", eui, err)
		}
		return nil
	}
}

// parts calls done once all parts of a batch are settled, with the first error.
type parts struct {
	done func(error)

	mu   sync.Mutex
	left int   // guarded by mu
	err  error // guarded by mu
}

func (p *parts) settle(err error) {
	p.mu.Lock()
	p.left--
	if p.err == nil {
		p.err = err
	}
	last, err := p.left == 0, p.err
	p.mu.Unlock()
	if last {
		p.done(err)
	}
}
