package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"belfry/gateway/config"
)

// newLog returns the log that a configuration asks for.
func newLog(options config.Log, out io.Writer) *slog.Logger {
	handler := &slog.HandlerOptions{Level: options.Level}
	if options.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, handler))
	}
	return slog.New(slog.NewTextHandler(out, handler))
}

// lateHandler stands in for the log until the configuration, which makes the parts that log, says how to write it.
type lateHandler struct {
	target *atomic.Pointer[slog.Handler] // shared by all that were derived; nil until use
	derive func(slog.Handler) slog.Handler
}

func newLateHandler() lateHandler {
	return lateHandler{&atomic.Pointer[slog.Handler]{}, func(handler slog.Handler) slog.Handler { return handler }}
}

func (h lateHandler) use(handler slog.Handler) { h.target.Store(&handler) }

// Enabled implements slog.Handler; nothing is logged before use.
func (h lateHandler) Enabled(ctx context.Context, level slog.Level) bool {
	target := h.target.Load()
	return target != nil && (*target).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h lateHandler) Handle(ctx context.Context, record slog.Record) error {
	return h.derive(*h.target.Load()).Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h lateHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lateHandler{h.target, func(handler slog.Handler) slog.Handler { return h.derive(handler).WithAttrs(attrs) }}
}

// WithGroup implements slog.Handler.
func (h lateHandler) WithGroup(name string) slog.Handler {
	return lateHandler{h.target, func(handler slog.Handler) slog.Handler { return h.derive(handler).WithGroup(name) }}
}
