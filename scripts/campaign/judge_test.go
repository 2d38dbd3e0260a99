package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"belfry/gateway/event"
)

// arrived is the stream as it must be after each of so many sensors sent so many messages.
func arrived(sensors, messages int) (want expected, all []streamed) {
	start := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for sensor := range sensors {
		var sent []time.Time
		active := false
		for n := 1; n <= messages; n++ {
			at := start.Add(time.Duration(n) * time.Second)
			sent = append(sent, at)
			number := n
			if sensorKind(sensor) == equal {
				number = 1
			}
			m := streamed{kind: event.TypeObservation, subject: observations(sensor), sensor: sensor, number: number, check: checkOf(sensor, number), time: at}
			all = append(all, m)
			if leaks(sensor, n) != active {
				active = !active
				all = append(all, streamed{kind: event.TypeAlarm, sensor: sensor, alarm: active, time: at})
			}
		}
		want.sent = append(want.sent, sent)
	}
	for i := range all {
		name := strconv.Itoa(i)
		all[i].at, all[i].id, all[i].record = uint64(i+1), name, name
	}
	return want, all
}

func TestWhatIsWrongOnTheStreamIsFound(t *testing.T) {
	const sensors, messages = 5, 30 // all kinds of sensors, alarms raised and cleared
	find := func(all []streamed, fits func(m streamed) bool) int {
		for i := range all {
			if fits(all[i]) {
				return i
			}
		}
		t.Fatal("no such message")
		return -1
	}
	of := func(sensor int, kind string) func(streamed) bool {
		return func(m streamed) bool { return m.sensor == sensor && m.kind == kind }
	}
	without := func(all []streamed, i int) []streamed {
		return append(append([]streamed(nil), all[:i]...), all[i+1:]...)
	}
	again := func(all []streamed, i int, id string) []streamed {
		m := all[i]
		m.id, m.record = id, id
		return append(all, m)
	}
	tests := []struct {
		name   string
		change func(all []streamed) []streamed
		want   result
	}{
		{"nothing is wrong", func(all []streamed) []streamed { return all }, result{}},
		{"a message is missing", func(all []streamed) []streamed { return without(all, find(all, of(1, event.TypeObservation))) }, result{lost: 1}},
		{"the last message is missing", func(all []streamed) []streamed {
			return without(all, find(all, func(m streamed) bool { return m.sensor == 0 && m.number == messages }))
		}, result{lost: 1}},
		{"an equal message is missing", func(all []streamed) []streamed { return without(all, find(all, of(4, event.TypeObservation))) }, result{lost: 1}},
		{"an alarm is missing", func(all []streamed) []streamed { return without(all, find(all, of(1, event.TypeAlarm))) }, result{lost: 1}},
		{"a message is there again under another id", func(all []streamed) []streamed {
			return again(all, find(all, func(m streamed) bool { return m.sensor == 0 && m.number == messages }), "other")
		}, result{twice: 1}},
		{"an equal message is there again", func(all []streamed) []streamed { return again(all, find(all, of(4, event.TypeObservation)), "other") }, result{twice: 1}},
		{"an alarm is there again", func(all []streamed) []streamed {
			last := -1
			for i := range all {
				if all[i].sensor == 1 && all[i].kind == event.TypeAlarm {
					last = i
				}
			}
			return again(all, last, "other")
		}, result{twice: 1}},
		{"two messages changed places", func(all []streamed) []streamed {
			i := find(all, of(0, event.TypeObservation))
			all[i], all[i+1] = all[i+1], all[i]
			return all
		}, result{reordered: 1}},
		{"a value is another", func(all []streamed) []streamed {
			all[find(all, of(2, event.TypeObservation))].check++
			return all
		}, result{unexplained: 1}},
		{"two messages have one id", func(all []streamed) []streamed { all[1].id = all[0].id; return all }, result{unexplained: 1}},
		{"two messages are one record", func(all []streamed) []streamed { all[1].record = all[0].record; return all }, result{unexplained: 1}},
		{"a sensor is not of this town", func(all []streamed) []streamed {
			return append(all, streamed{kind: event.TypeObservation, sensor: sensors, id: "x", record: "x"})
		}, result{unexplained: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want, all := arrived(sensors, messages)
			got := want.judge(test.change(all), "test")
			t.Log(got.String())
			if got.lost != test.want.lost || got.twice != test.want.twice || got.reordered != test.want.reordered || got.unexplained != test.want.unexplained {
				t.Errorf("got %s, want %s", got.String(), test.want.String())
			}
		})
	}
}

func TestEveryMutantAppliesToTheSource(t *testing.T) {
	source := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(source, "go.mod")); err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if _, err := m.overlay(source, t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}
