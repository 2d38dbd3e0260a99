package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"time"
)

// weather takes nats-server away now and then.
type weather struct {
	away atomic.Bool
	end  context.CancelFunc
	done chan error
}

// startWeather lets it happen until calm is called. A server that may be killed loses nothing that it has written, since
// its machine goes on; but it may have been about to write.
func startWeather(ctx context.Context, n *natsServer, mayKill bool, random *rand.Rand) *weather {
	ctx, end := context.WithCancel(ctx)
	w := &weather{end: end, done: make(chan error, 1)}
	go func() { w.done <- w.run(ctx, n, mayKill, random) }() // calm waits for it
	return w
}

// calm ends the weather; the server runs then.
func (w *weather) calm() error {
	w.end()
	err := <-w.done
	w.done <- err
	return err
}

func (w *weather) run(ctx context.Context, n *natsServer, mayKill bool, random *rand.Rand) error {
	for pause(ctx, between(random, 200*time.Millisecond, 2500*time.Millisecond)) == nil {
		w.away.Store(true)
		length := between(random, 50*time.Millisecond, 1200*time.Millisecond)
		var err error
		kind := random.IntN(4)
		if kind%2 == 0 { // nobody answers
			n.process.signal(syscall.SIGSTOP)
			_ = pause(ctx, length)
		}
		switch {
		case kind == 0: // and what was sent is dealt with later
			n.process.signal(syscall.SIGCONT)
		case kind == 1 || !mayKill:
			err = n.process.stop(startLimit)
			_ = pause(ctx, length)
		default: // and what was sent is never seen
			n.process.kill()
			_ = pause(ctx, length)
		}
		if err != nil {
			return fmt.Errorf("stop nats-server: %w", err)
		}
		if !n.process.running() {
			if err := n.start(); err != nil {
				return err
			}
		}
		w.away.Store(false)
	}
	return nil
}
