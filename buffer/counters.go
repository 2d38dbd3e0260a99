package buffer

import (
	"encoding/binary"
	"time"
)

// counters are the numbers that every commit writes, so that the newest log entry alone restores them.
type counters struct {
	lastSeq    Seq
	running    time.Duration // sum of the times that processes had the buffer open
	stored     [3]uint64     // records ever stored, by lane: the ordinal of the newest
	marks      [2]Seq        // published (or given up) up to here
	done       [2]uint64     // ordinal of the newest record up to the mark
	published  uint64
	duplicates uint64
	moved      uint64 // records ever put into quarantine, whatever lane they were in before
	fromLanes  uint64 // of them: those that were in another lane before

	quarantineFloor Seq // what is in quarantine up to here was given up
	quarantined     uint64
	quarantineBytes uint64

	messages, kept   uint64 // see Ledger
	dropped, retried uint64
	lost             uint64
	expired          [len(expiryReasons)]uint64
}

// fields lists the numbers in the order in which they are stored. New ones go to the end.
func (c *counters) fields() []*uint64 {
	return []*uint64{
		(*uint64)(&c.lastSeq),
		&c.stored[0], &c.stored[1], &c.stored[2],
		(*uint64)(&c.marks[0]), (*uint64)(&c.marks[1]), &c.done[0], &c.done[1],
		&c.published, &c.duplicates, &c.moved, &c.fromLanes,
		(*uint64)(&c.quarantineFloor), &c.quarantined, &c.quarantineBytes,
		&c.messages, &c.kept, &c.dropped, &c.retried, &c.lost,
		&c.expired[0], &c.expired[1], &c.expired[2], &c.expired[3],
	}
}

// encode appends the running time in milliseconds, the number of fields, and the fields.
func (c *counters) encode(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.running/time.Millisecond))
	fields := c.fields()
	dst = binary.AppendUvarint(dst, uint64(len(fields)))
	for _, field := range fields {
		dst = binary.AppendUvarint(dst, *field)
	}
	return dst
}

// decode reads what encode wrote, also by a version with more or fewer fields, and reports whether it could.
func (c *counters) decode(data []byte) bool {
	d := decoder{data: data}
	running := time.Duration(d.uvarint()) * time.Millisecond
	n := d.uvarint()
	read := counters{running: running}
	for _, field := range read.fields()[:min(n, uint64(len(read.fields())))] {
		*field = d.uvarint()
	}
	if d.failed {
		return false
	}
	*c = read
	return true
}

// decoder reads numbers and strings one after the other and remembers when something was missing.
type decoder struct {
	data   []byte
	failed bool
}

func (d *decoder) uvarint() uint64 {
	value, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.failed, d.data = true, nil
		return 0
	}
	d.data = d.data[n:]
	return value
}

// bytes returns the next n bytes, not copied.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.data)) {
		d.failed, d.data = true, nil
		return nil
	}
	value := d.data[:n:n]
	d.data = d.data[n:]
	return value
}
