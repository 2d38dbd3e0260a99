package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Condition is the state of one part: a source, the sink.
type Condition struct {
	Name  string    `json:"name"`
	Ready bool      `json:"ready"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"` // why it is not ready
}

// health keeps the condition of every part, and logs each change of one.
type health struct {
	log *slog.Logger

	mu         sync.Mutex
	conditions []Condition // guarded by mu
}

// set records the condition of a part: nil is ready. It logs when that is news.
func (h *health) set(name string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	condition := h.conditionLocked(name)
	text := ""
	if err != nil {
		text = err.Error()
	}
	if condition.Ready == (err == nil) && condition.Error == text {
		return
	}
	condition.Ready, condition.Error, condition.Since = err == nil, text, time.Now()
	switch fault := (*Fault)(nil); {
	case errors.As(err, &fault):
		h.log.Error("not ready", "part", name, "err", err)
	case err != nil:
		h.log.Warn("not ready", "part", name, "err", err)
	default:
		h.log.Info("ready", "part", name)
	}
}

func (h *health) conditionLocked(name string) *Condition {
	for i := range h.conditions {
		if h.conditions[i].Name == name {
			return &h.conditions[i]
		}
	}
	h.conditions = append(h.conditions, Condition{Name: name, Since: time.Now(), Error: "starting"})
	return &h.conditions[len(h.conditions)-1]
}

// expect adds a part that has not said anything yet.
func (h *health) expect(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conditionLocked(name)
}

func (h *health) all() []Condition {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.conditions)
}

// errEnded is why a part that returned without an error is not ready.
func errEnded(name string) error { return fmt.Errorf("%s ended without a reason", name) }
