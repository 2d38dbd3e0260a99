package demo

import (
	"slices"
	"sync"
	"time"
)

// latencies collects how long events took. It may be used from several goroutines.
type latencies struct {
	mu     sync.Mutex
	recent []time.Duration // guarded by mu
	count  int             // guarded by mu; events since the last quantiles
}

// maxRecent bounds what one interval keeps; later ones replace earlier ones.
const maxRecent = 10000

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) < maxRecent {
		l.recent = append(l.recent, d)
	} else {
		l.recent[l.count%maxRecent] = d
	}
	l.count++
}

// quantiles returns how many were added since the last call, their median and the 99th percentile.
func (l *latencies) quantiles() (count int, p50, p99 time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	count = l.count
	if len(l.recent) > 0 {
		slices.Sort(l.recent)
		p50, p99 = l.recent[len(l.recent)/2], l.recent[len(l.recent)*99/100]
	}
	l.recent, l.count = l.recent[:0], 0
	return count, p50, p99
}
