package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	minBackOff  = time.Second
	maxBackOff  = time.Minute
	steadyAfter = 10 * time.Second // ready for so long, the next failure starts from minBackOff again
)

// supervise runs a task again and again until ctx is done, with a growing pause after each failure, be it a panic. It is
// the only place that retries: sources and sinks return instead.
func (g *Gateway) supervise(ctx context.Context, t task) {
	pause := minBackOff
	for {
		started := time.Now()
		err := runOnce(ctx, t)
		if fault := (*Fault)(nil); ctx.Err() != nil && !errors.As(err, &fault) {
			return
		}
		if err == nil {
			err = errEnded(t.name)
		}
		g.health.set(t.name, err)
		if time.Since(started) > steadyAfter && !errors.Is(err, ErrContested) {
			pause = minBackOff
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, maxBackOff)
	}
}

// runOnce runs a task once. A panic ends that task only: it becomes the task's error, without its value.
func runOnce(ctx context.Context, t task) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = NewFault(cause)
		}
	}()
	return t.run(ctx)
}
