package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"belfry/buffer"
	"belfry/decoders"
	"belfry/gateway/event"
)

// retried retries one message and returns what became of it.
func retried(t *testing.T, g *Gateway, seq buffer.Seq) Retried {
	t.Helper()
	all, err := g.Retry(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Seq != seq {
		t.Fatalf("got %+v for record %d", all, seq)
	}
	return all[0]
}

func quarantine(t *testing.T, g *Gateway) []event.Quarantined {
	t.Helper()
	records, err := g.Buffer.Read(buffer.Quarantine, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	var all []event.Quarantined
	for _, record := range records {
		q, err := event.ParseQuarantined(record.Data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, q)
	}
	return all
}

func events(t *testing.T, g *Gateway, lane buffer.Lane) []string {
	t.Helper()
	records, err := g.Buffer.Read(lane, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, record := range records {
		parsed, err := event.ParseRecord(record.Data)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(parsed.Body))
	}
	return bodies
}

func checkLedger(t *testing.T, g *Gateway) {
	t.Helper()
	if err := g.Buffer.Stats().Ledger.Balance(); err != nil {
		t.Error(err)
	}
}

// noSensors is an inventory in which the sensor is not yet.
func noSensors(*event.Model) []Sensor { return nil }

func TestRetriedMessageHasTheEventThatItWouldHaveHadTheFirstTime(t *testing.T) {
	network := received.Add(-3 * time.Second)
	uplink := Uplink{Device: "meter-1", Payload: []byte{1, 2, 0x83}, Raw: []byte("raw"), Received: received, Time: network, Identity: "ns:1"}
	known := newBufferedGateway(t, leakMeter, twoSources)
	if err := sendUp(t, known.emit("a"), uplink); err != nil {
		t.Fatal(err)
	}
	late := newBufferedGateway(t, leakMeter, noSensors)
	if err := sendUp(t, late.emit("a"), uplink); err != nil {
		t.Fatal(err)
	}
	if got := retried(t, late, 1); got.Outcome != RetryStill || !strings.Contains(got.Reason, "no sensor") {
		t.Fatalf("before the sensor is known: got %+v", got)
	}
	if n := len(quarantine(t, late)); n != 1 {
		t.Fatalf("%d messages in quarantine after a retry in vain, want the one", n)
	}
	late.Normaliser.Inventory = known.Normaliser.Inventory
	tried, err := late.Retrier().Try(1)
	if err != nil || tried[0].Outcome != RetrySent || len(tried[0].Events) != 4 || len(quarantine(t, late)) != 1 {
		t.Fatalf("tried only: got %+v, %v", tried, err)
	}
	got := retried(t, late, 1)
	if got.Outcome != RetrySent || len(got.Events) != 4 || got.Events[0].ID != tried[0].Events[0].ID {
		t.Fatalf("got %+v, want three observations and an alarm as tried", got)
	}
	for _, lane := range []buffer.Lane{buffer.Normal, buffer.Urgent} {
		got, want := strings.Join(events(t, late, lane), "\n"), strings.Join(events(t, known, lane), "\n")
		if lane == buffer.Normal {
			want = strings.ReplaceAll(want, `"flags":[]`, `"flags":["replayed"]`)
		}
		if got != want {
			t.Errorf("lane %d has\n%s\nwant\n%s", lane, got, want)
		}
	}
	if n := len(quarantine(t, late)); n != 0 {
		t.Errorf("%d messages are still in quarantine", n)
	}
	if got := retried(t, late, 1); got.Outcome != RetryAbsent {
		t.Errorf("the second retry gives %+v, want absent", got)
	}
	if err := sendUp(t, late.emit("a"), uplink); err != nil {
		t.Fatal(err)
	}
	if n := len(events(t, late, buffer.Normal)); n != 3 {
		t.Errorf("%d observations after the broker sent it again, want 3", n)
	}
	checkLedger(t, late)
}

func TestRetriedAlarmIsHeldAgainstTheStateOfToday(t *testing.T) {
	g := newBufferedGateway(t, leakMeter, noSensors)
	leak := func(identity string, value byte) Uplink {
		return Uplink{Device: "meter-1", Payload: []byte{value}, Received: received, Identity: identity}
	}
	if err := sendUp(t, g.emit("a"), leak("1", 0x81), leak("2", 0x82)); err != nil {
		t.Fatal(err)
	}
	g.Normaliser.Inventory = NewInventory(twoSources(leakMeterModel(t, leakMeter)))
	if err := sendUp(t, g.emit("a"), leak("3", 0x83)); err != nil {
		t.Fatal(err)
	}
	all, err := g.Retry(t.Context(), 1, 2)
	if err != nil || all[0].Outcome != RetrySent || all[1].Outcome != RetrySent {
		t.Fatalf("got %+v, %v", all, err)
	}
	if alarms := events(t, g, buffer.Urgent); len(alarms) != 1 {
		t.Errorf("%d alarms for a leak that is known already: %q", len(alarms), alarms)
	}
	checkLedger(t, g)
}

func TestEventThatCouldNotBePublishedGoesBackIntoItsLaneUnderItsID(t *testing.T) {
	g := newBufferedGateway(t, leakMeter, twoSources)
	if err := sendUp(t, g.emit("a"), Uplink{Device: "meter-1", Payload: []byte{0x81}, Received: received, Identity: "1"}); err != nil {
		t.Fatal(err)
	}
	for _, lane := range []buffer.Lane{buffer.Normal, buffer.Urgent} {
		records, err := g.Buffer.Read(lane, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		original, err := event.ParseRecord(records[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		entry := event.Quarantined{Stage: "publish", Reason: "too large", Raw: records[0].Data, Topic: original.Subject, Received: time.Now()}
		if err := g.Buffer.Reject(t.Context(), records[0], entry.Append(nil)); err != nil {
			t.Fatal(err)
		}
		g.Buffer.Published(lane, g.Buffer.Stats().LastSeq)
		got := retried(t, g, g.Buffer.Stats().LastSeq)
		if got.Outcome != RetrySent || len(got.Events) != 1 || got.Events[0].ID != original.ID || got.Events[0].Subject != original.Subject {
			t.Fatalf("got %+v, want %s again", got, original.ID)
		}
		again, err := g.Buffer.Read(lane, got.Events[0].Seq, 1)
		if err != nil || len(again) != 1 || string(again[0].Data) != string(records[0].Data) {
			t.Errorf("lane %d has %+v, want what was rejected", lane, again)
		}
	}
	checkLedger(t, g)
}

func TestDamagedRecordIsNotRetried(t *testing.T) {
	g := newBufferedGateway(t, leakMeter, twoSources)
	done := make(chan error, 1)
	group := buffer.Group{Build: func(tx *buffer.Tx) error {
		tx.Append(buffer.Quarantine, []byte{1, 2, 3})
		tx.Append(buffer.Quarantine, []byte(`{"stage":"publish","raw":"AQID"}`))
		return nil
	}}
	if err := g.Buffer.Append(t.Context(), []buffer.Group{group}, func(_ buffer.Outcome, err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := retried(t, g, 1); got.Outcome != RetryStill || !strings.Contains(got.Reason, "damaged") {
		t.Errorf("got %+v", got)
	}
	if got := retried(t, g, 2); got.Outcome != RetryStill || !strings.Contains(got.Reason, "cannot be read") {
		t.Errorf("got %+v", got)
	}
	if n := g.Buffer.Stats().Quarantined; n != 2 {
		t.Errorf("%d in quarantine, want both", n)
	}
}

func TestMessageOverWhichTheProgramStumblesAgainStays(t *testing.T) {
	g := newBufferedGateway(t, leakMeter, noSensors)
	if err := sendUp(t, g.emit("a"), Uplink{Device: "meter-1", Payload: []byte{1}, Received: received}); err != nil {
		t.Fatal(err)
	}
	broken := *g.Normaliser
	broken.Inventory = NewInventory(twoSources(leakMeterModel(t, leakMeter)))
	broken.ids = nil // what ids are made with, once the reading is decoded
	got, err := (&Retrier{Normaliser: &broken, Buffer: g.Buffer}).Retry(t.Context(), 1)
	if err != nil || got[0].Outcome != RetryStill || !strings.Contains(got[0].Reason, "fault in this program") {
		t.Errorf("got %+v, %v", got, err)
	}
	if n := len(quarantine(t, g)); n != 1 || g.Buffer.Stats().Pending != [2]uint64{} {
		t.Errorf("%d in quarantine, %v pending, want the message where it was", n, g.Buffer.Stats().Pending)
	}
	checkLedger(t, g)
}

// rereading is a source that has learned to read what it could not.
type rereading struct {
	namedSource
	name string
}

func (r rereading) Name() string { return r.name }
func (rereading) Reread(m *event.Quarantined) (Uplink, bool) {
	var fields struct {
		Device, Identity string
		Value            byte
	}
	if json.Unmarshal(m.Raw, &fields) != nil {
		return Uplink{}, false
	}
	return Uplink{Device: fields.Device, Identity: fields.Identity, Payload: []byte{fields.Value}, Raw: m.Raw, Topic: m.Topic, Received: m.Received}, true
}

func TestReadingThatCameAnotherWayMeanwhileIsNotSentTwice(t *testing.T) {
	g := newBufferedGateway(t, leakMeter, twoSources)
	raw := []byte(`{"device":"meter-1","identity":"ns:7","value":5}`)
	unreadable := Uplink{Raw: raw, Received: received, Fault: fmt.Errorf("not understood")}
	if err := sendUp(t, g.emit("a"), unreadable); err != nil {
		t.Fatal(err)
	}
	if got := retried(t, g, 1); got.Outcome != RetryStill || got.Reason != "not understood" {
		t.Fatalf("without a source that reads again: got %+v", got)
	}
	if err := sendUp(t, g.emit("a"), Uplink{Device: "meter-1", Payload: []byte{5}, Received: received, Identity: "ns:7"}); err != nil {
		t.Fatal(err)
	}
	g.Sources = []Source{rereading{name: "a"}}
	if got := retried(t, g, 1); got.Outcome != RetryRepeat {
		t.Errorf("got %+v, want a repeat", got)
	}
	if n := len(events(t, g, buffer.Normal)); n != 1 {
		t.Errorf("%d observations of one reading", n)
	}
	if n := len(quarantine(t, g)); n != 0 {
		t.Errorf("%d in quarantine, want none", n)
	}
	checkLedger(t, g)
}

func TestManyMessagesAreRetriedInTheirOrder(t *testing.T) {
	decode, err := decoders.NewJSON(decoders.JSONOptions{Fields: []decoders.JSONField{{Name: "volume", Path: "v", Unit: "L"}}})
	if err != nil {
		t.Fatal(err)
	}
	g := newBufferedGateway(t, decode, noSensors)
	const n = 300
	var seqs []buffer.Seq
	for i := range n {
		if err := g.emit("a")(t.Context(), []Uplink{{Device: "meter-1", Payload: fmt.Appendf(nil, `{"v":%d}`, i), Received: received, Identity: fmt.Sprint(i)}}, func(error) {}); err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, buffer.Seq(i+1))
	}
	if err := sendUp(t, g.emit("a"), Uplink{Device: "none", Payload: []byte("{}"), Received: received}); err != nil {
		t.Fatal(err)
	}
	g.Normaliser.Inventory = NewInventory(twoSources(leakMeterModel(t, decode)))
	all, err := g.Retry(t.Context(), seqs...)
	if err != nil || len(all) != n {
		t.Fatalf("got %d results, %v", len(all), err)
	}
	records, err := g.Buffer.Read(buffer.Normal, 1, n+1)
	if err != nil || len(records) != n {
		t.Fatalf("%d events, %v", len(records), err)
	}
	for i, record := range records {
		if want := fmt.Sprintf(`"value":%d,`, i); !strings.Contains(string(record.Data), want) {
			t.Fatalf("event %d is %s, want %s in it", i, record.Data, want)
		}
	}
	checkLedger(t, g)
}
