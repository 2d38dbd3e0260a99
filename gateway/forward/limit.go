package forward

import (
	"time"

	"github.com/nats-io/nats.go"
)

// limit bounds the bytes in flight by the delay that they cause, so that on a thin uplink an alarm does not wait behind
// everything that could be sent, and acknowledgements come in time. What takes longer than the least that it took
// lately has waited in a queue: the server's, the line's or the kernel's. A queue of about a second keeps each of them
// busy.
type limit struct {
	bytes   int  // may be in flight
	flying  int  // are
	full    bool // something had to wait for room: the limit is what holds us up
	eager   bool // no queue was seen yet: double each round trip
	probing bool // let the queue run empty once, to see the least delay again

	least  [2]time.Duration // seen in this span and the one before, 0 for none
	since  time.Time        // begin of this span
	probed time.Time        // when the last probe began
	queued time.Duration    // of the newest answer
}

const (
	firstLimit       = 8 << 10
	leastLimit       = 4 << 10
	maxInFlightBytes = 4 << 20
	noQueue          = 200 * time.Millisecond
	shortQueue       = 750 * time.Millisecond
	longQueue        = 1500 * time.Millisecond
	leastSpan        = time.Minute
	askSize          = 512 // of a question, roughly
)

func newLimit() limit { return limit{bytes: firstLimit, eager: true} }

// room says whether one more may go out. One always may, whatever its size.
func (l *limit) room() bool {
	if l.flying == 0 {
		return true
	}
	if l.probing {
		return false
	}
	l.full = l.full || l.flying >= l.bytes
	return l.flying < l.bytes
}

// sent takes note of something that goes out.
func (l *limit) sent(size int, now time.Time) sending {
	l.flying += size
	return sending{size: size, at: now, behind: l.flying}
}

// sending is something that went out.
type sending struct {
	size   int // on the line
	at     time.Time
	behind int // bytes in flight then, its own too
}

// gone says that something is not under way any more, answered or not.
func (l *limit) gone(s sending) { l.flying -= s.size }

// answered learns from the answer to something that was sent.
func (l *limit) answered(s sending, now time.Time) {
	delay := max(now.Sub(s.at), 1)
	l.measure(delay, now)
	if l.probing {
		if s.at.After(l.probed) { // alone on an empty line
			l.probing, l.least = false, [2]time.Duration{delay, 0}
			l.bytes, l.eager = min(l.bytes, firstLimit), true // all at once would be a queue by itself
		}
		return
	}
	l.queued = delay - l.smallest()
	switch {
	case l.queued > longQueue:
		// What was in flight then took so long; this much would have taken as long as it should.
		l.shrink(int(float64(s.behind) * float64(l.smallest()+shortQueue) / float64(delay)))
	case !l.full || l.queued > shortQueue:
	case l.eager && l.queued < noQueue:
		l.bytes += s.size
	default:
		l.eager = false
		l.bytes += s.size / 8
	}
	l.bytes = min(l.bytes, maxInFlightBytes)
	if l.flying < l.bytes/2 {
		l.full = false
	}
}

// missed says that an answer did not come in time.
func (l *limit) missed(s sending) { l.shrink(s.behind / 2) }

func (l *limit) shrink(to int) {
	l.bytes = max(min(l.bytes, to), leastLimit)
	l.eager = false
}

// measure keeps the least delay of the last one or two spans. A queue that stands for so long would pass for the way
// itself; therefore it is emptied once a span.
func (l *limit) measure(delay time.Duration, now time.Time) {
	if now.Sub(l.since) >= leastSpan {
		if now.Sub(l.since) >= 2*leastSpan {
			l.least[0] = 0
		}
		l.least[1], l.least[0], l.since = l.least[0], 0, now
		if l.queued > noQueue && !l.probing {
			l.probing, l.probed = true, now
		}
	}
	if l.least[0] == 0 || delay < l.least[0] {
		l.least[0] = delay
	}
}

func (l *limit) smallest() time.Duration {
	if l.least[1] > 0 && l.least[1] < l.least[0] {
		return l.least[1]
	}
	return l.least[0]
}

// wireSize is what a message takes on the line, with its headers and the command around it.
func wireSize(msg *nats.Msg) int {
	const (
		command = len("HPUB    1234 12345\r\n\r\n") + 40 // with the subject of the acknowledgement
		version = len("NATS/1.0\r\n\r\n")
	)
	size := command + version + len(msg.Subject) + len(msg.Data)
	for key, values := range msg.Header {
		for _, value := range values {
			size += len(key) + len(value) + len(": \r\n")
		}
	}
	return size
}
