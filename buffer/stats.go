package buffer

import "time"

// Stats returns the state of the buffer at this moment.
func (b *Buffer) Stats() Stats {
	b.mu.RLock()
	defer b.mu.RUnlock()
	c := &b.counters
	ledgerOf := b.ledger()
	s := Stats{
		Quarantined:      c.quarantined,
		Appended:         c.stored[Urgent] + c.stored[Normal],
		Published:        c.published,
		QuarantinedTotal: c.moved,
		Expired:          total(ledgerOf.Expired),
		Ledger:           ledgerOf,
		Duplicates:       c.duplicates,
		Damaged:          b.damaged,
		Commits:          b.commits,
		CommitBytes:      b.commitBytes,
		CommitTime:       b.commitTime,
		Bytes:            b.bytes(),
		MaxBytes:         b.options.MaxSize,
		Segments:         len(b.segments),
		LastSeq:          c.lastSeq,
		LastCommit:       b.lastCommit,
		Alive:            b.opened.Add(time.Duration(b.alive.Load())),
		Failing:          b.failing,
		SetAside:         b.aside,
		SetAsideBytes:    b.asideBytes,
	}
	for lane := range s.Pending {
		s.Pending[lane] = c.stored[lane] - c.done[lane]
		if since := b.oldest[lane]; since >= 0 && s.Pending[lane] > 0 {
			s.Oldest = max(s.Oldest, b.running()-since)
		}
	}
	s.Held = b.heldLocked()
	return s
}

// heldLocked counts the published records that are still on disk.
func (b *Buffer) heldLocked() uint64 {
	if len(b.segments) == 0 {
		return 0
	}
	var held, away uint64
	oldest := b.segments[0]
	for lane, done := range b.counters.done {
		held += done - min(done, oldest.Starts[lane])
	}
	for _, s := range b.segments {
		away += b.info(s.Number).away
	}
	return held - min(held, away)
}
