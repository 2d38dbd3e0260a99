package lorawan

import (
	"slices"
	"time"

	"github.com/brocaar/lorawan"
)

// heard is a reception and the delivery that it came in.
type heard struct {
	Reception
	delivery *delivery
	late     bool // too late for an answer
}

// group is one frame with all copies of it that came in while they were waited for, whatever sources they came through.
type group struct {
	phy   string
	due   time.Time
	owner *Feed   // of the source that heard it first; hands it over
	heard []heard // guarded by the network's mu until close
}

// collect adds a reception to the group of its frame, or begins one.
func (f *Feed) collect(h heard) {
	n := f.network
	join := messageType(h.PHY) == lorawan.JoinRequest
	wait := n.Collect
	if join {
		wait = min(wait, joinCollect)
	}
	n.mu.Lock()
	if g := n.groups[string(h.PHY)]; g != nil {
		g.heard = append(g.heard, h)
		n.mu.Unlock()
		return
	}
	g := &group{phy: string(h.PHY), due: time.Now().Add(wait), owner: f, heard: []heard{h}}
	n.groups[g.phy] = g
	n.mu.Unlock()

	f.mu.Lock()
	queue := &f.data
	if join {
		queue = &f.joins
	}
	ended, first := f.ended, len(*queue) == 0
	if !ended {
		*queue = append(*queue, g)
	}
	f.mu.Unlock()
	if ended {
		n.close(g)
		g.pass(f, errOver)
	} else if first {
		signal(f.wake)
	}
}

// close lets no more copies into a group.
func (n *Network) close(g *group) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.groups[g.phy] == g {
		delete(n.groups, g.phy)
	}
}

// settle says of every copy that it is dealt with.
func (g *group) settle(err error) {
	for i := range g.heard {
		g.heard[i].delivery.settle(err)
	}
}

// pass gives up a group that its feed cannot hand over: what came through others begins anew there.
func (g *group) pass(from *Feed, err error) {
	for _, h := range g.heard {
		other := h.delivery.feed
		other.mu.Lock()
		alive := other != from && !other.over && other.failed == nil
		other.mu.Unlock()
		if alive {
			other.collect(h)
		} else {
			h.delivery.settle(err)
		}
	}
}

// best orders the receptions: the best signal to noise first, then the strongest.
func (g *group) best() []heard {
	sorted := slices.Clone(g.heard)
	slices.SortStableFunc(sorted, func(a, b heard) int {
		switch {
		case a.SNR != b.SNR:
			if a.SNR > b.SNR {
				return -1
			}
			return 1
		default:
			return b.RSSI - a.RSSI
		}
	})
	return sorted
}

// gateways is how many radio gateways heard the frame.
func (g *group) gateways() int {
	var different []string
	for i := range g.heard {
		if !slices.Contains(different, g.heard[i].Gateway) {
			different = append(different, g.heard[i].Gateway)
		}
	}
	return len(different)
}
