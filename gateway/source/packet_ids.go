package source

import "sync/atomic"

// packetIDs knows of each packet id of a broker what became of the newest message that had it. MQTT lets a broker use
// an id again once it has our acknowledgement; some do so at once, some begin with 1 at each connection. So a message that
// is marked as a repeat (DUP) may be one whose first delivery never got here, and equal to another that had the id before.
//
// A repeat is one only if the newest message with its id was handed over, and the broker is not known to have its
// acknowledgement. That is known once the broker has answered a ping that we sent after it. But a broker that was killed
// may forget what it knew; from one that counts its ids up, over connections too, an id that it has left behind is a repeat.
type packetIDs struct {
	states       [1 << 16]atomic.Uint32
	pings, pongs atomic.Uint32 // sent so far, answered so far
	climb        climb
}

// The states of a packet id; from idAcknowledged on they say how many pings must be answered for the acknowledgement to
// be known to have arrived.
const (
	idUnknown      = iota // not seen since this program started: what is on disk may have had it
	idArrived             // delivered, but not handed over
	idHandedOver          // the store has it, or has refused it
	idAcknowledged        // with 0 pings: nothing from before can be repeated
)

// arrive notes a delivery, and says whether it may be a repeat of a message that was handed over.
func (p *packetIDs) arrive(id uint16, dup bool) (repeat bool) {
	state := p.states[id].Load()
	if dup && p.repeatable(state, id) {
		return true
	}
	p.states[id].Store(idArrived)
	if !dup {
		p.climb.next(id)
	}
	return false
}

func (p *packetIDs) repeatable(state uint32, id uint16) bool {
	switch state {
	case idUnknown, idHandedOver:
		return true
	case idArrived:
		return false
	default:
		return state-idAcknowledged > p.pongs.Load() || p.climb.behind(id)
	}
}

// handOver notes that arrivals are about to be handed over; takeBack that this did not happen.
func (p *packetIDs) handOver(arrivals []arrival) { p.change(arrivals, idHandedOver) }
func (p *packetIDs) takeBack(arrivals []arrival) { p.change(arrivals, idArrived) }

func (p *packetIDs) change(arrivals []arrival, state uint32) {
	for i := range arrivals {
		if a := &arrivals[i]; a.Qos() > 0 && !a.repeat {
			p.states[a.MessageID()].Store(state)
		}
	}
}

// acknowledge notes that acknowledgements are about to be written.
func (p *packetIDs) acknowledge(acks []byte) {
	state := idAcknowledged + p.pings.Load() + 1
	for ; len(acks) >= ackSize; acks = acks[ackSize:] {
		p.states[uint16(acks[2])<<8|uint16(acks[3])].Store(state)
	}
}

// begin notes a new connection, before anything arrives on it. Pings that the last one did not answer will not be answered any more, so what waits for
// them is never known to have arrived. Without a session at the broker nothing from before can be repeated.
func (p *packetIDs) begin(resumed bool) {
	answered := idAcknowledged + p.pongs.Load()
	for id := range p.states {
		switch state := p.states[id].Load(); {
		case !resumed:
			p.states[id].Store(idAcknowledged)
		case state > answered:
			p.states[id].Store(idHandedOver)
		}
	}
	p.pongs.Store(p.pings.Load())
	p.climb.connect(resumed)
}

// climb tells a broker that counts its packet ids up from one that uses them again earlier. Only the goroutine that
// delivers messages touches it.
type climb struct {
	last    int  // the newest id of a first delivery; 0 before any
	span    int  // how far the ids went up without a step back
	over    bool // they did so over the last connection's end, and no session was lost since
	resumed bool // the next first delivery is the first of a connection that goes on with the session
}

const (
	idsInUse = 1<<16 - 1 // 0 is none
	maxStep  = 1000      // ids that were given to messages that did not arrive
)

func (c *climb) connect(resumed bool) {
	c.resumed = resumed
	if !resumed {
		*c = climb{}
	}
}

func (c *climb) next(id uint16) {
	step := (int(id) - c.last + idsInUse) % idsInUse
	switch {
	case c.last == 0:
	case step == 0 || step > maxStep:
		c.span, c.over = 0, false
	default:
		c.span = min(c.span+step, idsInUse/2)
		c.over = c.over || c.resumed
	}
	c.last, c.resumed = int(id), false
}

// behind says whether the broker cannot have given an id again since a message with it arrived.
func (c *climb) behind(id uint16) bool {
	return c.over && (c.last-int(id)+idsInUse)%idsInUse <= c.span
}
