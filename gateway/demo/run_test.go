package demo

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// transcript is what a run writes.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestRunShowsAnOutageAndFindsEverythingOnce(t *testing.T) {
	out, r := &transcript{}, &relay{t: t}
	err := Run(t.Context(), RunOptions{Duration: 9 * time.Second, Sensors: 80, Rate: 100, Out: out, Gateway: r.start})
	t.Log(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"NATS is stopped now", "NATS is back", "each of them on the stream exactly once", "kept in quarantine",
		"radio:", "joined", "every replay was refused", "water_volume", "dim_level", "active_energy", "fill_distance", "fill_level", "messages", "raised",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing said of %q", want)
		}
	}
}

func TestRunRefusesAGatewayThatLosesAMessage(t *testing.T) {
	lost := false
	r := &relay{t: t, spoil: func(e *wireEvent) bool {
		if lost || e.Data.Alarm != nil || len(e.Data.Measurements) == 0 {
			return true
		}
		lost = true
		return false
	}}
	err := Run(t.Context(), RunOptions{Duration: time.Second, Sensors: 40, Rate: 100, Gateway: r.start, settle: 2 * time.Second})
	if !errors.Is(err, errVerdict) || !strings.Contains(err.Error(), "missing: 1\n") {
		t.Errorf("got %v", err)
	}
}

func TestInterruptedRunGivesTheSameVerdict(t *testing.T) {
	out, r := &transcript{}, &relay{t: t}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, RunOptions{Sensors: 40, Rate: 200, Out: out, Gateway: r.start}) }()
	eventually(t, "some messages", func() bool { return r.taken.Load() > 100 })
	interrupt()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "exactly once") {
		t.Errorf("no verdict in:\n%s", out)
	}
}

func TestRunEndsWhenTheGatewayDoes(t *testing.T) {
	r := &relay{t: t}
	start := func(ctx context.Context, dir string) (Probe, error) {
		ctx, stop := context.WithCancel(ctx)
		time.AfterFunc(time.Second, stop)
		return r.start(ctx, dir)
	}
	err := Run(t.Context(), RunOptions{Sensors: 40, Gateway: start})
	if !errors.Is(err, errGatewayEnded) {
		t.Errorf("got %v, want %v", err, errGatewayEnded)
	}
}

func TestRunReportsAGatewayThatDoesNotStart(t *testing.T) {
	want := errors.New("no such town")
	err := Run(t.Context(), RunOptions{Gateway: func(context.Context, string) (Probe, error) { return nil, want }})
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestOutageIsInsideTheShow(t *testing.T) {
	for duration := time.Second; duration < 5*time.Minute; duration += time.Second {
		o := plan(duration)
		if o.after != 0 && (o.after < 5*time.Second || o.lasts < 3*time.Second || o.after+o.lasts > duration) {
			t.Errorf("a show of %s stops NATS after %s for %s", duration, o.after, o.lasts)
		}
		if o.after == 0 && duration >= 8*time.Second {
			t.Errorf("a show of %s has no outage", duration)
		}
	}
	if plan(0).after == 0 {
		t.Error("an endless show has no outage")
	}
}
