package forward

import (
	"time"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/event"
)

const (
	maxWaiting  = 4096    // records read ahead in a lane
	maxBytes    = 8 << 20 // of them
	maxOpen     = 1 << 17 // records that wait, in memory or on disk
	maxAhead    = 64      // records of one subject in memory: one at a time is in flight, the others must not take all room
	readAtOnce  = 512
	guessedSize = 16 << 10 // of the largest record, before one was seen
	readRetry   = time.Second
)

// lane is what was read ahead of one lane of the store.
type lane struct {
	lane    buffer.Lane
	next    buffer.Seq // to read
	first   *item      // of those read and not dealt with, a list in order
	last    *item
	open    int        // how many they are
	told    buffer.Seq // to the store
	waiting int        // items with their data in memory
	bytes   int        // of them
	largest int        // record of the last read, to guess the next
	drained bool       // nothing more until the store says so
	retryAt time.Time  // after a read error
}

// room says how many records may be read now, 0 when it is not worth it.
func (l *lane) room() int {
	byCount := min(maxWaiting-l.waiting, maxOpen-l.open)
	if byCount < readAtOnce || l.bytes > maxBytes/2 {
		return 0
	}
	return max(1, min(readAtOnce, (maxBytes-l.bytes)/l.largest))
}

func (l *lane) add(it *item) {
	it.size = len(it.record.Data)
	if it.before = l.last; l.last != nil {
		l.last.after = it
	} else {
		l.first = it
	}
	l.last = it
	l.open++
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
	if it.before != nil {
		it.before.after = it.after
	} else {
		l.first = it.after
	}
	if it.after != nil {
		it.after.before = it.before
	} else {
		l.last = it.before
	}
	it.before, it.after = nil, nil
	l.open--
}

// advance returns up to where all that was read is dealt with.
func (l *lane) advance() buffer.Seq {
	if l.first != nil {
		return l.first.record.Seq - 1
	}
	return l.next - 1
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

// parse reads what a record is and where it goes. One over which this program stumbles must not come back for ever.
func parse(data []byte) (record event.Record, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = gateway.NewFault(cause)
		}
	}()
	if record, err = event.ParseRecord(data); err == nil {
		err = checkSubject(record.Subject)
	}
	return record, err
}

// admit queues one record on its subject.
func (f *forwarder) admit(l *lane, record buffer.Record) {
	it := &item{record: record}
	it.record.Lane = l.lane
	l.add(it)
	parsed, err := parse(record.Data)
	if err != nil {
		f.reject(it, err.Error())
		return
	}
	s := f.subject(parsed.Subject)
	it.id, it.body, it.subject = parsed.ID, parsed.Body, s
	s.queue.push(it)
	switch {
	case s.state == idle:
		f.list(s)
	case s.problem != nil || s.queue.len() > maxAhead:
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
