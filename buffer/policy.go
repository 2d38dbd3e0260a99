package buffer

import "time"

const (
	// quiet is how long a burst must have paused to count as over.
	quiet = time.Millisecond
	// refill is how soon after an acknowledgement a source that was waiting for it sends again.
	refill = 5 * time.Millisecond
	// pace is how many tenths of the delay lie between two commits of groups that trickle in. A commit writes some 40 KB
	// however few groups are in it: at 20 a second this is the difference between 14 and 8 GB a day.
	pace = 24
	// burst is how many queued groups are worth a commit once the burst is over.
	burst = 16
)

// policy decides when the queued groups are committed. It only counts and compares times that it is given.
//
// Few sources send without limit: most allow a number of messages in flight and then wait for us. Waiting for more is
// then lost time. That is recognised by what follows an acknowledgement: if about as many groups come at once as were
// acknowledged, the window was full, and the next commit is due when as many are queued again.
type policy struct {
	delay time.Duration // how long the first group may wait, unless there was a commit shortly before

	last     time.Time // when the last commit was done
	oldest   time.Time // when the first queued group came
	newest   time.Time // when the last queued group came
	acked    int       // groups acknowledged by the last commit
	refilled int       // groups that came since
	until    time.Time // when they stop to count; zero while the acknowledgements are still being given
	window   int       // what the sources allow in flight, 0 when that is not what limits them
}

// arrive notes that n groups were queued.
func (p *policy) arrive(now time.Time, n, queued int) {
	if queued == n {
		p.oldest = now
	}
	p.newest = now
	if p.acked == 0 || !p.until.IsZero() && now.After(p.until) {
		return
	}
	p.refilled += n
	if p.refilled >= (p.acked+1)/2 {
		p.window = p.acked
	}
}

// acknowledge notes that n groups are about to be acknowledged.
func (p *policy) acknowledge(n int) {
	p.acked, p.refilled, p.until, p.window = n, 0, time.Time{}, 0
}

// acknowledged notes that this is done, and when the oldest group that is still queued came.
func (p *policy) acknowledged(now time.Time) {
	p.last, p.until = now, now.Add(refill)
}

// due returns when the queued groups are to be committed if nothing else comes.
func (p *policy) due(queued int) time.Time {
	latest := p.oldest.Add(p.delay)
	switch {
	case queued >= maxBatchRecords, p.window > 0 && queued >= p.window:
		return p.oldest
	case p.window > 0, queued >= burst:
		return earlier(latest, p.newest.Add(quiet))
	default:
		return later(latest, p.last.Add(p.delay*pace/10))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
