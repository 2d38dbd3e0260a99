package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"belfry/gateway/event"
)

// expected is what must be on the stream: everything that the broker acknowledged to the sender.
type expected struct {
	sent   [][]time.Time // by sensor
	spoilt int
}

func (s *sender) expected() expected { return expected{s.sent, s.spoilt} }

func (e expected) messages() (n int) {
	for _, sent := range e.sent {
		n += len(sent)
	}
	return n
}

// alarmsOf returns the numbers of the messages of a sensor that raise or clear its alarm.
func (e expected) alarmsOf(sensor int) (numbers []int) {
	active := false
	for n := 1; n <= len(e.sent[sensor]); n++ {
		if leaks(sensor, n) != active {
			active = !active
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// judge holds what was read from the stream against what was sent. where says in findings what it is about.
func (e expected) judge(all []streamed, where string) (r result) {
	seen := make([]sighted, len(e.sent))
	e.judgeIdentities(&r, all, where)
	for i := range all {
		m := &all[i]
		switch {
		case m.kind == event.TypeNotice && m.notice == "started":
		case m.kind == event.TypeObservation && m.sensor >= 0 && m.sensor < len(e.sent):
			e.judgeObservation(&r, m, &seen[m.sensor], where)
		case m.kind == event.TypeAlarm && m.sensor >= 0 && m.sensor < len(e.sent):
			e.judgeAlarm(&r, m, &seen[m.sensor], where)
		default:
			r.find(&r.unexplained, "%s: message %d of the stream, %s %s on %s, is nothing that was sent", where, m.at, m.kind, m.notice, m.subject)
		}
	}
	for sensor := range e.sent {
		name := fmt.Sprintf("%s: "+sensorID, where, sensor)
		if sensorKind(sensor) == equal {
			judgeNumber(&r, name, seen[sensor].observations, len(e.sent[sensor]))
			continue
		}
		judgeOrder(&r, name, seen[sensor].observations, numbersUpTo(len(e.sent[sensor])))
		judgeOrder(&r, name+", alarms", seen[sensor].alarms, e.alarmsOf(sensor))
	}
	return r
}

// sighted are the numbers of a sensor's messages, in the order of the stream.
type sighted struct{ observations, alarms []int }

// judgeIdentities looks for two messages under one identity. Records are numbered once, whatever is in them.
func (e expected) judgeIdentities(r *result, all []streamed, where string) {
	ids, records := map[string]int{}, map[string]int{}
	for i := range all {
		m := &all[i]
		if first, ok := ids[m.id]; ok && all[first].number == m.number && all[first].kind == m.kind {
			continue // counted as twice by its number
		} else if ok {
			r.find(&r.unexplained, "%s: messages %d and %d of the stream have the id %s", where, all[first].at, m.at, m.id)
		}
		ids[m.id] = i
		if first, ok := records[m.record]; ok {
			r.find(&r.unexplained, "%s: messages %d and %d of the stream are both record %s", where, all[first].at, m.at, m.record)
		}
		records[m.record] = i
	}
}

func (e expected) judgeObservation(r *result, m *streamed, seen *sighted, where string) {
	seen.observations = append(seen.observations, m.number)
	wrong := m.check != checkOf(m.sensor, m.number) || m.subject != observations(m.sensor)
	if sensorKind(m.sensor) != equal && m.number >= 1 && m.number <= len(e.sent[m.sensor]) {
		wrong = wrong || !m.time.Equal(e.sent[m.sensor][m.number-1])
	}
	if wrong {
		r.find(&r.unexplained, "%s: message %d of the stream, on %s: number %d, check %d, time %s are not what was sent",
			where, m.at, m.subject, m.number, m.check, m.time.Format(stamp))
	}
}

func (e expected) judgeAlarm(r *result, m *streamed, seen *sighted, where string) {
	at, found := slices.BinarySearchFunc(e.sent[m.sensor], m.time, time.Time.Compare)
	if number := at + 1; found && leaks(m.sensor, number) == m.alarm {
		seen.alarms = append(seen.alarms, number)
		return
	}
	r.find(&r.unexplained, "%s: message %d of the stream, an alarm on %s at %s, is not what was sent", where, m.at, m.subject, m.time.Format(stamp))
}

func judgeNumber(r *result, name string, got []int, want int) {
	if missing := want - len(got); missing > 0 {
		r.findMany(&r.lost, missing, "%s: %d of %d equal messages are lost", name, missing, want)
	} else if missing < 0 {
		r.findMany(&r.twice, -missing, "%s: %d equal messages more than the %d that were sent", name, -missing, want)
	}
}

// judgeOrder compares numbers with those that must be there, each once, in ascending order.
func judgeOrder(r *result, name string, got, want []int) {
	count := make(map[int]int, len(got))
	var twice, reordered, strange []int
	highest := 0
	for _, n := range got {
		count[n]++
		switch _, known := slices.BinarySearch(want, n); {
		case !known:
			strange = append(strange, n)
		case count[n] > 1:
			twice = append(twice, n)
		case n < highest:
			reordered = append(reordered, n)
		}
		highest = max(highest, n)
	}
	var lost []int
	for _, n := range want {
		if count[n] == 0 {
			lost = append(lost, n)
		}
	}
	for _, found := range []struct {
		counter *int
		numbers []int
		what    string
	}{{&r.lost, lost, "lost"}, {&r.twice, twice, "twice"}, {&r.reordered, reordered, "out of order"}, {&r.unexplained, strange, "never sent"}} {
		if len(found.numbers) > 0 {
			r.findMany(found.counter, len(found.numbers), "%s: %s: %s (of %d)", name, found.what, some(found.numbers), len(want))
		}
	}
}

func numbersUpTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i + 1
	}
	return numbers
}

// some writes the first few numbers.
func some(numbers []int) string {
	const most = 8
	var b strings.Builder
	for i, n := range numbers {
		if i == most {
			fmt.Fprintf(&b, " ... %d in all", len(numbers))
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}
