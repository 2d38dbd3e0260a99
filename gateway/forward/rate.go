package forward

import "time"

// rate holds observations to a number of bytes a second. Alarms pass it by.
type rate struct {
	perSecond float64 // 0 for no limit
	credit    float64 // bytes that may go out now; negative after one that was larger
	at        time.Time
	waits     time.Time // since when something waits for nothing but this, zero when nothing does
	waited    time.Duration
}

// burst is how much time's worth of credit is saved up while nothing is sent.
const burst = 250 * time.Millisecond

func newRate(perSecond int64, now time.Time) rate {
	return rate{perSecond: float64(perSecond), at: now}
}

func (r *rate) allows(now time.Time) bool {
	if r.perSecond == 0 {
		return true
	}
	if passed := now.Sub(r.at); passed > 0 {
		r.credit = min(r.credit+r.perSecond*passed.Seconds(), max(1, r.perSecond*burst.Seconds()))
		r.at = now
	}
	if !r.waits.IsZero() {
		r.waited += now.Sub(r.waits)
		r.waits = time.Time{}
	}
	return r.credit > 0
}

// hold notes that something waits because of the rate.
func (r *rate) hold(now time.Time) { r.waits = now }

func (r *rate) take(size int) {
	if r.perSecond > 0 {
		r.credit -= float64(size)
	}
}

// next says when the rate allows something again, zero when nothing waits for it.
func (r *rate) next() time.Time {
	if r.waits.IsZero() {
		return time.Time{}
	}
	return r.at.Add(time.Duration((1-r.credit)/r.perSecond*float64(time.Second)) + time.Millisecond)
}
