package gateway

import (
	"errors"
	"fmt"
	"time"

	"belfry/buffer"
)

// stuckAfter is how long a part may stand still before only a restart can help. A disk may take a minute for an fsync, and
// a commit is two of them; a task that failed may pause for maxBackOff.
const stuckAfter = 2 * time.Minute

// Pulse is what a Sink may have besides: when its loop last turned, which it does every few seconds.
type Pulse interface {
	Alive() time.Time
}

// Stuck says which part of the way from the sources to the sink stands still although nothing that it waits for is away;
// nil when all advance. A watchdog is fed, and the process healthy, while it is nil.
func (g *Gateway) Stuck() error {
	limit := g.StuckAfter
	if limit == 0 {
		limit = stuckAfter
	}
	stats := g.Buffer.Stats()
	if errors.Is(stats.Failing, buffer.ErrLocked) {
		return stats.Failing // another process took the folder over
	}
	if still := time.Since(stats.Alive); still > limit {
		return stuck("the writer of the buffer", still)
	}
	if pulse, ok := g.Sink.(Pulse); ok {
		if still := time.Since(later(pulse.Alive(), g.began)); still > limit {
			return stuck("forwarding", still)
		}
	}
	for _, source := range g.Sources {
		if since := g.intakes[source.Name()].decoding.Load(); since != nil && time.Since(*since) > limit {
			return stuck("decoding for source "+source.Name(), time.Since(*since))
		}
	}
	return nil
}

func stuck(part string, still time.Duration) error {
	return fmt.Errorf("%s has not moved for %v", part, still.Round(time.Second))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
