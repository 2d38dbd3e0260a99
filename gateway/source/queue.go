package source

import (
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// arrival is one message as the MQTT library delivered it.
type arrival struct {
	mqtt.Message
	received time.Time
	repeat   bool // the store may have it from an earlier delivery
	cut      int  // bytes the whole packet had, when the guard cut it short; else 0
}

const arrivalOverhead = 512 // bytes; what a message costs in memory beside its topic and payload, about

func (a *arrival) size() int { return len(a.Topic()) + len(a.Payload()) + arrivalOverhead }

// queue holds the arrivals that are not yet on disk, up to a number of bytes. Only admit waits.
type queue struct {
	limit int
	unit  int           // the most that one arrival can take
	hold  time.Duration // see maxHold; shorter in tests
	ready chan struct{} // gets a value when there is something to take
	room  chan struct{} // gets a value when something was released

	mu       sync.Mutex
	arrivals []arrival // not yet taken, guarded by mu
	used     int       // bytes of all that was not released, guarded by mu
	coming   int       // arrivals that were admitted and not yet pushed, guarded by mu
	stuck    bool      // nothing was released for as long as hold, guarded by mu
	full     bool      // an arrival with QoS 1 or 2 was refused: nothing may overtake it, guarded by mu
}

// maxHold is how long a broker is kept waiting while nothing at all gets stored. It is less than what the library waits
// for the answer to its ping, which stands behind the messages that wait.
const maxHold = 8 * time.Second

func newQueue(limit, maxPacket int, hold time.Duration) *queue {
	return &queue{limit: limit, unit: maxPacket + arrivalOverhead, hold: hold, ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// admit returns once there is room for one more arrival, or the run is over, or nothing was stored for as long as the queue
// may hold. The network is not read meanwhile: a broker that sets no limit to what is in flight is slowed down, not cut off.
func (q *queue) admit(over <-chan struct{}) {
	for !q.reserve() {
		select {
		case <-q.room:
		case <-over:
			return
		case <-time.After(q.hold):
			q.mu.Lock()
			q.stuck = true
			q.mu.Unlock()
		}
	}
}

// reserve says whether the next arrival may come. The library has some on their way, whose sizes are not known yet.
func (q *queue) reserve() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.stuck && !q.full && q.used+(q.coming+1)*q.unit > q.limit {
		return false
	}
	q.coming++
	return true
}

// push appends an arrival and says whether there was room for it.
func (q *queue) push(a arrival) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.coming = max(q.coming-1, 0)
	signal(q.room)
	size := a.size()
	if q.full || q.used+size > q.limit {
		if a.Qos() > 0 {
			q.full = true
			signal(q.ready)
		}
		return false
	}
	q.used += size
	q.arrivals = append(q.arrivals, a)
	if len(q.arrivals) == 1 {
		signal(q.ready)
	}
	return true
}

// signal leaves a value in a channel of one place, if none is there.
func signal(channel chan<- struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}

// take returns all that has queued up, and whether the queue will take no more.
func (q *queue) take() (arrivals []arrival, full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	arrivals, q.arrivals = q.arrivals, nil
	return arrivals, q.full
}

// release gives the room of arrivals back once they are dealt with.
func (q *queue) release(arrivals []arrival) {
	size := 0
	for i := range arrivals {
		size += arrivals[i].size()
	}
	q.mu.Lock()
	q.used -= size
	q.stuck = false
	q.mu.Unlock()
	signal(q.room)
}
