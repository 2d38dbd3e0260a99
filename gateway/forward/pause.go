package forward

import (
	"math/rand/v2"
	"time"
)

const (
	firstPause = 250 * time.Millisecond
	maxPause   = 15 * time.Second
)

type cause uint8

const (
	byPublish cause = iota // only an acknowledgement ends it
	byAsk                  // an answer ends it too
)

// pause keeps everything back while the stream takes nothing, and then lets one thing through at a time to see.
type pause struct {
	err   error  // nil: no pause
	kind  string // of err: the first of a kind speaks for all of them
	cause cause
	wait  time.Duration
	until time.Time
}

// begin starts a pause, or a longer one when the probe at the end of the last failed.
func (p *pause) begin(now time.Time, kind string, err error, cause cause) {
	if p.err != nil && now.Before(p.until) {
		return // the rest of what was in flight
	}
	p.wait = min(max(2*p.wait, firstPause), maxPause)
	p.until = now.Add(jitter(p.wait))
	if p.err == nil || p.kind != kind {
		p.err, p.kind = err, kind
	}
	p.cause = cause
}

func (p *pause) end() { *p = pause{} }

// answered ends a pause that began because the stream did not answer questions.
func (p *pause) answered() {
	if p.cause == byAsk {
		p.end()
	}
}

// allows says whether one more may be under way beside the given number.
func (p *pause) allows(now time.Time, underWay int) bool {
	return p.err == nil || !now.Before(p.until) && underWay == 0
}

// jitter takes up to a quarter off, so that many gateways do not come back in the same moment.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}
