package source

import "sync/atomic"

// counters are totals by name. The names are fixed when it is made, so that no input makes new ones.
type counters map[string]*atomic.Uint64

func newCounters(names ...string) counters {
	c := make(counters, len(names))
	for _, name := range names {
		c[name] = new(atomic.Uint64)
	}
	return c
}

func (c counters) snapshot() map[string]uint64 {
	totals := make(map[string]uint64, len(c))
	for name, total := range c {
		totals[name] = total.Load()
	}
	return totals
}
