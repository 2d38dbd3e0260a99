package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newQuietGateway() *Gateway {
	return New(Options{Log: slog.New(slog.DiscardHandler)})
}

func TestFailedTaskIsRunAgainWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newQuietGateway()
		ctx, cancel := context.WithCancel(t.Context())
		var at []time.Time
		g.supervise(ctx, task{"source a", func(context.Context) error {
			at = append(at, time.Now())
			if len(at) == 12 {
				cancel()
			}
			return errors.New("refused")
		}})
		pause := minBackOff
		for i := 1; i < len(at); i++ {
			if waited := at[i].Sub(at[i-1]); waited < pause/2 || waited > pause {
				t.Errorf("pause %d is %v, want between %v and %v", i, waited, pause/2, pause)
			}
			pause = min(2*pause, maxBackOff)
		}
		if c := g.Conditions(); len(c) != 1 || c[0].Ready || c[0].Error != "refused" {
			t.Errorf("got conditions %+v", c)
		}
	})
}

func TestPauseStartsAgainAfterASteadyRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newQuietGateway()
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		var ended time.Time
		g.supervise(ctx, task{"source a", func(context.Context) error {
			runs++
			switch {
			case runs == 6:
				time.Sleep(time.Minute) // steady
			case runs == 7:
				if waited := time.Since(ended); waited > minBackOff {
					t.Errorf("pause after a steady run is %v, want at most %v", waited, minBackOff)
				}
				cancel()
			}
			ended = time.Now()
			return errors.New("lost")
		}})
	})
}

// F20: two clients with one id would take over from each other for ever.
func TestPauseGrowsWhileAPlaceIsContested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newQuietGateway()
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		began := time.Now()
		g.supervise(ctx, task{"source a", func(context.Context) error {
			if runs++; runs == 12 {
				cancel()
			}
			time.Sleep(steadyAfter + time.Second)
			return fmt.Errorf("lost: %w", ErrContested)
		}})
		if took := time.Since(began); took < 5*time.Minute {
			t.Errorf("12 runs in %v, want them to get rare", took)
		}
	})
}

func TestCancelEndsAPauseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newQuietGateway()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		g.supervise(ctx, task{"source a", func(context.Context) error { return errors.New("refused") }})
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("supervise returned after %v, want 100ms", took)
		}
	})
}

type namedSource struct{ Source }

func (namedSource) Name() string { return "lights" }

func TestTasks(t *testing.T) {
	g := New(Options{Sources: []Source{namedSource{}}, Tasks: []Task{{Name: "status"}}, Log: slog.New(slog.DiscardHandler)})
	var names []string
	for _, task := range g.tasks() {
		names = append(names, task.name)
	}
	if diff := cmp.Diff([]string{"source lights", "nats", "status"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestHealthKeepsTheLastReasonUntilReady(t *testing.T) {
	h := health{log: slog.New(slog.DiscardHandler)}
	h.expect("nats")
	if c := h.all(); c[0].Ready || c[0].Error != "starting" {
		t.Errorf("got %+v before the first word", c)
	}
	h.set("nats", errors.New("refused"))
	h.set("nats", errors.New("refused"))
	if c := h.all(); c[0].Ready || c[0].Error != "refused" {
		t.Errorf("got %+v after a failure", c)
	}
	h.set("nats", nil)
	if c := h.all(); !c[0].Ready || c[0].Error != "" {
		t.Errorf("got %+v when ready", c)
	}
}

func TestLimiterCountsWhatItKeepsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter{}
		if _, ok := l.allow("a"); !ok {
			t.Error("the first line is kept back")
		}
		for range 5 {
			if _, ok := l.allow("a"); ok {
				t.Error("a second line within a minute")
			}
		}
		if _, ok := l.allow("b"); !ok {
			t.Error("the first line of another key is kept back")
		}
		time.Sleep(time.Minute)
		if skipped, ok := l.allow("a"); !ok || skipped != 5 {
			t.Errorf("after a minute got %d skipped, %v, want 5", skipped, ok)
		}
	})
}
