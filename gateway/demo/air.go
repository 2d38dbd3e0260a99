package demo

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// gatewayCount is how many radio gateways a town has.
const gatewayCount = 3

// gatewayEUI is the EUI of one of the town's radio gateways.
func gatewayEUI(number int) uint64 { return 0x02be1f0000a00001 + uint64(number) }

// AirOptions say what a town's radio does.
type AirOptions struct {
	Server string // host:port of the gateway's semtech-udp source
	Town   *Town
	Memory string               // file with the counters and nonces that devices go on from; "" for none
	Calm   bool                 // no gateway loses its backhaul, and nobody replays frames
	Say    func(string, ...any) // hears of what happens, for people; may be nil
}

// Air is the town's radio: its LoRaWAN devices, the gateways that hear them, and an attacker.
type Air struct {
	AirOptions
	devices  []*device
	gateways []*forwarder
	attacker *attacker

	// The loop of Run owns these.
	random    *rand.Rand
	timers    timers
	finished  bool
	forgetful bool // the memory could not be written, which was said

	mu     sync.Mutex // guards all below
	inbox  []func()
	counts Radio
	wake   chan struct{} // something is in the inbox
}

// OpenAir makes the radio's sockets. Run closes them.
func OpenAir(options AirOptions) (*Air, error) {
	if options.Say == nil {
		options.Say = func(string, ...any) {}
	}
	a := &Air{
		AirOptions: options, devices: options.Town.onAir(), random: rand.New(rand.NewPCG(options.Town.seed, options.Town.run^0xa17)),
		wake: make(chan struct{}, 1),
	}
	for i := range gatewayCount {
		f, err := openForwarder(forwarderOptions{
			eui: gatewayEUI(i), server: options.Server, gps: i == gatewayCount-1, transmit: a.broadcast, seed: a.random.Uint64(),
			counter: -uint32(5e6 + a.random.IntN(15e6)), // wraps within the first seconds
		})
		if err != nil {
			a.close()
			return nil, err
		}
		a.gateways = append(a.gateways, f)
	}
	if err := a.recall(); err != nil {
		a.close()
		return nil, err
	}
	var err error
	if a.attacker, err = openAttacker(options.Server, a.random.Uint64()); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *Air) close() {
	for _, f := range a.gateways {
		f.up.Close()
		f.down.Close()
	}
}

// Run works until ctx is done.
func (a *Air) Run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	defer a.attacker.close()
	for _, f := range a.gateways {
		working.Go(func() { f.run(ctx) })
	}
	defer a.remember()
	a.begin()
	for ctx.Err() == nil {
		a.work()
		timer := time.NewTimer(a.timers.wait())
		select {
		case <-timer.C:
		case <-a.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// work does what is due.
func (a *Air) work() {
	a.mu.Lock()
	inbox := a.inbox
	a.inbox = nil
	a.mu.Unlock()
	for _, f := range inbox {
		f()
	}
	for now := time.Now(); len(a.timers) > 0 && !a.timers[0].at.After(now); {
		heap.Pop(&a.timers).(*timer).f()
	}
}

// post lets the loop call f.
func (a *Air) post(f func()) {
	a.mu.Lock()
	a.inbox = append(a.inbox, f)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// after lets the loop call f later.
func (a *Air) after(d time.Duration, f func()) { heap.Push(&a.timers, &timer{time.Now().Add(d), f}) }

// count changes the counts.
func (a *Air) count(change func(*Radio)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.counts)
}

// Counts returns what happened so far.
func (a *Air) Counts() Radio {
	a.mu.Lock()
	counts := a.counts
	a.mu.Unlock()
	for _, f := range a.gateways {
		counts.Resent += f.resends()
		if f.cutOff() {
			counts.CutOff++
		}
	}
	for _, d := range a.devices {
		if !d.active.Load() {
			counts.Waiting++
		}
	}
	return counts
}

// Await waits until every radio gateway has an answer from the server.
func (a *Air) Await(ctx context.Context) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for _, f := range a.gateways {
		for !f.ready() {
			select {
			case <-retry.C:
			case <-ctx.Done():
				return fmt.Errorf("no PULL_ACK from %s: %w", a.Server, ctx.Err())
			}
		}
	}
	return nil
}

// Finish begins nothing new, and waits until every frame on its way is acknowledged to a gateway. What devices had not begun
// to send by then is never sent. Run must go on meanwhile.
func (a *Air) Finish(ctx context.Context) error {
	a.post(a.finish)
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		left := make(chan int, 1)
		a.post(func() { left <- a.outstanding() })
		count := <-left
		if count == 0 {
			return nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("%d messages were never acknowledged to a radio gateway by %s", count, a.Server)
		}
	}
}

func (a *Air) finish() {
	a.finished = true
	for _, d := range a.devices {
		d.busy.Add(-int32(len(d.queue)))
		d.queue = nil
	}
}

// outstanding is how many frames of reports wait for an acknowledgement.
func (a *Air) outstanding() int {
	left := 0
	for _, d := range a.devices {
		left += len(d.unsettled)
	}
	a.count(func(r *Radio) { r.Unsettled = left })
	return left
}

// timer is something to do at a time.
type timer struct {
	at time.Time
	f  func()
}

// timers are in the order of a heap.
type timers []*timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface.
func (t *timers) Push(x any) { *t = append(*t, x.(*timer)) }

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}

// wait is how long nothing is due.
func (t timers) wait() time.Duration {
	const longest = time.Second
	if len(t) == 0 {
		return longest
	}
	return min(max(time.Until(t[0].at), 0), longest)
}
