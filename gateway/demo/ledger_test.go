package demo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// streamOf makes the events that a faultless gateway would publish for messages.
func streamOf(messages []Message) []*streamEvent {
	var events []*streamEvent
	add := func(m *Message) *streamEvent {
		e := &streamEvent{Subject: m.Sensor, subject: "town.99001.x.x." + m.Sensor, sequence: uint64(len(events) + 1)}
		e.ID = fmt.Sprintf("id-%d", e.sequence)
		e.messageID = e.ID
		events = append(events, e)
		return e
	}
	for i := range messages {
		m := &messages[i]
		if m.Expect.Quarantined {
			continue
		}
		for _, o := range m.Expect.Observations {
			measure(add(m), o)
		}
		for _, edge := range m.Expect.Alarms {
			e := add(m)
			e.Data.Alarm = &struct {
				Code   string
				Active bool
			}{edge.Code, edge.Active}
		}
	}
	return events
}

func measure(e *streamEvent, o Observation) {
	e.Time = o.Time.Truncate(time.Millisecond) // as events are written
	e.Data.Measurements = map[string]struct {
		Value any
		Unit  string
	}{}
	for name, value := range o.Values {
		m := e.Data.Measurements[name]
		m.Value = value
		if name == "lamp_on" {
			m.Value = value == 1
		}
		e.Data.Measurements[name] = m
	}
}

func judged(messages []Message, events []*streamEvent) (*ledger, *verdict) {
	l := newLedger()
	for i := range messages {
		l.addSent(messages[i])
	}
	for _, e := range events {
		l.addSeen(e)
	}
	return l, l.verdict()
}

func someMessages() []Message {
	town := testTown(11)
	return append(town.Batch(800), town.Stranger())
}

func TestFaultlessStreamIsAccepted(t *testing.T) {
	messages := someMessages()
	l, v := judged(messages, streamOf(messages))
	if err := v.err(); err != nil || l.outstanding() != 0 {
		t.Fatalf("%d outstanding, %v", l.outstanding(), err)
	}
	if v.messages != 801 || v.quarantined != 1 || v.observations < 2000 || v.alarms == 0 {
		t.Errorf("counted %+v", v.totals)
	}
}

func TestStreamMayRunAheadOfTheBrokersAcknowledgements(t *testing.T) {
	messages := someMessages()
	l := newLedger()
	for _, e := range streamOf(messages) {
		l.addSeen(e)
	}
	if l.verdict().err() == nil {
		t.Fatal("events that nobody sent yet are accepted")
	}
	for i := range messages {
		l.addSent(messages[i])
	}
	if err := l.verdict().err(); err != nil || l.outstanding() != 0 {
		t.Fatalf("%d outstanding, %v", l.outstanding(), err)
	}
}

func TestFaultyStreamIsRefused(t *testing.T) {
	alarm := func(events []*streamEvent) int {
		return slices.IndexFunc(events, func(e *streamEvent) bool { return e.Data.Alarm != nil })
	}
	volume := func(events []*streamEvent) int {
		return slices.IndexFunc(events, func(e *streamEvent) bool { return e.Data.Measurements["water_volume"].Value != nil })
	}
	remove := func(events []*streamEvent, i int) []*streamEvent { return slices.Delete(events, i, i+1) }
	again := func(events []*streamEvent, i int, id string) []*streamEvent {
		repeat := *events[i]
		repeat.sequence = uint64(len(events) + 1)
		if id != "" {
			repeat.ID, repeat.messageID = id, id
		}
		return append(events, &repeat)
	}
	for _, test := range []struct {
		name  string
		spoil func([]*streamEvent) []*streamEvent
		want  string
	}{
		{"observation missing", func(e []*streamEvent) []*streamEvent { return remove(e, volume(e)) }, "missing: 1\n"},
		{"alarm missing", func(e []*streamEvent) []*streamEvent { return remove(e, alarm(e)) }, "missing: 1\n"},
		{"first ten missing", func(e []*streamEvent) []*streamEvent { return e[10:] }, "missing: 10\n"},
		{"twice with one id", func(e []*streamEvent) []*streamEvent { return again(e, 5, "") }, "twice: 1\n"},
		{"twice with two ids", func(e []*streamEvent) []*streamEvent { return again(e, 5, "other") }, "nobody sent: 1\n"},
		{"alarm twice with two ids", func(e []*streamEvent) []*streamEvent { return again(e, alarm(e), "other") }, "nobody sent: 1\n"},
		{"wrong value", func(e []*streamEvent) []*streamEvent {
			m := e[volume(e)].Data.Measurements["water_volume"]
			m.Value = m.Value.(float64) + 1
			e[volume(e)].Data.Measurements["water_volume"] = m
			return e
		}, "wrong: 1\n"},
		{"no value", func(e []*streamEvent) []*streamEvent {
			clear(e[volume(e)].Data.Measurements)
			return e
		}, "wrong: 1\n"},
		{"wrong time", func(e []*streamEvent) []*streamEvent {
			i := volume(e)
			e[i].Time = e[i].Time.Add(-time.Hour * 1000)
			return e
		}, "missing: 1\n"},
		{"wrong sensor", func(e []*streamEvent) []*streamEvent { e[7].Subject = "EP-9999"; return e }, "nobody sent: 1\n"},
		{"message id not the event's", func(e []*streamEvent) []*streamEvent { e[7].messageID = ""; return e }, "nobody sent: 1\n"},
		{"not an event", func(e []*streamEvent) []*streamEvent { return append(e, &streamEvent{sequence: 99999}) }, "nobody sent: 1\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			messages := someMessages()
			_, v := judged(messages, test.spoil(streamOf(messages)))
			err := v.err()
			if !errors.Is(err, errVerdict) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestLedgerForgetsWhatAgrees(t *testing.T) {
	messages := someMessages()
	l, _ := judged(messages, streamOf(messages))
	for sensor, a := range l.accounts {
		if len(a.sent)+len(a.seen) > 0 {
			t.Errorf("%s: still holds %v and %v", sensor, a.sent, a.seen)
		}
	}
	var ids recentIDs
	ids.places = map[string]uint64{}
	for i := range uint64(maxIDs + 1000) {
		ids.add(fmt.Sprint(i), i)
	}
	if len(ids.places) != maxIDs {
		t.Errorf("%d ids remembered, want %d", len(ids.places), maxIDs)
	}
}
