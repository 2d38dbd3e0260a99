package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"belfry/buffer"
	"belfry/decoders"
	"belfry/gateway/event"
)

const secretReading = "the reading of flat 12"

func TestPanicOfATaskIsLoggedWithoutItsValueAndTheTaskRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		g := New(Options{Log: slog.New(slog.NewJSONHandler(&log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		g.supervise(ctx, task{"source a", func(context.Context) error {
			if runs++; runs == 3 {
				cancel()
				return nil
			}
			panic(errors.New(secretReading))
		}})
		if runs != 3 {
			t.Errorf("%d runs, want 3", runs)
		}
		lines := strings.Count(log.String(), "\n")
		if lines != 1 || !strings.Contains(log.String(), "source a") || !strings.Contains(log.String(), "*errors.errorString at belfry/gateway/fault_test.go:") {
			t.Errorf("log of a panic:\n%s", log.String())
		}
		if strings.Contains(log.String(), secretReading) {
			t.Errorf("the value of the panic is in the log:\n%s", log.String())
		}
	})
}

func TestFaultNamesThePlaceOfTheInnermostCall(t *testing.T) {
	defer func() {
		fault := NewFault(recover())
		first, _, _ := strings.Cut(fault.At, " ")
		if fault.Kind != "runtime.boundsError" || !strings.HasPrefix(first, "belfry/gateway/fault_test.go:") {
			t.Errorf("got %v", fault)
		}
		if again := NewFault(fault); again != fault {
			t.Error("a fault that is handed on is described anew")
		}
	}()
	var none []int
	_ = none[len(t.Name())]
}

func TestUplinkOverWhichTheProgramStumblesGoesToQuarantineAndTheNextIsHeld(t *testing.T) {
	g := newBufferedGateway(t, leakMeter, func(model *event.Model) []Sensor {
		return []Sensor{
			{Event: event.Sensor{ID: "M.1", Device: "poison"}, Service: "water", Token: "M_2e1", Source: "a"}, // without its model
			{Event: event.Sensor{ID: "M.2", Device: "good"}, Model: model, Service: "water", Token: "M_2e2", Source: "a"},
		}
	})
	raw := []byte(secretReading)
	if err := sendUp(t, g.emit("a"),
		Uplink{Device: "poison", Payload: []byte{1}, Raw: raw, Received: received},
		Uplink{Device: "good", Readings: []event.Measurement{{Name: "battery_level", Value: decoders.Number(75), Unit: "%"}}, Received: received},
	); err != nil {
		t.Fatal(err)
	}
	records, err := g.Buffer.Read(buffer.Quarantine, 0, 10)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records in quarantine, %v; want 1", len(records), err)
	}
	q, err := event.ParseQuarantined(records[0].Data)
	if err != nil || string(q.Raw) != secretReading || !strings.Contains(q.Reason, "fault in this program") {
		t.Errorf("in quarantine: %+v, %v", q, err)
	}
	if stored := g.Intake()["a"].Stored; stored != 1 {
		t.Errorf("%d held beside it, want 1", stored)
	}
}

type stillSink struct {
	Sink
	alive time.Time
}

func (s *stillSink) Alive() time.Time { return s.alive }

func TestStuckNamesWhatStandsStill(t *testing.T) {
	g := newBufferedGateway(t, leakMeter, func(*event.Model) []Sensor { return nil })
	sink := &stillSink{}
	g.Sink, g.Sources, g.StuckAfter = sink, []Source{namedSource{}}, 3*time.Second
	g.intakes["lights"] = &intake{}
	want := func(part string) {
		t.Helper()
		switch err := g.Stuck(); {
		case part == "" && err != nil:
			t.Errorf("stuck: %v, want nothing", err)
		case part != "" && (err == nil || !strings.Contains(err.Error(), part)):
			t.Errorf("stuck: %v, want %s", err, part)
		}
	}
	ago := time.Now().Add(-time.Hour)
	g.began = time.Now()
	want("") // forwarding has not begun yet
	g.began = ago
	want("forwarding")
	sink.alive = time.Now()
	want("")
	g.intakes["lights"].decoding.Store(&ago)
	want("source lights")
	g.intakes["lights"].decoding.Store(nil)
	want("")
	release := make(chan struct{})
	building := make(chan struct{})
	err := g.Buffer.Append(t.Context(), []buffer.Group{{Build: func(*buffer.Tx) error {
		close(building)
		<-release
		return nil
	}}}, func(buffer.Outcome, error) {})
	if err != nil {
		t.Fatal(err)
	}
	<-building
	for deadline := time.Now().Add(20 * time.Second); g.Stuck() == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a writer that hangs is not noticed")
		}
		sink.alive = time.Now()
	}
	want("writer")
	close(release)
	for deadline := time.Now().Add(20 * time.Second); g.Stuck() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a writer that goes on is not noticed")
		}
		sink.alive = time.Now()
	}
}
