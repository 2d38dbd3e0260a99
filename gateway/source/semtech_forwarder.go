package source

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"belfry/gateway/lorawan/semtech"
)

const (
	pinned      = 30 * time.Second // how long an address that asks no more stays the one that answers go to
	silentAfter = 5 * time.Minute
	burst       = 5 // seconds' worth of datagrams that may come at once
)

// forwarder is a radio gateway that may send.
type forwarder struct {
	eui  semtech.EUI
	name string       // its EUI in hexadecimal digits
	from netip.Prefix // that it sends from; none: any

	bucket tokenBucket  // only the goroutine that reads the socket touches it
	heard  atomic.Int64 // when its last datagram came, in ns since the source was made; 0: never
	known  hearing      // what was logged last; only the goroutine that works touches it

	mu      sync.Mutex
	answers netip.AddrPort // where it listens for answers, guarded by mu
	pulled  time.Time      // when it last asked for them, guarded by mu
}

func newForwarder(eui semtech.EUI, from netip.Prefix, rate int) *forwarder {
	return &forwarder{eui: eui, name: eui.String(), from: from, bucket: newTokenBucket(rate, burst*rate)}
}

// allows says whether the radio gateway may send from an address.
func (f *forwarder) allows(address netip.Addr) bool {
	return !f.from.IsValid() || f.from.Contains(address.Unmap().WithZone(""))
}

// pull notes that somebody asks for answers in the radio gateway's name. The address that did so first stays the one until
// it has been quiet for a while; moved says that it was another.
func (f *forwarder) pull(from netip.AddrPort, now time.Time) (taken, moved bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from != f.answers {
		if f.answers.IsValid() && now.Sub(f.pulled) < pinned {
			return false, false
		}
		moved = f.answers.IsValid()
	}
	f.answers, f.pulled = from, now
	return true, moved
}

// listensAt returns the address that answers go to; not valid when there is none.
func (f *forwarder) listensAt() netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers
}

// hearing is what is known of a radio gateway: nothing yet, that it is there, or that it is not.
type hearing int

const (
	unheard hearing = iota
	present
	silent
)

// hearing says what is to be known of the radio gateway at a time, when this machine listens since another. Times are since
// the source was made: the clock of the wall may be set.
func (f *forwarder) hearing(now, since time.Duration) hearing {
	last := time.Duration(f.heard.Load())
	if last > 0 && now-last < silentAfter {
		return present
	}
	if now-since < silentAfter {
		return f.known
	}
	return silent
}

// tokenBucket lets so many through a second, and some more at once.
type tokenBucket struct {
	rate, most, left float64
	last             time.Time
}

func newTokenBucket(rate, most int) tokenBucket {
	return tokenBucket{rate: float64(rate), most: float64(most), left: float64(most)}
}

func (b *tokenBucket) take(now time.Time) bool {
	if passed := now.Sub(b.last).Seconds(); passed > 0 {
		b.left = min(b.most, b.left+passed*b.rate)
	}
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
