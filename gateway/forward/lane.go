package forward

import (
	"time"

	"belfry/buffer"
	"belfry/gateway/event"
)

const (
	maxWaiting  = 4096    // records read ahead in a lane
	maxBytes    = 8 << 20 // of them
	maxSpan     = 1 << 17 // records between the oldest that waits and the newest that was read
	readAtOnce  = 512
	guessedSize = 16 << 10 // of the largest record, before one was seen
	readRetry   = time.Second
)

// lane is what was read ahead of one lane of the store.
type lane struct {
	lane    buffer.Lane
	next    buffer.Seq  // to read
	places  fifo[place] // every record read and not yet told to the store, in order
	popped  uint64      // places that are gone
	told    buffer.Seq  // to the store
	waiting int         // items with their data in memory
	bytes   int         // of them
	largest int         // record of the last read, to guess the next
	drained bool        // nothing more until the store says so
	retryAt time.Time   // after a read error
}

// place is a record's place in its lane; item is nil once it is dealt with.
type place struct {
	seq  buffer.Seq
	item *item
}

// room says how many records may be read now, 0 when it is not worth it.
func (l *lane) room() int {
	byCount := min(maxWaiting-l.waiting, maxSpan-l.places.len())
	if byCount < readAtOnce || l.bytes > maxBytes/2 {
		return 0
	}
	return max(1, min(readAtOnce, (maxBytes-l.bytes)/l.largest))
}

func (l *lane) add(it *item) {
	it.at = l.popped + uint64(l.places.len())
	it.size = len(it.record.Data)
	l.places.push(place{it.record.Seq, it})
	l.waiting++
	l.bytes += it.size
}

// leaveOnDisk forgets an item's data for now, so that it takes no room from others.
func (l *lane) leaveOnDisk(it *item) {
	l.waiting--
	l.bytes -= it.size
	it.size, it.record.Data, it.body = 0, nil, nil
}

func (l *lane) finish(it *item) {
	if it.record.Data != nil {
		l.waiting--
		l.bytes -= it.size
	}
	l.places.at(int(it.at - l.popped)).item = nil
}

// advance drops the places at the front that are dealt with and returns the last of them.
func (l *lane) advance() (upTo buffer.Seq, moved bool) {
	for l.places.len() > 0 && l.places.peek().item == nil {
		upTo, moved = l.places.pop().seq, true
		l.popped++
	}
	return upTo, moved
}

// fill reads ahead in both lanes.
func (f *forwarder) fill() {
	if !f.mayPublish() {
		return
	}
	for i := range f.lanes {
		l := &f.lanes[i]
		for !l.drained && !l.retryAt.After(f.now) {
			room := l.room()
			if room == 0 {
				break
			}
			f.readAhead(l, room)
		}
	}
}

func (f *forwarder) readAhead(l *lane, limit int) {
	records, err := f.store.Read(l.lane, l.next, limit)
	if err != nil {
		f.readErrors.Add(1)
		f.status.read = err
		l.retryAt = f.now.Add(readRetry)
		return
	}
	f.status.read = nil
	l.drained = len(records) == 0
	if !l.drained {
		l.largest = 1
	}
	for _, record := range records {
		l.next = record.Seq + 1
		l.largest = max(l.largest, len(record.Data))
		f.admit(l, record)
	}
}

// admit queues one record on its subject.
func (f *forwarder) admit(l *lane, record buffer.Record) {
	it := &item{record: record}
	it.record.Lane = l.lane
	l.add(it)
	parsed, err := event.ParseRecord(record.Data)
	if err == nil {
		err = checkSubject(parsed.Subject)
	}
	if err != nil {
		f.reject(it, err.Error())
		return
	}
	s := f.subject(parsed.Subject)
	it.id, it.body, it.subject = parsed.ID, parsed.Body, s
	s.queue.push(it)
	switch {
	case s.state == idle:
		f.skipStored(s)
		f.list(s)
	case s.problem != nil:
		l.leaveOnDisk(it)
	}
}

// fetch reads an item's data again that was left on disk. It returns false when the store no longer has it.
func (f *forwarder) fetch(it *item) (bool, error) {
	if it.record.Data != nil {
		return true, nil
	}
	records, err := f.store.Read(it.record.Lane, it.record.Seq, 1)
	if err != nil || len(records) == 0 || records[0].Seq != it.record.Seq {
		return false, err
	}
	parsed, err := event.ParseRecord(records[0].Data)
	if err != nil {
		return false, nil // it was readable before: the store has set it aside
	}
	l := &f.lanes[it.record.Lane]
	it.record.Data, it.body, it.size = records[0].Data, parsed.Body, len(records[0].Data)
	l.waiting++
	l.bytes += it.size
	return true, nil
}
