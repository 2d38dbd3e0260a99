package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"belfry/gateway"
)

// How long after the word to stop the tasks may take, and all together. Then the process ends anyway: what was
// acknowledged is on disk, and what is lost are acknowledgements, which the far sides give again. The kernel may hold a
// process back for as long as one fsync takes: with 5 s for that too it is gone in 10 s.
const (
	tasksLimit = 3 * time.Second
	stopLimit  = 4500 * time.Millisecond
)

// errLate says that something did not end in time.
var errLate = errors.New("did not end in time")

// limits are the moments when a stop no longer waits.
type limits struct {
	tasks, all <-chan struct{}
}

func limitsOf(ctx context.Context) limits {
	return limits{after(ctx, tasksLimit), after(ctx, stopLimit)}
}

// after closes what it returns some time after ctx is done.
func after(ctx context.Context, limit time.Duration) <-chan struct{} {
	late := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.AfterFunc(limit, func() { close(late) })
	})
	return late
}

// bounded returns what f does, or errLate when late is closed first. f is then left behind: the process is about to end.
func bounded(late <-chan struct{}, f func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		return err
	case <-late:
		return errLate
	}
}

// run runs an opened gateway until ctx is done, and closes it. It returns in time even if something hangs, which the log
// names then.
func (p *parts) run(ctx context.Context, limits limits) error {
	steady := time.AfterFunc(steadyLife, p.starts.forget)
	defer steady.Stop()
	err := bounded(limits.tasks, func() error { return p.gateway.Run(ctx) })
	if errors.Is(err, errLate) {
		p.log.Warn("stopped without waiting", "part", strings.Join(p.gateway.Running(), ", "))
		err = nil
	}
	closing := bounded(limits.all, p.close)
	if errors.Is(closing, errLate) {
		p.log.Warn("stopped without waiting", "part", "buffer")
		closing = nil
	}
	if err = errors.Join(err, closing); err == nil {
		p.starts.forget()
	}
	return err
}

// openInTime is open, but returns errLate when the program was told to stop meanwhile and it takes too long.
func openInTime(dir string, out io.Writer, limits limits) (*parts, error) {
	var opened *parts
	err := bounded(limits.all, func() (err error) {
		opened, err = open(dir, out)
		return err
	})
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// died ends the process when the buffer's writer has panicked: its state is not to be trusted, and nothing could be held.
func died(log *slog.Logger) func(cause any) {
	return func(cause any) {
		log.Error("ended", "part", "buffer", "err", gateway.NewFault(cause))
		os.Exit(exitFault)
	}
}
