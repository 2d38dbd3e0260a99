package event

import "time"

const (
	maxAhead = 2 * time.Minute
	// maxNetworkAge is how long a radio gateway without a line may keep frames.
	maxNetworkAge = 45 * 24 * time.Hour
)

// BestTime estimates when a reading was true: the device's claim, else the network's time, else the box's. A time more than
// 2 minutes ahead of the box is refused, and so is the network's when it is further behind than 45 days, the device's when it
// is further behind the better of network and box than maxAge. What is refused is a fault.
func BestTime(claim, network, received time.Time, maxAge time.Duration) (best time.Time, clock Clock, fault bool) {
	plausible := func(t, from time.Time, age time.Duration) bool {
		return !t.After(received.Add(maxAhead)) && !t.Before(from.Add(-age))
	}
	best, clock = received, ClockGateway
	switch {
	case network.IsZero():
	case plausible(network, received, max(maxNetworkAge, maxAge)):
		best, clock = network, ClockNetwork
	default:
		fault = true
	}
	switch {
	case claim.IsZero():
		return best, clock, fault
	case plausible(claim, best, maxAge):
		return claim, ClockDevice, fault
	default:
		return best, clock, true
	}
}
