package lorawan

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"belfry/gateway"
)

// FeedOptions say what a source wants of the network.
type FeedOptions struct {
	Source   string            // its name
	Emit     gateway.Emit      // of the source's Run
	Downlink bool              // joins and what devices ask for are answered by what this source heard
	Count    func(what string) // hears each of Counts; may be called from several goroutines
}

// Feed is the way of one source's frames into the network, for one Run of that source.
type Feed struct {
	FeedOptions
	network *Network
	wake    chan struct{} // gets a value when a group is due sooner than the feed looks
	answers chan struct{} // gets a value when there is something to send

	mu      sync.Mutex
	data    []*group  // in the order of their time, guarded by mu
	joins   []*group  // the same; their time is shorter, guarded by mu
	waiting int       // receptions that are not settled, guarded by mu
	over    bool      // no more is taken, guarded by mu
	ended   bool      // nor handed over, guarded by mu
	failed  error     // why something could not be held, guarded by mu
	tosend  []*answer // guarded by mu
	emitted int       // batches that were handed over and are not done, guarded by mu
	idle    chan struct{}
}

const (
	maxWaiting  = 8192                   // receptions of one feed that are not settled
	joinCollect = 100 * time.Millisecond // at most: the answer to a join must be on its way soon
	maxBatch    = 256                    // uplinks handed over in one call
	endTimeout  = 400 * time.Millisecond // how long the end of a run may wait for what was heard
)

var errOver = errors.New("the source ended before the frame was stored")

// NewFeed makes a feed; nothing happens before Run.
func (n *Network) NewFeed(options FeedOptions) *Feed {
	return &Feed{FeedOptions: options, network: n, wake: make(chan struct{}, 1), answers: make(chan struct{}, 1)}
}

// Receive takes what radio gateways heard. done is called once, by another goroutine or before Receive returns, and must not
// block: with nil when all of it is settled, held on disk as an event or in quarantine, or refused for a reason that is
// counted; with an error when something could not be held: then the source must not acknowledge any of it. Receive
// does not block. False, and nothing is taken, when too many frames wait already or the feed has ended.
func (f *Feed) Receive(receptions []Reception, done func(error)) bool {
	f.mu.Lock()
	if f.over || f.waiting > 0 && f.waiting+len(receptions) > maxWaiting {
		f.mu.Unlock()
		return false
	}
	f.waiting += len(receptions) + 1
	f.mu.Unlock()
	b := &delivery{feed: f, left: len(receptions) + 1, done: done}
	for i := range receptions {
		f.Count("frames")
		f.take(heard{Reception: receptions[i], delivery: b})
	}
	b.settle(nil) // an empty one is done at once
	return true
}

// take sorts out what is nothing for the network, and lets the rest wait for its copies.
func (f *Feed) take(h heard) {
	if why := f.network.uninteresting(&h.Reception); why != "" {
		f.Count(why)
		h.delivery.settle(nil)
		return
	}
	h.late = f.network.tooLate(&h.Reception)
	if !f.Downlink || h.late {
		h.Transmit = nil
	}
	f.collect(h)
}

// delivery is what one call of Receive gave.
type delivery struct {
	feed *Feed

	mu   sync.Mutex
	left int   // guarded by mu
	err  error // guarded by mu
	done func(error)
}

// settle says that one of the receptions is dealt with.
func (d *delivery) settle(err error) {
	d.mu.Lock()
	d.left--
	if d.err == nil {
		d.err = err
	}
	last, err := d.left == 0, d.err
	d.mu.Unlock()
	d.feed.mu.Lock()
	d.feed.waiting--
	d.feed.mu.Unlock()
	if last {
		d.done(err)
	}
}

// Run works until ctx is done, or something that was handed over could not be held; the Run of the source must end then
// too. What was heard before is still handed over, for a moment.
func (f *Feed) Run(ctx context.Context) error {
	var answering sync.WaitGroup
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	answering.Go(func() { f.send(sending) })
	err := f.work(ctx)
	f.finish()
	stop()
	answering.Wait()
	return err
}

// work hands over what is due.
func (f *Feed) work(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		groups, next, err := f.due(time.Now())
		if err != nil {
			return err
		}
		for some := range slices.Chunk(groups, maxBatch) {
			f.handOver(ctx, some)
		}
		timer.Reset(max(time.Until(next), 0))
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-timer.C:
		}
	}
}

// finish hands over all that is there without waiting for more copies, and waits a little until it is held.
func (f *Feed) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	f.mu.Lock()
	f.over = true
	f.mu.Unlock()
	for {
		groups, _, err := f.due(time.Now().Add(maxCollect))
		if len(groups) == 0 || err != nil {
			break
		}
		for some := range slices.Chunk(groups, maxBatch) {
			if ctx.Err() == nil {
				f.handOver(ctx, some)
				continue
			}
			for _, g := range some { // too many: those that wait longer than the end may take
				g.pass(f, errOver)
			}
		}
	}
	f.waitIdle(ctx)
	f.mu.Lock()
	f.ended = true
	rest := append(f.data, f.joins...)
	f.data, f.joins = nil, nil
	f.mu.Unlock()
	for _, g := range rest {
		f.network.close(g)
		g.pass(f, errOver)
	}
}

// due takes the groups whose time has come, and says when the next comes.
func (f *Feed) due(now time.Time) (groups []*group, next time.Time, failed error) {
	f.mu.Lock()
	next = now.Add(time.Hour)
	if failed = f.failed; failed == nil {
		for _, queue := range []*[]*group{&f.joins, &f.data} {
			for len(*queue) > 0 && !(*queue)[0].due.After(now) {
				groups = append(groups, (*queue)[0])
				(*queue)[0] = nil
				*queue = (*queue)[1:]
			}
			if len(*queue) > 0 && (*queue)[0].due.Before(next) {
				next = (*queue)[0].due
			}
		}
	}
	f.mu.Unlock()
	for _, g := range groups {
		f.network.close(g)
	}
	return groups, next, failed
}

// handOver finds out what frames are and emits those that are something.
func (f *Feed) handOver(ctx context.Context, groups []*group) {
	var uplinks []gateway.Uplink
	var behind []*resolved // one for each uplink
	for _, g := range groups {
		for range g.heard[1:] {
			f.Count("copies")
		}
		all, refused := f.resolve(g)
		if refused != "" {
			f.Count(refused)
		}
		for i := range all {
			uplinks, behind = append(uplinks, all[i].uplink), append(behind, all[i])
		}
		if len(all) == 0 || refused != "" { // what there is then is a notice
			g.settle(nil)
		}
	}
	if len(uplinks) == 0 {
		return
	}
	f.mu.Lock()
	f.emitted++
	f.mu.Unlock()
	err := f.Emit(ctx, uplinks, func(err error) { f.held(behind, err) })
	if err != nil {
		f.unheld(behind, err)
	}
}

// held is called by the store: what was handed over is on disk, or could not be.
func (f *Feed) held(behind []*resolved, err error) {
	for _, r := range behind {
		r.finish(err)
	}
	f.mu.Lock()
	if err != nil && f.failed == nil {
		f.failed = err
	}
	for _, r := range behind {
		if err == nil && r.answer != nil && r.answer.wanted {
			f.tosend = append(f.tosend, r.answer)
		}
	}
	send := len(f.tosend) > 0
	f.doneLocked()
	f.mu.Unlock()
	if send {
		signal(f.answers)
	}
	if err != nil {
		signal(f.wake)
	}
}

// unheld is for what the gateway did not take: this source ends. What others heard too they may still hand over.
func (f *Feed) unheld(behind []*resolved, err error) {
	for _, r := range behind {
		if r.group != nil {
			r.group.pass(f, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doneLocked()
}

// doneLocked notes that one batch less is on its way.
func (f *Feed) doneLocked() {
	f.emitted--
	if f.emitted == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

func (f *Feed) waitIdle(ctx context.Context) {
	f.mu.Lock()
	if f.emitted == 0 {
		f.mu.Unlock()
		return
	}
	if f.idle == nil {
		f.idle = make(chan struct{})
	}
	idle := f.idle
	f.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-idle:
	}
}

// signal leaves a value in a channel of one place, if none is there.
func signal(channel chan<- struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
