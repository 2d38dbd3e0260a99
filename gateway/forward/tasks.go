package forward

import (
	"context"
	"sync"

	"belfry/gateway"
)

// task does its work on a goroutine of its own; what it returns runs on the loop.
type task func(ctx context.Context) (apply func())

// tasks are the few things that wait for someone else: connecting, looking at the stream, questions, rejections. Whoever
// starts them bounds their number; wait waits for all.
type tasks struct {
	ctx   context.Context // of all tasks of one Run
	inbox *inbox
	group sync.WaitGroup

	rejecting int
	toReject  fifo[task]
}

const (
	maxAsks       = 32
	maxRejections = 16
)

func (t *tasks) start(work task) {
	t.group.Go(func() {
		defer func() {
			if cause := recover(); cause != nil { // it ends the Run, not the process
				fault := gateway.NewFault(cause)
				t.inbox.call(func() { panic(fault) })
			}
		}()
		apply := work(t.ctx)
		t.inbox.call(apply)
	})
}

// startRejection waits for its turn: rejecting is slow, and a flood of it must not take a goroutine each.
func (t *tasks) startRejection(work task) {
	if t.rejecting >= maxRejections {
		t.toReject.push(work)
		return
	}
	t.rejecting++
	t.start(func(ctx context.Context) func() {
		apply := work(ctx)
		return func() {
			t.rejecting--
			apply()
			if t.toReject.len() > 0 && t.ctx.Err() == nil {
				t.startRejection(t.toReject.pop())
			}
		}
	})
}

func (t *tasks) wait() { t.group.Wait() }
