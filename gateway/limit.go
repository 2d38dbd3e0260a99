package gateway

import (
	"sync"
	"time"
)

// limiter lets one log line a minute through for each key and counts the others.
type limiter struct {
	mu   sync.Mutex
	keys map[string]*limited // guarded by mu; made of names in the configuration, so there are few
}

type limited struct {
	next    time.Time
	skipped uint64
}

// allow says whether a line may be written now, and how many were not since the last.
func (l *limiter) allow(key string) (skipped uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]*limited{}
	}
	entry := l.keys[key]
	if entry == nil {
		entry = &limited{}
		l.keys[key] = entry
	}
	now := time.Now()
	if now.Before(entry.next) {
		entry.skipped++
		return 0, false
	}
	skipped, entry.skipped = entry.skipped, 0
	entry.next = now.Add(time.Minute)
	return skipped, true
}
