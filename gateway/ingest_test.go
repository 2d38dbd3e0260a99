package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"belfry/buffer"
	"belfry/decoders"
	"belfry/gateway/event"
)

func newBufferedGateway(t *testing.T, decode decoders.Decoder, sensors func(*event.Model) []Sensor) *Gateway {
	t.Helper()
	n, err := NewNormaliser(NormaliserOptions{
		Gateway: "box", Town: Town{"Town", "99001", "219900016"}, Prefix: "town", EventKey: []byte("0123456789abcdef"),
		Inventory: NewInventory(sensors(leakMeterModel(t, decode))),
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := buffer.Open(buffer.Options{Dir: t.TempDir(), MaxSize: 128 << 20, CommitDelay: 5 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	g := New(Options{Normaliser: n, Buffer: b, Log: slog.New(slog.DiscardHandler)})
	g.intakes["a"], g.intakes["b"] = &intake{}, &intake{}
	return g
}

func twoSources(model *event.Model) []Sensor {
	return []Sensor{
		{Event: event.Sensor{ID: "M.1", Device: "meter-1"}, Model: model, Service: "water", Token: "M_2e1", Source: "a"},
		{Event: event.Sensor{ID: "M.2", Device: "meter-1"}, Model: model, Service: "water", Token: "M_2e2", Source: "b"},
	}
}

func sendUp(t *testing.T, emit Emit, uplinks ...Uplink) error {
	t.Helper()
	done := make(chan error, 1)
	if err := emit(context.Background(), uplinks, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	return <-done
}

func TestSensorsOfTwoSourcesWithOneDeviceNameKeepTheirMessagesApart(t *testing.T) {
	decode, err := decoders.NewJSON(decoders.JSONOptions{ID: "n", Fields: []decoders.JSONField{{Name: "volume", Path: "v", Unit: "L"}}})
	if err != nil {
		t.Fatal(err)
	}
	g := newBufferedGateway(t, decode, twoSources)
	for _, source := range []string{"a", "b"} {
		if err := sendUp(t, g.emit(source), Uplink{Device: "meter-1", Payload: []byte(`{"n":1,"v":7}`), Received: received}); err != nil {
			t.Fatal(err)
		}
	}
	records, _ := g.Buffer.Read(buffer.Normal, 1, 10)
	if len(records) != 2 {
		t.Errorf("%d events of 2 sensors; duplicates: %d", len(records), g.Buffer.Stats().Duplicates)
	}
}

func TestNothingOvertakesWhatCouldNotBeHeld(t *testing.T) {
	g := newBufferedGateway(t, leakMeter, twoSources)
	uplink := func(identity string, raw []byte) []Uplink {
		return []Uplink{{Device: "meter-1", Payload: []byte{1}, Raw: raw, Received: received, Identity: identity}}
	}
	tooLarge := uplink("1", make([]byte, 8<<20)) // larger than a transaction, once it is in quarantine
	tooLarge[0].Fault = errors.New("unreadable")
	emit := g.emit("a")
	if err := sendUp(t, emit, tooLarge...); err == nil {
		t.Fatal("the first is held, so there is nothing to overtake")
	}
	if err := sendUp(t, emit, uplink("2", nil)...); !errors.Is(err, errOvertakes) {
		t.Errorf("the second got %v, want errOvertakes", err)
	}
	if err := sendUp(t, g.emit("a"), uplink("2", nil)...); err != nil {
		t.Errorf("the next run of the source got %v, want it to begin anew", err)
	}
}

func TestUplinkThatItsClaimDiscardsIsNotCountedAsStored(t *testing.T) {
	g := newBufferedGateway(t, leakMeter, twoSources)
	discard := func(Transaction) Claimed { return Claimed{Discard: "copy"} }
	unreadable := Uplink{Device: "meter-1", Raw: []byte{1}, Received: received, Fault: errors.New("unreadable"), Claim: discard}
	good := Uplink{Device: "meter-1", Payload: []byte{1}, Received: received, Claim: discard}
	if err := sendUp(t, g.emit("a"), good, unreadable); err != nil {
		t.Fatal(err)
	}
	got := g.intakes["a"].snapshot()
	if want := (Intake{Received: 2, Duplicates: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestUplinkThatIsVouchedForIsItsSensorsWhateverSourceHearsIt(t *testing.T) {
	decode := func(u decoders.Uplink) (decoders.Output, error) {
		if u.Payload[0] == 9 {
			return decoders.Output{}, decoders.ErrMalformed
		}
		return leakMeter(u)
	}
	g := newBufferedGateway(t, decode, func(model *event.Model) []Sensor {
		return []Sensor{{Event: event.Sensor{ID: "M.1", Device: "meter-1"}, Model: model, Service: "water", Token: "M_2e1", Source: "a"}}
	})
	claims := 0
	claim := func(Transaction) Claimed { claims++; return Claimed{} }
	claimed := Uplink{Device: "meter-1", Payload: []byte{1}, Received: received, Identity: "1", Claim: claim}
	vouched := Uplink{Device: "meter-1", Payload: []byte{2}, Received: received, Identity: "2", Claim: claim, Vouched: true}
	unreadable := Uplink{Device: "meter-1", Payload: []byte{9}, Received: received, Identity: "3", Claim: claim, Vouched: true}
	if err := sendUp(t, g.emit("b"), claimed); err != nil || claims != 0 {
		t.Errorf("got %v; what only says whose it is has used up %d counters", err, claims)
	}
	if err := sendUp(t, g.emit("b"), vouched, unreadable); err != nil || claims != 2 {
		t.Errorf("got %v, %d claims, want 2", err, claims)
	}
	if got := events(t, g, buffer.Normal); len(got) != 1 || !strings.Contains(got[0], "M.1") {
		t.Errorf("got events %q", got)
	}
	got := quarantine(t, g)
	if len(got) != 2 || got[0].Stage != "inventory" || got[1].Stage != "decode" {
		t.Fatalf("got %+v in quarantine", got)
	}
	records, _ := g.Buffer.Read(buffer.Quarantine, 1, 2)
	if again := retried(t, g, records[1].Seq); again.Outcome != RetryStill || again.Reason != got[1].Reason {
		t.Errorf("decoded again: %+v, want the same reason", again)
	}
}
