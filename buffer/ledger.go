package buffer

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// Ledger accounts for everything that was ever given to a buffer. It is committed with the records it is about, so it
// balances at every moment, over restarts too.
type Ledger struct {
	// Messages are the groups that Append has dealt with: each was kept, as one record or more, or discarded.
	Messages  uint64            `json:"messages"`
	Kept      uint64            `json:"kept"`
	Discarded map[string]uint64 `json:"discarded"` // by reason: "repeat" and what Tx.Discard was given

	// Received are the records that came in, the buffer's own notices too; each is in one of the numbers that follow.
	Received    uint64            `json:"received"`
	Released    uint64            `json:"released"`    // published, and their files are gone
	Held        uint64            `json:"held"`        // published, still on disk
	Pending     uint64            `json:"pending"`     // to be published
	Quarantined uint64            `json:"quarantined"` // in quarantine now
	Dropped     uint64            `json:"dropped"`     // removed from quarantine by Drop
	Retried     uint64            `json:"retried"`     // taken out of quarantine by RetryAll; what became of them was received anew
	Expired     map[string]uint64 `json:"expired"`     // given up, by reason
	Lost        uint64            `json:"lost"`        // destroyed by damage
}

// Balance says which sum is wrong, nil when the ledger balances.
func (l Ledger) Balance() error {
	if sum := l.Kept + total(l.Discarded); sum != l.Messages {
		return fmt.Errorf("%d messages, but %d kept + %d discarded = %d", l.Messages, l.Kept, total(l.Discarded), sum)
	}
	if sum := l.accounted(); sum != l.Received {
		return fmt.Errorf("%d records received, but %d released + %d held + %d pending + %d quarantined + %d dropped + %d retried + %d expired + %d lost = %d",
			l.Received, l.Released, l.Held, l.Pending, l.Quarantined, l.Dropped, l.Retried, total(l.Expired), l.Lost, sum)
	}
	return nil
}

func (l Ledger) accounted() uint64 {
	return l.Released + l.Held + l.Pending + l.Quarantined + l.Dropped + l.Retried + total(l.Expired) + l.Lost
}

func total(by map[string]uint64) (sum uint64) {
	for _, n := range by {
		sum += n
	}
	return sum
}

// square makes the ledger balance after damage to the state, which may have cost counts: records of which nothing is known
// any more count as lost. It is for Open; the next commit makes it last.
func (b *Buffer) square() {
	l, c := b.ledger(), &b.counters
	if err := l.Balance(); err != nil {
		b.log.Error("buffer lost count of its records", "err", err)
	}
	c.messages = c.kept + total(l.Discarded)
	c.lost += l.Received - min(l.Received, l.accounted())
	c.published -= min(c.published, l.accounted()-min(l.accounted(), l.Received))
}

const (
	reasonRepeat   = "repeat"    // a Mark that is known
	reasonNoRecord = "no_record" // a group that only changed state and did not say why

	maxDiscardReasons = 32
	reasonOther       = "other" // once there are so many
)

// expiryReasons are the reasons in the order in which the counters keep them.
var expiryReasons = [...]string{reasonSize, reasonAge, reasonQuarantineSize, reasonQuarantineAge}

// expire counts records that are given up.
func (c *counters) expire(reason string, records int) {
	c.expired[slices.Index(expiryReasons[:], reason)] += uint64(records)
}

func discardKey(reason string) string { return prefixDiscard + reason }

// discard counts a message that leaves no record behind.
func (bt *batch) discard(reason string) {
	key := discardKey(reason)
	n, _ := binary.Uvarint(bt.get(key))
	if n == 0 && len(bt.buffer.discarded) >= maxDiscardReasons {
		key = discardKey(reasonOther)
		n, _ = binary.Uvarint(bt.get(key))
	}
	bt.set(key, binary.AppendUvarint(nil, n+1))
}

// ledger is for callers that hold mu.
func (b *Buffer) ledger() Ledger {
	c := &b.counters
	l := Ledger{
		Messages: c.messages, Kept: c.kept, Discarded: maps.Clone(b.discarded),
		Received:    c.stored[Urgent] + c.stored[Normal] + c.stored[Quarantine] - c.fromLanes,
		Quarantined: c.quarantined, Dropped: c.dropped, Retried: c.retried, Expired: make(map[string]uint64), Lost: c.lost,
	}
	if l.Discarded == nil {
		l.Discarded = make(map[string]uint64)
	}
	if c.duplicates > 0 {
		l.Discarded[reasonRepeat] = c.duplicates
	}
	for i, n := range c.expired {
		if n > 0 {
			l.Expired[expiryReasons[i]] = n
		}
	}
	for lane := Urgent; lane < Quarantine; lane++ {
		l.Pending += c.stored[lane] - c.done[lane]
	}
	for _, g := range b.gaps { // their records wait for the mark to pass, but it is decided what becomes of them
		l.Pending -= min(l.Pending, g.records)
		l.Lost += g.records - min(g.records, g.kept)
	}
	l.Held = min(b.heldLocked(), c.published)
	l.Released = c.published - l.Held
	return l
}
