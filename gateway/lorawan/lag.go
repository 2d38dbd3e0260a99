package lorawan

import (
	"sync"
	"time"

	"github.com/brocaar/lorawan"
)

// lags remembers how far behind the box's clock the last frame of each radio gateway was.
type lags struct {
	mu   sync.Mutex
	last map[string]time.Duration // by radio gateway, guarded by mu
}

const (
	maxLags  = 4096        // radio gateways
	lagDrift = time.Second // of a clock that is wrong, and of the way, between two frames
)

// tooLate says whether a frame was on its way until its device certainly listened no more: a radio gateway that was cut off
// had kept it. One whose clock is wrong is behind by the same all the time.
func (n *Network) tooLate(r *Reception) bool {
	if r.Time.IsZero() {
		return false
	}
	behind := r.Received.Sub(r.Time)
	last, known := n.lags.next(r.Gateway, behind)
	listens := n.region.rx1Delay
	if messageType(r.PHY) == lorawan.JoinRequest {
		listens = n.region.joinDelay()
	}
	return behind > listens+time.Second && (!known || (behind-last).Abs() > lagDrift)
}

// next notes a frame and returns how far behind the one before was.
func (l *lags) next(gateway string, behind time.Duration) (last time.Duration, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, known = l.last[gateway]
	if l.last == nil || !known && len(l.last) >= maxLags {
		l.last = map[string]time.Duration{}
	}
	l.last[gateway] = behind
	return last, known
}
