package buffer

import (
	"fmt"
	"path/filepath"
	"time"
)

// maxTidySteps bounds how many segments are given up between two transactions of others.
const maxTidySteps = 4

// The reasons that Expired is given.
const (
	reasonSize           = "max_size"
	reasonAge            = "max_age"
	reasonQuarantineSize = "quarantine_size"
	reasonQuarantineAge  = "quarantine_age"
)

// tidy keeps the buffer within its limits. It is for the writer, after every transaction and every second.
func (b *Buffer) tidy() {
	if b.astray != nil {
		return
	}
	_ = b.rollover() // logged there
	b.refreshManifest()
	b.noteMarks()
	b.noteReleased()
	b.deleteReleased()
	if b.failing != nil {
		b.makeRoom()
		return // what follows needs transactions
	}
	for _, step := range []func() error{b.limitQuarantine, b.limitAge, b.limitSize, b.limitCarried} {
		if err := step(); err != nil {
			if !b.overLimits {
				b.log.Error("buffer cannot keep its limits", "err", err)
			}
			b.overLimits = true
			return
		}
	}
	b.overLimits = false
}

// noteMarks follows the marks with the age of what is not published yet.
func (b *Buffer) noteMarks() {
	for lane := Urgent; lane < Quarantine; lane++ {
		if b.counters.marks[lane] != b.seenMarks[lane] || b.counters.done[lane] == b.counters.stored[lane] {
			b.seenMarks[lane] = b.counters.marks[lane]
			b.findOldest(lane)
		}
	}
}

// released tells whether nothing in a segment waits to be published.
func (b *Buffer) released(s *segment) bool {
	if !s.Closed || s.newer || b.counters.done[Normal] < s.Ends[Normal] {
		return false
	}
	return b.counters.done[Urgent] >= s.Ends[Urgent] || b.info(s.Number).urgentGone
}

func (b *Buffer) noteReleased() {
	for _, s := range b.segments {
		if s.releasedAt.IsZero() && b.released(s) {
			s.releasedAt = time.Now()
		}
	}
}

// deletable lists the segments that may be deleted: never the newest two.
func (b *Buffer) deletable() []*segment {
	return b.segments[:max(0, len(b.segments)-2)]
}

func (b *Buffer) deleteReleased() {
	for _, s := range b.deletable() {
		if b.released(s) && !s.releasedAt.IsZero() && time.Since(s.releasedAt) >= max(0, b.options.Hold) {
			if err := b.delete(s); err != nil {
				return // as the disk is; it is tried again
			}
		}
	}
}

// makeRoom deletes what was only held, when the disk takes nothing more.
func (b *Buffer) makeRoom() {
	for _, s := range b.deletable() {
		if b.released(s) && b.info(s.Number).quarantined == 0 {
			b.removeSegment(s)
		}
	}
}

// delete carries what is in quarantine out of a segment and deletes it.
func (b *Buffer) delete(s *segment) error {
	for b.info(s.Number).quarantined > 0 {
		if err := b.carryQuarantine(s); err != nil {
			return err
		}
	}
	b.removeSegment(s)
	return nil
}

func (b *Buffer) bytes() int64 {
	var sum int64
	for _, s := range b.segments {
		sum += s.size
	}
	return sum
}

// limitSize deletes the oldest segments until all files fit: first what is only held, then what was never published.
func (b *Buffer) limitSize() error {
	room := b.options.MaxSize - int64(b.options.allocSize()) - maxBatchBytes
	room = max(room, b.options.MaxSize/2)
	for range maxTidySteps {
		if b.bytes() <= room {
			b.full = false
			return nil
		}
		s := b.oldestDeletable()
		if s == nil {
			b.full = b.options.Refuse
			return nil
		}
		if !b.released(s) {
			if b.options.Refuse {
				b.full = true
				return nil
			}
			if err := b.expire(s, reasonSize); err != nil {
				return err
			}
		}
		if err := b.delete(s); err != nil {
			return err
		}
	}
	return nil
}

func (b *Buffer) oldestDeletable() *segment {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range b.deletable() {
		if !s.newer && s.broken == nil {
			return s
		}
	}
	return nil
}

// limitAge gives up what was not published in time, by segment, counted from the end of the segment.
func (b *Buffer) limitAge() error {
	for i := 0; i < len(b.segments)-1; i++ {
		s, end := b.segments[i], b.segments[i+1].Created
		if b.running()-end <= b.options.MaxAge {
			return nil
		}
		if s.newer || b.released(s) {
			continue
		}
		if err := b.expire(s, reasonAge); err != nil {
			return err
		}
		b.noteReleased()
	}
	return nil
}

// expire gives up the observations of the oldest unpublished segment, and carries its urgent records to the newest.
func (b *Buffer) expire(s *segment, reason string) error {
	for b.counters.done[Normal] < s.Ends[Normal] {
		if err := b.expireNormal(s, reason); err != nil {
			return err
		}
	}
	for !b.released(s) {
		if err := b.carryUrgent(s); err != nil {
			return err
		}
	}
	b.log.Warn("buffer gave up a segment", "file", filepath.Base(s.path), "reason", reason)
	return nil
}

// expireNormal gives up one chunk of observations.
func (b *Buffer) expireNormal(s *segment, reason string) error {
	q := scan{
		bucket: bucketID(Normal), from: max(s.First, b.counters.marks[Normal]+1), to: s.Last,
		limit: maxBatchRecords, room: b.options.chunkBytes(),
	}
	done, err := s.collect(&q)
	if err != nil {
		b.readFailed(s, err) // it is repaired first
		return err
	}
	mark, ordinal := s.Last, s.Ends[Normal]
	if n := len(q.found); n > 0 && !done {
		mark, ordinal = q.found[n-1].Seq, q.found[n-1].ordinal
	}
	return b.commitOwn(func(tx *Tx) error {
		bt := tx.batch
		records := b.unrejected(q.found, bt.counters.marks[Normal])
		b.announce(tx, records, reason)
		var passed uint64
		bt.advance(Normal, max(mark, bt.counters.marks[Normal]), ordinal, &passed)
		bt.counters.expire(reason, len(records))
		bt.counters.lost += passed - min(passed, uint64(len(records)))
		bt.away(s.First, passed)
		return nil
	})
}

// unrejected returns the records that are not in quarantine already and not published.
func (b *Buffer) unrejected(found []stored, mark Seq) []Record {
	records := make([]Record, 0, len(found))
	for _, record := range found {
		g := gap{lane: record.Lane, first: record.Seq}
		if _, rejected := b.gaps[g.key()]; !rejected && record.Seq > mark {
			records = append(records, record.Record)
		}
	}
	return records
}

// announce tells Expired, and appends what it has to say.
func (b *Buffer) announce(tx *Tx, records []Record, reason string) {
	if b.options.Expired == nil || len(records) == 0 {
		return
	}
	var notices [][]byte
	err := runBuild(func(*Tx) error { notices = b.options.Expired(records, reason); return nil }, tx)
	if err != nil {
		b.log.Error("buffer gives up records unannounced", "reason", reason, "err", err)
	}
	for _, notice := range notices {
		tx.batch.append(Urgent, Mark{}, notice)
	}
}

// limitCarried gives up the oldest alarms when the carried ones take a quarter of the buffer.
func (b *Buffer) limitCarried() error {
	for range maxTidySteps {
		var bytes uint64
		for _, s := range b.segments {
			if i := b.info(s.Number); i.carriedLast > b.counters.marks[Urgent] && !i.urgentGone {
				bytes += i.carriedBytes
			}
		}
		if bytes <= uint64(b.options.MaxSize/4) {
			return nil
		}
		records, err := b.readCarried(b.counters.marks[Urgent]+1, maxBatchRecords)
		if err != nil || len(records) == 0 {
			return err
		}
		last := records[len(records)-1]
		err = b.commitOwn(func(tx *Tx) error {
			mark := tx.batch.counters.marks[Urgent]
			given := b.unrejected(records, mark)
			b.announce(tx, given, reasonSize)
			var passed uint64
			tx.batch.advance(Urgent, max(mark, last.Seq), last.ordinal, &passed)
			tx.batch.away(last.Seq, passed)
			tx.batch.counters.expire(reasonSize, len(given))
			tx.batch.counters.lost += passed - min(passed, uint64(len(given)))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// limitQuarantine gives up the oldest records in quarantine.
func (b *Buffer) limitQuarantine() error {
	for range maxTidySteps {
		over := int64(b.counters.quarantineBytes) - b.options.QuarantineSize
		old := b.running() - b.options.QuarantineAge
		if b.counters.quarantined == 0 || over <= 0 && b.quarantineSince > old {
			return nil
		}
		records, err := b.placedInQuarantine(0, ^Seq(0), maxBatchRecords)
		if err != nil || len(records) == 0 {
			return err
		}
		b.quarantineSince = records[0].at
		if over > 0 { // and a little more, so that it is not over again at once
			over += b.options.QuarantineSize / 20
		}
		n := 0
		for ; n < len(records) && (over > 0 || records[n].at <= old); n++ {
			over -= int64(len(records[n].Data))
		}
		if n == 0 {
			return nil
		}
		reason := reasonQuarantineAge
		if int64(b.counters.quarantineBytes) > b.options.QuarantineSize {
			reason = reasonQuarantineSize
		}
		if err := b.expireQuarantine(records[:n], reason); err != nil {
			return err
		}
	}
	return nil
}

func (b *Buffer) expireQuarantine(records []placed, reason string) error {
	b.quarantineSince = -1
	floor := records[len(records)-1].Seq
	return b.commitOwn(func(tx *Tx) error {
		bt := tx.batch
		b.announce(tx, plain(unplaced(records)), reason)
		for _, record := range records {
			bt.uncount(record)
		}
		for seq := range b.dropped {
			if seq <= floor {
				bt.set(dropKey(seq), nil)
			}
		}
		bt.counters.quarantineFloor = floor
		bt.counters.expire(reason, len(records))
		return nil
	})
}

// carryQuarantine copies one chunk of what is in quarantine to the newest segment.
func (b *Buffer) carryQuarantine(s *segment) error {
	i := b.info(s.Number)
	q := scan{
		bucket: bucketID(Quarantine), from: max(i.quarantineLeft, b.counters.quarantineFloor) + 1, to: s.Last,
		limit: maxBatchRecords, room: b.options.chunkBytes(), skip: b.droppedFrom(s.Number),
	}
	done, err := s.collect(&q)
	if err != nil {
		b.readFailed(s, err)
		return fmt.Errorf("carry quarantine: %w", err)
	}
	return b.commitOwn(func(tx *Tx) error {
		bt := tx.batch
		for _, record := range q.found {
			bt.stage(bucketID(Quarantine), record)
			bt.info.keptForOthers = true
			bt.info.quarantined++
			bt.info.quarantineBytes += uint64(len(record.Data))
		}
		i := bt.infoOf(s.Number)
		i.quarantined -= min(i.quarantined, uint64(len(q.found)))
		for _, record := range q.found {
			i.quarantineBytes -= min(i.quarantineBytes, uint64(len(record.Data)))
			i.quarantineLeft = record.Seq
		}
		if done { // what was counted and is not there was damaged
			bt.counters.lost += min(bt.counters.quarantined, i.quarantined)
			bt.counters.quarantined -= min(bt.counters.quarantined, i.quarantined)
			bt.counters.quarantineBytes -= min(bt.counters.quarantineBytes, i.quarantineBytes)
			i.quarantined, i.quarantineBytes, i.quarantineLeft = 0, 0, s.Last
		}
		bt.setInfo(s.Number, i)
		return nil
	})
}

// carryUrgent copies one chunk of unpublished urgent records to the newest segment.
func (b *Buffer) carryUrgent(s *segment) error {
	i := b.info(s.Number)
	from := max(i.urgentLeft, b.counters.marks[Urgent]) + 1
	q := scan{bucket: bucketCarried, from: from, to: min(i.carriedLast, s.Last), limit: maxBatchRecords, room: b.options.chunkBytes()}
	done, err := s.collect(&q)
	if err == nil && done {
		q.bucket, q.from, q.to = bucketID(Urgent), max(from, s.First), s.Last
		done, err = s.collect(&q)
	}
	if err != nil {
		b.readFailed(s, err)
		return fmt.Errorf("carry alarms: %w", err)
	}
	return b.commitOwn(func(tx *Tx) error {
		bt := tx.batch
		for _, record := range q.found {
			bt.stage(bucketCarried, record)
			bt.info.carried++
			bt.info.carriedBytes += uint64(len(record.Data))
			bt.info.carriedLast = max(bt.info.carriedLast, record.Seq)
		}
		i := bt.infoOf(s.Number)
		if n := len(q.found); n > 0 {
			i.urgentLeft = q.found[n-1].Seq
		}
		i.urgentGone = done
		bt.setInfo(s.Number, i)
		bt.arrivals = bt.arrivals || len(q.found) > 0
		return nil
	})
}
