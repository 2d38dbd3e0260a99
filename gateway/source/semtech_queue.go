package source

import (
	"net/netip"
	"sync"
	"time"

	"belfry/gateway/lorawan/semtech"
)

// datagram is one that a radio gateway of the list sent.
type datagram struct {
	semtech.Datagram // its Body is a copy
	sender           *forwarder
	from             netip.AddrPort
	received         time.Time
}

const (
	datagramOverhead = 192  // bytes; what a datagram costs in memory beside its body, about
	maxAsking        = 1024 // datagrams without frames that may wait
)

func (d *datagram) size() int { return len(d.Body) + datagramOverhead }

// datagramQueue holds the datagrams that were read and not yet worked on, up to a number of bytes. Those with frames wait
// while the network is behind; the others, which keep the radio gateway's connection alive, pass them.
type datagramQueue struct {
	limit int
	ready chan struct{} // gets a value when there is something to take

	mu     sync.Mutex
	frames fifo // PUSH_DATA, guarded by mu
	asking fifo // all others, guarded by mu
	used   int  // bytes of frames, guarded by mu
}

// fifo is a list that is taken from at its head.
type fifo struct {
	list []datagram
	head int
}

func (f *fifo) push(d datagram) { f.list = append(f.list, d) }

func (f *fifo) next() (datagram, bool) {
	if f.head == len(f.list) {
		return datagram{}, false
	}
	d := f.list[f.head]
	f.list[f.head] = datagram{}
	f.head++
	switch {
	case f.head == len(f.list):
		f.list, f.head = f.list[:0], 0
		if cap(f.list) > 4096 {
			f.list = nil // a burst is over
		}
	case f.head > len(f.list)/2 && f.head > 1024:
		f.list = append(f.list[:0], f.list[f.head:]...)
		clear(f.list[len(f.list):cap(f.list)])
		f.head = 0
	}
	return d, true
}

func (f *fifo) waiting() int { return len(f.list) - f.head }

func newDatagramQueue(limit int) *datagramQueue {
	return &datagramQueue{limit: limit, ready: make(chan struct{}, 1)}
}

// push appends a datagram and says whether there was room for it.
func (q *datagramQueue) push(d datagram) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.Kind == semtech.PushData {
		if q.used+d.size() > q.limit {
			return false
		}
		q.used += d.size()
		q.frames.push(d)
	} else {
		if q.asking.waiting() >= maxAsking {
			return false
		}
		q.asking.push(d)
	}
	signal(q.ready)
	return true
}

// next takes the oldest datagram without frames, else the oldest with frames if those are wanted.
func (q *datagramQueue) next(frames bool) (datagram, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d, ok := q.asking.next()
	if !ok && frames {
		if d, ok = q.frames.next(); ok {
			q.used -= d.size()
		}
	}
	return d, ok
}
