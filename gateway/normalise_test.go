package gateway

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belfry/buffer"
	"belfry/decoders"
	"belfry/gateway/event"
)

var received = time.Date(2026, 1, 14, 17, 2, 10, 0, time.UTC)

// memory is a Transaction that keeps everything.
type memory struct {
	state   map[string][]byte
	records []kept
	marks   map[buffer.Mark]bool

	discarded string
}

type kept struct {
	lane buffer.Lane
	data []byte
}

func (m *memory) State(key string) []byte { return m.state[key] }
func (m *memory) SetState(key string, value []byte) {
	if m.state == nil {
		m.state = map[string][]byte{}
	}
	m.state[key] = value
}
func (m *memory) Append(lane buffer.Lane, data []byte) buffer.Seq {
	m.records = append(m.records, kept{lane, data})
	return buffer.Seq(len(m.records))
}

func (m *memory) Discard(reason string) { m.discarded = reason }
func (m *memory) Mark(mark buffer.Mark) bool {
	known := m.marks[mark]
	if m.marks == nil {
		m.marks = map[buffer.Mark]bool{}
	}
	m.marks[mark] = true
	return known
}

// leakMeter decodes one byte a sample: the volume, with the leak flag in the top bit of the last one.
func leakMeter(u decoders.Uplink) (decoders.Output, error) {
	if len(u.Payload) == 0 {
		return decoders.Output{}, decoders.ErrMalformed
	}
	output := decoders.Output{}
	for i, b := range u.Payload {
		s := decoders.Sample{Fields: []decoders.Field{{Name: "volume", Unit: "L", Value: decoders.Number(b & 0x7f)}}}
		if len(u.Payload) > 1 {
			s.Time = received.Add(time.Duration(i-len(u.Payload)) * time.Hour)
		}
		if i == len(u.Payload)-1 && u.Port != 9 {
			s.Fields = append(s.Fields, decoders.Field{Name: "leak", Value: decoders.Bool(b&0x80 != 0)})
		}
		output.Samples = append(output.Samples, s)
	}
	return output, nil
}

// leakMeterModel is the model of a meter with a volume and a leak.
func leakMeterModel(t *testing.T, decode decoders.Decoder) *event.Model {
	t.Helper()
	model := &event.Model{
		Name: "leak-meter", Kind: "water_meter", Service: "water", Decode: decode,
		Mapping: event.Mapping{
			Measurements: []event.MeasurementRule{{Name: "water_volume", Field: "volume"}},
			Alarms:       []event.AlarmRule{{Code: "water_leak", Field: "leak"}},
		},
	}
	if err := model.Check(); err != nil {
		t.Fatal(err)
	}
	return model
}

func newTestNormaliser(t *testing.T) *Normaliser {
	t.Helper()
	model := leakMeterModel(t, leakMeter)
	n, err := NewNormaliser(NormaliserOptions{
		Gateway: "box", Town: Town{"Town", "99001", "219900016"}, Prefix: "town", EventKey: []byte("0123456789abcdef"),
		Inventory: NewInventory([]Sensor{{
			Event: event.Sensor{ID: "M.1", Kind: "water_meter", Model: "leak-meter", Device: "d1"},
			Model: model, Service: "water", Token: "M_2e1",
		}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

type published struct {
	Type, Subject, Time, ID string
	Data                    struct {
		Alarms []string
		Alarm  *struct {
			Code, Since string
			Active      bool
		}
		Measurements map[string]struct{ Value float64 }
		Flags        []string
		Clock        string
	}
}

// take prepares and builds one uplink and returns its events with their NATS subjects.
func take(t *testing.T, n *Normaliser, tx *memory, uplink Uplink) ([]published, []string) {
	t.Helper()
	before := len(tx.records)
	uplink.Device, uplink.Received = "d1", received
	if err := n.Prepare("radio", &uplink).Build(tx); err != nil {
		t.Fatal(err)
	}
	var events []published
	var subjects []string
	for _, record := range tx.records[before:] {
		packed, err := event.ParseRecord(record.data)
		if err != nil {
			t.Fatal(err)
		}
		var e published
		if err := json.Unmarshal(packed.Body, &e); err != nil {
			t.Fatal(err)
		}
		events, subjects = append(events, e), append(subjects, packed.Subject)
	}
	return events, subjects
}

func TestAlarmIsALevelOnObservationsAndAnEventOnlyAtItsEdges(t *testing.T) {
	n, tx := newTestNormaliser(t), &memory{}
	step := func(name string, uplink Uplink, alarms []string, edge string) {
		t.Helper()
		events, subjects := take(t, n, tx, uplink)
		if diff := cmp.Diff(alarms, events[0].Data.Alarms); diff != "" {
			t.Errorf("%s: active alarms: %s", name, diff)
		}
		switch {
		case edge == "" && len(events) != 1:
			t.Errorf("%s: got %d events, want the observation alone", name, len(events))
		case edge != "":
			if len(events) != 2 || events[1].Type != event.TypeAlarm || subjects[1] != "town.99001.water.alarm.M_2e1" {
				t.Fatalf("%s: got %+v on %v, want an alarm too", name, events, subjects)
			}
			if got := map[bool]string{true: "up", false: "down"}[events[1].Data.Alarm.Active]; got != edge {
				t.Errorf("%s: the alarm went %s, want %s", name, got, edge)
			}
		}
	}
	step("quiet", Uplink{Payload: []byte{1}}, []string{}, "")
	step("raised", Uplink{Payload: []byte{0x82}}, []string{"water_leak"}, "up")
	step("still up", Uplink{Payload: []byte{0x83}}, []string{"water_leak"}, "")
	step("says nothing of it", Uplink{Payload: []byte{4}, Port: 9}, []string{"water_leak"}, "")
	step("cleared", Uplink{Payload: []byte{5}}, []string{}, "down")
	step("quiet again", Uplink{Payload: []byte{6}}, []string{}, "")
}

func TestEdgeIsTakenAgainWhenItsTransactionFailed(t *testing.T) {
	n, tx := newTestNormaliser(t), &memory{}
	uplink := Uplink{Device: "d1", Received: received, Payload: []byte{0x81}, Identity: "ns:1"}
	prepared := n.Prepare("radio", &uplink)
	if err := prepared.Build(&memory{}); err != nil { // a transaction that is thrown away
		t.Fatal(err)
	}
	if err := prepared.Build(tx); err != nil {
		t.Fatal(err)
	}
	if len(tx.records) != 2 || tx.records[1].lane != buffer.Urgent {
		t.Errorf("got %d records, want the observation and the alarm again", len(tx.records))
	}
}

func TestSamplesOfOneUplinkAreEventsOfTheirOwn(t *testing.T) {
	n, tx := newTestNormaliser(t), &memory{}
	events, _ := take(t, n, tx, Uplink{Payload: []byte{1, 2, 0x83}, Identity: "ns:1"})
	if len(events) != 4 {
		t.Fatalf("got %d events, want 3 observations and an alarm", len(events))
	}
	ids := map[string]bool{}
	for i, e := range events[:3] {
		ids[e.ID] = true
		want := received.Add(time.Duration(i-3) * time.Hour).Format(time.RFC3339)
		if e.Time != want || e.Data.Measurements["water_volume"].Value != float64(i+1) || e.Data.Clock != "device" {
			t.Errorf("sample %d: got %+v, want volume %d at %s", i, e, i+1, want)
		}
	}
	if len(ids) != 3 {
		t.Errorf("got %d ids, want 3", len(ids))
	}
}

func TestIDDependsOnTheIdentityAlone(t *testing.T) {
	n := newTestNormaliser(t)
	first, _ := take(t, n, &memory{}, Uplink{Payload: []byte{1}, Identity: "ns:1"})
	again, _ := take(t, n, &memory{}, Uplink{Payload: []byte{1}, Identity: "ns:1", Time: received.Add(-time.Second)})
	other, _ := take(t, n, &memory{}, Uplink{Payload: []byte{1}, Identity: "ns:2"})
	drawn, _ := take(t, n, &memory{}, Uplink{Payload: []byte{1}})
	drawnAgain, _ := take(t, n, &memory{}, Uplink{Payload: []byte{1}})
	if first[0].ID != again[0].ID || first[0].ID == other[0].ID || drawn[0].ID == drawnAgain[0].ID {
		t.Errorf("got ids %s %s %s %s %s", first[0].ID, again[0].ID, other[0].ID, drawn[0].ID, drawnAgain[0].ID)
	}
}

func TestWhatCannotGoOnIsQuarantinedWithItsBytesAndReason(t *testing.T) {
	n := newTestNormaliser(t)
	for _, c := range []struct {
		name, stage, reason string
		uplink              Uplink
	}{
		{"unreadable", "source", "bad JSON at 17", Uplink{Device: "d1", Raw: []byte("{"), Fault: errors.New("bad JSON at 17")}},
		{"unknown", "inventory", `no sensor with device "d2"`, Uplink{Device: "d2", Payload: []byte{1}, Raw: []byte("x")}},
		{"malformed", "decode", "malformed", Uplink{Device: "d1", Payload: []byte{}, Raw: []byte("y")}},
	} {
		tx := &memory{}
		if err := n.Prepare("radio", &c.uplink).Build(tx); err != nil {
			t.Fatal(err)
		}
		if len(tx.records) != 1 || tx.records[0].lane != buffer.Quarantine {
			t.Fatalf("%s: got %+v, want one record in quarantine", c.name, tx.records)
		}
		q, err := event.ParseQuarantined(tx.records[0].data)
		if err != nil || q.Stage != c.stage || !strings.Contains(q.Reason, c.reason) || string(q.Raw) != string(c.uplink.Raw) || q.Source != "radio" {
			t.Errorf("%s: got %+v, %v", c.name, q, err)
		}
	}
}

func TestFactsAreRememberedAndNotPublished(t *testing.T) {
	n, tx := newTestNormaliser(t), &memory{}
	events, _ := take(t, n, tx, Uplink{Facts: map[string]string{"joined": "2026-01-14T17:02:10Z"}})
	if len(events) != 0 || !strings.Contains(string(tx.state["sensor/M.1"]), "2026-01-14T17:02:10Z") {
		t.Errorf("got %d events and state %s", len(events), tx.state["sensor/M.1"])
	}
}

func TestStateThatCannotBeReadStartsAnew(t *testing.T) {
	n, tx := newTestNormaliser(t), &memory{state: map[string][]byte{"sensor/M.1": []byte("{")}}
	events, _ := take(t, n, tx, Uplink{Payload: []byte{0x81}})
	if len(events) != 2 || !strings.Contains(string(tx.state["sensor/M.1"]), "state_reset") {
		t.Errorf("got %d events and state %s, want the reading, its alarm and a note", len(events), tx.state["sensor/M.1"])
	}
}

func TestUplinkThatTheProgramStumblesOverIsQuarantined(t *testing.T) {
	n, tx := newTestNormaliser(t), &memory{}
	uplink := Uplink{Device: "d1", Received: received, Payload: []byte{0x81}, Raw: []byte("raw")}
	prepared := n.Prepare("radio", &uplink)
	prepared.samples = nil // an alarm without a sample, which no decoder makes
	prepared.uplink.Facts = map[string]string{"a": "b"}
	if err := prepared.Build(tx); err != nil {
		t.Fatal(err)
	}
	if len(tx.records) != 1 || tx.records[0].lane != buffer.Quarantine || len(tx.state) != 0 {
		t.Fatalf("got %d records and state %v, want one record in quarantine and no state", len(tx.records), tx.state)
	}
	if q, err := event.ParseQuarantined(tx.records[0].data); err != nil || q.Stage != "build" || string(q.Raw) != "raw" {
		t.Errorf("got %+v, %v", q, err)
	}
}

func TestExpiredNoticeNamesWhatWasGivenUp(t *testing.T) {
	n, tx := newTestNormaliser(t), &memory{}
	take(t, n, tx, Uplink{Payload: []byte{1}})
	take(t, n, tx, Uplink{Payload: []byte{2}})
	records := []buffer.Record{{Seq: 7, Data: tx.records[0].data}, {Seq: 9, Data: tx.records[1].data}}
	record, notice := onlyNotice(t, n.Expired(records, "max_size"))
	want := map[string]any{
		"code": "expired", "reason": "2 records were given up before they could be delivered (max_size)", "count": 2.0,
		"first": 7.0, "last": 9.0, "cause": "max_size", "services": []any{"water"}, "sensor_count": 1.0, "sensors": []any{"M.1"},
	}
	if diff := cmp.Diff(want, notice); diff != "" {
		t.Error(diff)
	}
	if record.Subject != "town.99001.gateway.notice.box" {
		t.Errorf("got subject %s", record.Subject)
	}
}

func BenchmarkPrepareAndBuild(b *testing.B) {
	n := newTestNormaliser(&testing.T{})
	tx := &memory{}
	b.ReportAllocs()
	for b.Loop() {
		tx.records = tx.records[:0]
		uplink := Uplink{Device: "d1", Received: received, Payload: []byte{1}, Identity: "ns:1"}
		if err := n.Prepare("radio", &uplink).Build(tx); err != nil {
			b.Fatal(err)
		}
	}
}

func TestUplinkWithoutARecordSaysWhyForTheLedger(t *testing.T) {
	n := newTestNormaliser(t)
	for _, c := range []struct {
		uplink Uplink
		want   string
	}{
		{Uplink{Discard: "retained"}, "retained"},
		{Uplink{Device: "d1"}, "empty"},
		{Uplink{Device: "d1", Facts: map[string]string{"joined": "2026-01-01T00:00:00Z"}}, "facts"},
	} {
		c.uplink.Received = received
		store := &memory{}
		if err := n.Prepare("radio", &c.uplink).Build(store); err != nil {
			t.Fatal(err)
		}
		if store.discarded != c.want || len(store.records) != 0 {
			t.Errorf("got %d records and reason %q, want none and %q", len(store.records), store.discarded, c.want)
		}
	}
}

func TestLostNoticeNamesWhatDamageHasCost(t *testing.T) {
	n := newTestNormaliser(t)
	lost := []buffer.Range{{Lane: buffer.Normal, First: 7, Last: 9, Records: 3}, {Lane: buffer.Urgent, First: 12, Last: 12, Records: 1}}
	_, notice := onlyNotice(t, n.Lost(lost, "damage"))
	want := map[string]any{
		"code": "lost", "reason": "4 records are lost: their place on the disk is damaged", "count": 4.0, "cause": "damage",
		"ranges": []any{
			map[string]any{"lane": "observations", "first": 7.0, "last": 9.0, "count": 3.0},
			map[string]any{"lane": "alarms and notices", "first": 12.0, "last": 12.0, "count": 1.0},
		},
	}
	if diff := cmp.Diff(want, notice); diff != "" {
		t.Error(diff)
	}
}

// onlyNotice unpacks the one notice that there should be.
func onlyNotice(t *testing.T, notices [][]byte) (event.Record, map[string]any) {
	t.Helper()
	if len(notices) != 1 {
		t.Fatalf("got %d notices, want 1", len(notices))
	}
	record, err := event.ParseRecord(notices[0])
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Data struct{ Notice map[string]any }
	}
	if err := json.Unmarshal(record.Body, &body); err != nil {
		t.Fatal(err)
	}
	return record, body.Data.Notice
}

// TestPayloadKeyReachesTheDecoder looks at what the decoder of a sensor with a key is given, and one without.
func TestPayloadKeyReachesTheDecoder(t *testing.T) {
	var seen decoders.Uplink
	model := &event.Model{Decode: func(u decoders.Uplink) (decoders.Output, error) {
		seen = u
		return decoders.Output{}, decoders.ErrMalformed
	}}
	payload := &PayloadKey{Key: [16]byte{1, 2, 3}, Meter: []byte{4, 5, 6, 7, 8, 9, 10, 11}}
	inventory := NewInventory([]Sensor{
		{Event: event.Sensor{ID: "a", Device: "a"}, Model: model, Payload: payload},
		{Event: event.Sensor{ID: "b", Device: "b"}, Model: model},
	})
	normaliser, err := NewNormaliser(NormaliserOptions{Gateway: "g", Inventory: inventory, EventKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	normaliser.Prepare("s", &Uplink{Device: "a", Payload: []byte{1}})
	if diff := cmp.Diff([][]byte{payload.Key[:], payload.Meter}, [][]byte{seen.Key, seen.Meter}); diff != "" {
		t.Errorf("with a key (-want +got):\n%s", diff)
	}
	normaliser.Prepare("s", &Uplink{Device: "b", Payload: []byte{1}})
	if seen.Key != nil || seen.Meter != nil {
		t.Errorf("without a key: got %d and %d bytes", len(seen.Key), len(seen.Meter))
	}
}
