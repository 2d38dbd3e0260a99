package buffer

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// staged is a sealed record on its way to a bucket.
type staged struct {
	bucket bucketID
	seq    Seq
	value  []byte
}

// batch collects in memory what one transaction will write. Nothing of it counts before that is on disk, so a failed
// transaction is forgotten by starting another batch.
type batch struct {
	buffer   *Buffer
	segment  *segment // whose transaction it is; part of the checksums
	at       time.Duration
	counters counters
	info     info // of segment
	records  []staged
	bytes    int
	arrivals bool // there are records for Urgent or Normal
	arena    arena

	overlay map[string][]byte // changed state; nil: gone
	order   []string          // its keys in the order of their first change
	undo    []change          // what the current group changed in overlay
	marks   []Mark
	fresh   map[markPlace]Mark // the newest of each place

	damages int   // how many of the damages that readers found it accounts for
	gaps    []gap // that these made
}

// change is the former value of a key of the overlay.
type change struct {
	key     string
	value   []byte
	present bool
}

// savepoint is where a batch returns to when a group fails.
type savepoint struct {
	counters              counters
	info                  info
	records, bytes, marks int
	arrivals              bool
	arena                 arenaPosition
}

// start empties the batch and bases it on the committed state.
func (bt *batch) start(b *Buffer, s *segment) {
	bt.buffer, bt.segment, bt.at = b, s, b.running()
	bt.counters = b.counters
	bt.counters.running = bt.at
	bt.info = b.info(s.Number)
	clear(bt.records)
	bt.records, bt.bytes, bt.arrivals = bt.records[:0], 0, false
	bt.arena.reset()
	if bt.overlay == nil {
		bt.overlay, bt.fresh = make(map[string][]byte), make(map[markPlace]Mark)
	}
	clear(bt.overlay)
	clear(bt.fresh)
	bt.order, bt.undo, bt.marks = bt.order[:0], bt.undo[:0], bt.marks[:0]
	bt.gaps = bt.gaps[:0]
	if !b.staleManifest { // a restart would want to know what became of a segment that the manifest names
		bt.forget(b.forgotten)
	}
}

// forget drops the state that belongs to segments that are gone.
func (bt *batch) forget(numbers []uint32) {
	for _, number := range numbers {
		bt.set(infoKey(number), nil)
		for seq, of := range bt.buffer.dropped {
			if of == number {
				bt.set(dropKey(seq), nil)
			}
		}
	}
}

func (bt *batch) full() bool { return len(bt.records) >= maxBatchRecords || bt.bytes >= maxBatchBytes }

// changed says that there is something worth a transaction.
func (bt *batch) changed() bool {
	before := bt.buffer.counters
	if bt.buffer.failing != nil || bt.at-before.running > clockInterval {
		return true // to see whether it works again; to keep the running time
	}
	before.running = bt.counters.running
	return len(bt.records) > 0 || len(bt.order) > 0 || bt.counters != before
}

// seal finishes the batch: what is written with every transaction goes into the state.
func (bt *batch) seal() {
	if bt.info != bt.buffer.info(bt.segment.Number) {
		bt.set(infoKey(bt.segment.Number), bt.info.encode())
	}
	bt.set(keyCounters, bt.counters.encode(nil))
}

// build runs one group. Of a group that fails nothing stays.
func (bt *batch) build(i *item) (Outcome, error) {
	g := &i.group
	marked := g.Mark != Mark{}
	if marked && !g.Once {
		delete(bt.fresh, g.Mark.place())
		bt.buffer.recent.leave(g.Mark)
	}
	if marked && g.Once && bt.repeated(g.Mark) {
		bt.counters.messages++
		bt.counters.duplicates++
		return Outcome{Duplicates: 1}, nil
	}
	before := savepoint{bt.counters, bt.info, len(bt.records), bt.bytes, len(bt.marks), bt.arrivals, bt.arena.position()}
	bt.undo = bt.undo[:0]
	tx := &Tx{batch: bt, mark: g.Mark, given: g.Mark, discarded: reasonNoRecord}
	err := runBuild(g.Build, tx)
	tx.batch = nil
	if err == nil {
		err = tx.err
	}
	if err != nil {
		bt.rollback(before)
		return Outcome{}, err
	}
	if tx.given != (Mark{}) && len(bt.records) > before.records {
		bt.marks = append(bt.marks, tx.given)
		bt.fresh[tx.given.place()] = tx.given
	}
	stored := len(bt.records) > before.records
	if !i.internal {
		bt.counters.messages++
		if stored {
			bt.counters.kept++
		} else {
			bt.discard(tx.discarded)
		}
	}
	if !stored {
		return Outcome{}, nil
	}
	return Outcome{Stored: 1}, nil
}

// repeated tells whether a mark is the newest of its place.
func (bt *batch) repeated(mark Mark) bool {
	if newest, ok := bt.fresh[mark.place()]; ok {
		return newest == mark
	}
	return bt.buffer.recent.has(mark)
}

func runBuild(build func(tx *Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("build of a group panicked: %v", p)
		}
	}()
	if build == nil {
		return errors.New("group without Build")
	}
	return build(tx)
}

func (bt *batch) rollback(to savepoint) {
	bt.counters, bt.info, bt.bytes, bt.arrivals = to.counters, to.info, to.bytes, to.arrivals
	bt.records = bt.records[:to.records]
	bt.marks = bt.marks[:to.marks]
	bt.arena.back(to.arena)
	for i := len(bt.undo) - 1; i >= 0; i-- {
		was := bt.undo[i]
		if was.present {
			bt.overlay[was.key] = was.value
			continue
		}
		delete(bt.overlay, was.key)
		bt.order = bt.order[:len(bt.order)-1]
	}
	bt.undo = bt.undo[:0]
}

// get returns the value of a key as the batch sees it.
func (bt *batch) get(key string) []byte {
	if value, ok := bt.overlay[key]; ok {
		return value
	}
	return bt.buffer.state[key]
}

// set changes a key. The value is kept, not copied.
func (bt *batch) set(key string, value []byte) {
	old, present := bt.overlay[key]
	bt.undo = append(bt.undo, change{key, old, present})
	if !present {
		bt.order = append(bt.order, key)
	}
	bt.overlay[key] = value
}

// infoOf returns the info of any segment as the batch sees it; setInfo changes it.
func (bt *batch) infoOf(number uint32) info {
	if number == bt.segment.Number {
		return bt.info
	}
	return decodeInfo(bt.get(infoKey(number)))
}

func (bt *batch) setInfo(number uint32, i info) {
	if number == bt.segment.Number {
		bt.info = i
		return
	}
	bt.set(infoKey(number), i.encode())
}

// append stores a new record.
func (bt *batch) append(lane Lane, mark Mark, data []byte) Seq {
	bt.counters.lastSeq++
	bt.counters.stored[lane]++
	if lane == Quarantine {
		bt.counters.moved++
		bt.counters.quarantined++
		bt.counters.quarantineBytes += uint64(len(data))
		bt.info.quarantined++
		bt.info.quarantineBytes += uint64(len(data))
	} else {
		bt.arrivals = true
	}
	record := Record{Seq: bt.counters.lastSeq, Lane: lane, Mark: mark, Data: data}
	bt.stage(bucketID(lane), stored{record, bt.counters.stored[lane], bt.at})
	return record.Seq
}

// stage seals a record for a bucket.
func (bt *batch) stage(bucket bucketID, s stored) {
	chunk := bt.arena.room(maxOverhead + len(s.Data))
	start := len(*chunk)
	*chunk = seal(*chunk, place{bt.segment.uuid, bucket, uint64(s.Seq)}, s)
	value := (*chunk)[start:]
	bt.records = append(bt.records, staged{bucket, s.Seq, value})
	bt.bytes += len(value)
}

// logEntry returns all state changes in the form in which they are written.
func (bt *batch) logEntry(dst []byte) []byte {
	for _, key := range bt.order {
		dst = appendChange(dst, key, bt.overlay[key])
	}
	return dst
}

func isInternal(key string) bool { return strings.HasPrefix(key, internalPrefix) }
