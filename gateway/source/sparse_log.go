package source

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sparseLog writes at most one line a minute for each key, and says in it how many were left out. Keys are words of this
// program or from the configuration, so there are few.
type sparseLog struct {
	log *slog.Logger

	mu   sync.Mutex
	keys map[string]*sparse // guarded by mu
}

type sparse struct {
	next    time.Time
	skipped int
}

func newSparseLog(log *slog.Logger) *sparseLog {
	return &sparseLog{log: log, keys: map[string]*sparse{}}
}

func (l *sparseLog) write(level slog.Level, key, message string, args ...any) {
	l.mu.Lock()
	entry := l.keys[key]
	if entry == nil {
		entry = &sparse{}
		l.keys[key] = entry
	}
	now := time.Now()
	if now.Before(entry.next) {
		entry.skipped++
		l.mu.Unlock()
		return
	}
	skipped := entry.skipped
	entry.skipped, entry.next = 0, now.Add(time.Minute)
	l.mu.Unlock()
	if skipped > 0 {
		args = append(args, "skipped", skipped)
	}
	l.log.Log(context.Background(), level, message, args...)
}
