package demo

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// ledger holds what the town sent against what stands on the stream. It may be used from several goroutines.
type ledger struct {
	mu       sync.Mutex // guards all below
	accounts map[string]*account
	ids      recentIDs
	open     int // observations and alarms sent and not seen
	totals   totals
	twice    faults
	foreign  faults
}

// totals count what the ledger was told of.
type totals struct {
	messages     int // sent
	observations int // expected
	alarms       int // expected
	quarantined  int // expected
}

// account is the part of one sensor: what one side has and the other not.
type account struct {
	sent   map[int64][]values // by time in milliseconds
	seen   map[int64][]values
	loose  []loose      // sent, at a time that is not known exactly
	alarms map[Edge]int // sent less seen
}

// loose is what was sent between two times, in milliseconds.
type loose struct {
	from, until int64
	values      values
}

type values map[string]float64

// faults are the first few of many, for people.
type faults struct {
	count int
	named []string
}

const maxNamedFaults = 5

func (f *faults) add(format string, args ...any) {
	f.count++
	if len(f.named) < maxNamedFaults {
		f.named = append(f.named, fmt.Sprintf(format, args...))
	}
}

func newLedger() *ledger {
	return &ledger{accounts: map[string]*account{}, ids: recentIDs{places: map[string]uint64{}}}
}

func (l *ledger) accountLocked(sensor string) *account {
	a, ok := l.accounts[sensor]
	if !ok {
		a = &account{sent: map[int64][]values{}, seen: map[int64][]values{}, alarms: map[Edge]int{}}
		l.accounts[sensor] = a
	}
	return a
}

// addSent enters a message that the broker has acknowledged.
func (l *ledger) addSent(m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.messages++
	if m.Expect.Quarantined {
		l.totals.quarantined++
		return
	}
	a := l.accountLocked(m.Sensor)
	for _, o := range m.Expect.Observations {
		l.totals.observations++
		if o.Time.IsZero() {
			l.addLooseLocked(a, loose{m.Expect.From.UnixMilli(), m.Expect.Until.UnixMilli(), o.Values})
			continue
		}
		at := o.Time.UnixMilli()
		if !take(a.seen, at, func(seen values) bool { return agree(o.Values, seen) }) {
			a.sent[at] = append(a.sent[at], o.Values)
			l.open++
		}
	}
	for _, edge := range m.Expect.Alarms {
		l.totals.alarms++
		a.alarms[edge]++
		if a.alarms[edge] > 0 {
			l.open++
		}
	}
}

func (l *ledger) addLooseLocked(a *account, sent loose) {
	for _, at := range slices.Sorted(maps.Keys(a.seen)) {
		if at >= sent.from && at <= sent.until && take(a.seen, at, func(seen values) bool { return agree(sent.values, seen) }) {
			return
		}
	}
	a.loose = append(a.loose, sent)
	l.open++
}

// takeLoose removes the oldest of what was sent at about a time that fits.
func (a *account) takeLoose(at int64, seen values) bool {
	i := slices.IndexFunc(a.loose, func(sent loose) bool {
		return at >= sent.from && at <= sent.until && agree(sent.values, seen)
	})
	if i < 0 {
		return false
	}
	a.loose = slices.Delete(a.loose, i, i+1)
	return true
}

// addSeen enters an event of the stream, in the order of the stream.
func (l *ledger) addSeen(e *streamEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.ID != e.messageID {
		l.foreign.add("%s: event %s carries message id %q", e.subject, e.ID, e.messageID)
	}
	if first, again := l.ids.add(e.ID, e.sequence); again {
		l.twice.add("%s: event %s is on the stream as %d and as %d", e.subject, e.ID, first, e.sequence)
		return
	}
	switch {
	case e.Data.Notice != nil: // the gateway's own
	case e.Data.Alarm != nil:
		a, edge := l.accountLocked(e.Subject), Edge{e.Data.Alarm.Code, e.Data.Alarm.Active}
		if a.alarms[edge] > 0 {
			l.open--
		}
		a.alarms[edge]--
	default:
		a, at, seen := l.accountLocked(e.Subject), e.Time.UnixMilli(), e.values()
		if take(a.sent, at, func(sent values) bool { return agree(sent, seen) }) || a.takeLoose(at, seen) {
			l.open--
		} else {
			a.seen[at] = append(a.seen[at], seen)
		}
	}
}

// recentIDs remembers where the newest events stand on the stream. A repeat of an older one is still found, as an event
// that nobody sent.
type recentIDs struct {
	places map[string]uint64
	order  []string
	next   int
}

const maxIDs = 1 << 18

// add remembers an id, or returns its first place when it is known already.
func (r *recentIDs) add(id string, sequence uint64) (first uint64, again bool) {
	if first, again = r.places[id]; again {
		return first, true
	}
	r.places[id] = sequence
	if len(r.order) < maxIDs {
		r.order = append(r.order, id)
		return 0, false
	}
	delete(r.places, r.order[r.next])
	r.order[r.next] = id
	r.next = (r.next + 1) % maxIDs
	return 0, false
}

// outstanding is how many observations and alarms were sent and are not on the stream yet.
func (l *ledger) outstanding() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// messages is how many messages were sent.
func (l *ledger) messages() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(l.totals.messages)
}

// take removes the first of the values at a time that fits.
func take(side map[int64][]values, at int64, fits func(values) bool) bool {
	i := slices.IndexFunc(side[at], fits)
	if i < 0 {
		return false
	}
	if rest := slices.Delete(side[at], i, i+1); len(rest) > 0 {
		side[at] = rest
	} else {
		delete(side, at)
	}
	return true
}

// agree says whether everything that was sent was seen; what was sent without values must be seen without.
func agree(sent, seen values) bool {
	if len(sent) == 0 {
		return len(seen) == 0
	}
	for name, want := range sent {
		got, ok := seen[name]
		if !ok || math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) {
			return false
		}
	}
	return true
}

func clock(at int64) string { return time.UnixMilli(at).UTC().Format("15:04:05.000") }
