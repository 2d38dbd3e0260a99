package demo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// verdict is what the comparison of town and stream came to.
type verdict struct {
	totals
	missing faults // sent, not on the stream
	twice   faults // on the stream more than once
	wrong   faults // on the stream with other values than sent
	foreign faults // on the stream, and nobody sent it
}

// errVerdict says that the stream is not what the town sent.
var errVerdict = errors.New("the stream is not what the town sent")

// verdict closes the ledger: all of the town's messages are acknowledged, and all of the stream is read.
func (l *ledger) verdict() *verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &verdict{totals: l.totals, twice: l.twice, foreign: l.foreign}
	v.twice.named, v.foreign.named = slices.Clone(l.twice.named), slices.Clone(l.foreign.named)
	for _, sensor := range slices.Sorted(maps.Keys(l.accounts)) {
		v.close(sensor, l.accounts[sensor])
	}
	return v
}

func (v *verdict) close(sensor string, a *account) {
	for _, at := range slices.Sorted(maps.Keys(a.sent)) {
		sent, seen := a.sent[at], a.seen[at]
		for i := range sent {
			if i < len(seen) {
				v.wrong.add("%s at %s: sent %s, the stream has %s", sensor, clock(at), sent[i], seen[i])
			} else {
				v.missing.add("%s at %s: %s", sensor, clock(at), sent[i])
			}
		}
	}
	for _, sent := range a.loose {
		v.missing.add("%s at about %s: %s", sensor, clock(sent.from), sent.values)
	}
	for _, at := range slices.Sorted(maps.Keys(a.seen)) {
		for _, seen := range a.seen[at][min(len(a.sent[at]), len(a.seen[at])):] {
			v.foreign.add("%s at %s: %s", sensor, clock(at), seen)
		}
	}
	for edge, balance := range a.alarms {
		for range balance {
			v.missing.add("%s: alarm %s", sensor, edge)
		}
		for range -balance {
			v.foreign.add("%s: alarm %s", sensor, edge)
		}
	}
}

// err is nil when the stream is what the town sent; else it names the first faults of each sort.
func (v *verdict) err() error {
	var b strings.Builder
	for _, sort := range []struct {
		name   string
		faults faults
	}{{"missing", v.missing}, {"twice", v.twice}, {"wrong", v.wrong}, {"nobody sent", v.foreign}} {
		if sort.faults.count == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n  %s: %d", sort.name, sort.faults.count)
		for _, fault := range sort.faults.named {
			b.WriteString("\n    " + fault)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return fmt.Errorf("%w%s", errVerdict, b.String())
}

func (v *verdict) String() string {
	return fmt.Sprintf("%s messages became %s observations and %s alarms, each of them on the stream exactly once, values as sent",
		thousands(v.messages), thousands(v.observations), thousands(v.alarms))
}

// thousands prints a number with spaces between groups of three digits.
func thousands[T int | uint64](number T) string {
	digits := fmt.Sprint(number)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

func (v values) String() string {
	if len(v) == 0 {
		return "no measurement"
	}
	parts := make([]string, 0, len(v))
	for _, name := range slices.Sorted(maps.Keys(v)) {
		parts = append(parts, fmt.Sprintf("%s %v", name, v[name]))
	}
	return strings.Join(parts, ", ")
}

func (e Edge) String() string {
	if e.Active {
		return e.Code + " raised"
	}
	return e.Code + " cleared"
}
