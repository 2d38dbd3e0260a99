package forward

import (
	"testing"
	"time"
)

// pretendLine carries what a limit lets through at a rate, with a delay both ways together.
type pretendLine struct {
	limit  limit
	now    time.Time
	free   time.Time // when the line has sent all that was given to it
	rate   float64   // bytes a second
	delay  time.Duration
	flying []pretendFlight
	done   int
	worst  time.Duration
}

type pretendFlight struct {
	sending
	delivered time.Time
}

// run sends as much as the limit allows for a time, and returns the bytes delivered and the longest delay.
func (l *pretendLine) run(d time.Duration, size int) (int, time.Duration) {
	l.done, l.worst = 0, 0
	for end := l.now.Add(d); l.now.Before(end); {
		for l.limit.room() {
			if l.free.Before(l.now) {
				l.free = l.now
			}
			l.free = l.free.Add(time.Duration(float64(size) / l.rate * float64(time.Second)))
			l.flying = append(l.flying, pretendFlight{l.limit.sent(size, l.now), l.free.Add(l.delay)})
		}
		first := l.flying[0]
		l.flying = l.flying[1:]
		l.now = first.delivered
		l.worst = max(l.worst, l.now.Sub(first.at))
		l.limit.gone(first.sending)
		l.limit.answered(first.sending, l.now)
		l.done += first.size
	}
	return l.done, l.worst
}

func newLine(rate float64, delay time.Duration) *pretendLine {
	return &pretendLine{limit: newLimit(), now: time.Unix(1e9, 0), rate: rate, delay: delay}
}

func TestQueueStaysShortAndTheLineBusy(t *testing.T) {
	tests := []struct {
		name  string
		rate  float64
		delay time.Duration
	}{
		{"64 kbit/s and 2 s there and back", 8e3, 2 * time.Second},
		{"64 kbit/s", 8e3, 40 * time.Millisecond},
		{"2 Mbit/s by satellite", 250e3, 600 * time.Millisecond},
		{"100 Mbit/s", 12.5e6, 20 * time.Millisecond},
		{"this machine", 100e6, 200 * time.Microsecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLine(test.rate, test.delay)
			_, worst := l.run(10*time.Second, 1000)
			if worst > test.delay+2500*time.Millisecond {
				t.Errorf("at first a message took %s", worst)
			}
			l.run(40*time.Second, 1000) // until the limit has found its size, on the slowest of them
			done, worst := l.run(2*time.Minute, 1000)
			if worst > test.delay+2*time.Second {
				t.Errorf("a message took %s", worst)
			}
			if want := 0.85 * 120 * min(test.rate, float64(maxInFlightBytes)/test.delay.Seconds()); float64(done) < want {
				t.Errorf("%d bytes in 2 minutes, the line takes %.0f", done, 120*test.rate)
			}
		})
	}
}

func TestLineThatBecomesThinIsNoticed(t *testing.T) {
	l := newLine(1e6, 50*time.Millisecond)
	l.run(10*time.Second, 1000)
	l.rate = 8e3
	l.run(4*time.Minute, 1000) // what was in flight by then must go through
	if _, worst := l.run(time.Minute, 1000); worst > 2500*time.Millisecond {
		t.Errorf("a message took %s", worst)
	}
	l.rate = 1e6
	l.run(20*time.Second, 1000)
	if done, _ := l.run(10*time.Second, 1000); done < 7e6 {
		t.Errorf("%d bytes in 10 s after the line became fast again, it takes 10,000,000", done)
	}
}

func TestOneMessageMayAlwaysGo(t *testing.T) {
	l := newLimit()
	if !l.room() {
		t.Fatal("no room for the first")
	}
	now := time.Unix(1e9, 0)
	large := l.sent(maxInFlightBytes*2, now)
	if l.room() {
		t.Error("room beside a message that is larger than the limit")
	}
	l.gone(large)
	for range 100 {
		small := l.sent(100, now)
		l.gone(small)
		l.missed(small)
	}
	if !l.room() || l.bytes < leastLimit {
		t.Errorf("limit %d after many timeouts", l.bytes)
	}
}

func TestRateIsKeptAndNothingIsSavedUp(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newRate(10_000, now)
	now = now.Add(time.Hour) // idle
	sent := 0
	for end := now.Add(10 * time.Second); now.Before(end); now = now.Add(time.Millisecond) {
		for r.allows(now) {
			r.take(700)
			sent += 700
		}
		r.hold(now)
		if next := r.next(); !next.After(now) || next.After(now.Add(time.Second)) {
			t.Fatalf("at %s the rate allows the next at %s", now, next)
		}
	}
	if sent < 98_000 || sent > 104_000 {
		t.Errorf("sent %d bytes in 10 s, want about 100,000", sent)
	}
	if r.waited < 9*time.Second {
		t.Errorf("waited %s of 10 s", r.waited)
	}
}
