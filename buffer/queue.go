package buffer

import (
	"context"
	"sync"
	"time"
)

// request is one call of Append.
type request struct {
	left    int // groups that are not dealt with
	outcome Outcome
	err     error
	done    func(Outcome, error)
}

// item is one group on its way to the writer.
type item struct {
	group    Group
	request  *request
	at       time.Time
	internal bool // one of the buffer's own: not refused when the buffer is full

	outcome Outcome
	err     error
}

// queue is what waits for the writer.
type queue struct {
	mu      sync.Mutex // guards all below, but for wake
	items   []item
	policy  policy
	hurry   bool          // somebody waits for the next commit
	closed  bool          // nothing more comes in
	planned time.Time     // when the writer will look by itself; zero while it is busy
	space   chan struct{} // closed when groups leave; nil when nobody waits for that

	wake chan struct{}
}

func newQueue(delay time.Duration) *queue {
	return &queue{policy: policy{delay: delay}, wake: make(chan struct{}, 1)}
}

// Append queues groups for the next transaction and calls done once, on the writer's goroutine, when all of them
// are on disk or one of them is not. done must not block. Groups of one Append keep their order, Appends too.
// Append itself blocks only while too much is queued. After an error of Append itself done is not called.
func (b *Buffer) Append(ctx context.Context, groups []Group, done func(Outcome, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.options.ReadOnly {
		return ErrReadOnly
	}
	q := b.queue
	q.mu.Lock()
	for !q.closed && len(q.items) > 0 && len(q.items)+len(groups) > maxQueued {
		if q.space == nil {
			q.space = make(chan struct{})
		}
		space := q.space
		q.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
			return ctx.Err()
		}
		q.mu.Lock()
	}
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	nothing := false
	if len(groups) == 0 {
		groups, nothing = []Group{{Build: func(*Tx) error { return nil }}}, true // done keeps its place in the order
	}
	r := &request{left: len(groups), done: done}
	now := time.Now()
	for _, g := range groups {
		q.items = append(q.items, item{group: g, request: r, at: now, internal: nothing})
		q.hurry = q.hurry || g.Hurry
	}
	q.policy.arrive(now, len(groups), len(q.items))
	q.signal()
	return nil
}

// own queues a group of the buffer's own; done may be nil.
func (q *queue) own(build func(tx *Tx) error, done func(Outcome, error)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	now := time.Now()
	g := Group{Build: build}
	q.items = append(q.items, item{group: g, request: &request{left: 1, done: done}, at: now, internal: true})
	q.policy.arrive(now, 1, len(q.items))
	q.hurry = true
	q.signal()
	return nil
}

// signal wakes the writer if it would come too late.
func (q *queue) signal() {
	if q.planned.IsZero() || !q.due().Before(q.planned) {
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// due returns when to commit. There must be something in the queue.
func (q *queue) due() time.Time {
	if q.hurry || q.closed {
		return q.items[0].at
	}
	return q.policy.due(len(q.items))
}

// take moves to dst what is to be committed now. If that is nothing it returns when to look again, at the latest at
// tick, and whether the queue is closed and empty.
func (q *queue) take(dst []item, now, tick time.Time) (items []item, next time.Time, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.planned = time.Time{}
	if len(q.items) == 0 {
		q.planned = tick
		return dst, tick, q.closed
	}
	if due := q.due(); due.After(now) {
		q.planned = earlier(due, tick)
		return dst, q.planned, false
	}
	n := min(len(q.items), maxBatchRecords)
	dst = append(dst, q.items[:n]...)
	left := copy(q.items, q.items[n:])
	clear(q.items[left:])
	q.items = q.items[:left]
	if left > 0 {
		q.policy.oldest = q.items[0].at
	} else {
		q.hurry = false
	}
	q.freeSpace()
	return dst, time.Time{}, false
}

func (q *queue) freeSpace() {
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
}

// acknowledge tells the policy that n groups are about to be acknowledged, acknowledged that this is done.
func (q *queue) acknowledge(n int) {
	q.mu.Lock()
	q.policy.acknowledge(n)
	q.mu.Unlock()
}

func (q *queue) acknowledged() {
	q.mu.Lock()
	q.policy.acknowledged(time.Now())
	q.mu.Unlock()
}

// close lets nothing more in and wakes the writer.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	q.freeSpace()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
