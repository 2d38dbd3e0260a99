package forward

import (
	"context"
	"fmt"
	"time"

	"belfry/gateway/event"
)

// reject moves an item that can never be published to quarantine. It holds up only the item's own subject.
func (f *forwarder) reject(it *item, reason string) {
	entry := event.Quarantined{
		Stage: "publish", Reason: reason, Raw: it.record.Data, Received: time.Now(), Seq: uint64(it.record.Seq),
	}
	if it.subject != nil {
		it.subject.state = rejecting
		entry.Topic = it.subject.name
	}
	record, data := it.record, entry.Append(nil)
	f.tasks.startRejection(func(ctx context.Context) func() {
		for {
			err := f.store.Reject(ctx, record, data)
			if err == nil {
				return func() { f.rejectedItem(it) }
			}
			f.inbox.call(func() { f.status.read = fmt.Errorf("put seq %d into quarantine: %w", record.Seq, err) })
			select {
			case <-time.After(readRetry):
			case <-ctx.Done():
				return func() {}
			}
		}
	})
}

func (f *forwarder) rejectedItem(it *item) {
	f.rejected.Add(1)
	f.status.read = nil
	s := it.subject
	f.finish(it)
	if s != nil {
		f.list(s)
	}
}
