package event

import "time"

const maxAhead = 2 * time.Minute

// BestTime estimates when a reading was true: the device's claim, else the network's time, else the box's. A claim more
// than 2 minutes ahead of the box or further behind than maxAge is refused, which is a fault.
func BestTime(claim, network, received time.Time, maxAge time.Duration) (best time.Time, clock Clock, fault bool) {
	plausible := func(t time.Time) bool {
		return !t.IsZero() && !t.After(received.Add(maxAhead)) && !t.Before(received.Add(-maxAge))
	}
	best, clock = received, ClockGateway
	if plausible(network) {
		best, clock = network, ClockNetwork
	}
	switch {
	case claim.IsZero():
		return best, clock, false
	case plausible(claim):
		return claim, ClockDevice, false
	default:
		return best, clock, true
	}
}
