package buffer

import (
	"fmt"
	"log/slog"
	"time"
)

const (
	pageSize       = 4096
	minSegmentSize = 16 * pageSize
	segmentsPerMax = 4 // a buffer must be able to drop one segment and keep head, predecessor and one more

	maxBatchRecords = 256
	maxBatchBytes   = 1 << 20
	maxQueued       = 4096 // groups that wait for the writer
	maxReadBytes    = 4 << 20
	maxOpenSegments = 4 // closed segments kept open for reading

	failedPause   = time.Second // between attempts to write what nobody waits for
	tidyInterval  = time.Second // how often marks are committed and limits kept while nothing is appended
	clockInterval = time.Hour   // how much running time may be lost when nothing is committed
	defaultMax    = 1 << 30
	defaultAge    = 30 * 24 * time.Hour
	defaultHold   = 5 * time.Minute
	defaultDelay  = 250 * time.Millisecond
	defaultPiece  = 32 << 20
	defaultPeriod = 6 * time.Hour
)

// complete fills in the defaults and refuses what cannot work.
func (o Options) complete() (Options, error) {
	if o.Dir == "" {
		return o, fmt.Errorf("no folder given")
	}
	setDefault(&o.MaxSize, defaultMax)
	setDefault(&o.SegmentSize, min(defaultPiece, o.MaxSize/segmentsPerMax/2))
	setDefault(&o.MaxAge, defaultAge)
	setDefault(&o.Hold, defaultHold)
	setDefault(&o.CommitDelay, defaultDelay)
	setDefault(&o.SegmentAge, defaultPeriod)
	setDefault(&o.QuarantineSize, o.MaxSize/10)
	setDefault(&o.QuarantineAge, defaultAge)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.SegmentSize < minSegmentSize {
		return o, fmt.Errorf("segment size %d is below %d bytes", o.SegmentSize, int64(minSegmentSize))
	}
	if o.MaxSize < segmentsPerMax*o.SegmentSize {
		return o, fmt.Errorf("maximum size %d is below %d segments of %d bytes", o.MaxSize, segmentsPerMax, o.SegmentSize)
	}
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// allocSize is how much a segment file grows at a time. It is small, because bbolt refuses to grow when the file and
// this much more would pass its limit.
func (o Options) allocSize() int { return int(min(1<<20, o.SegmentSize/8)) &^ (pageSize - 1) }

// chunkBytes is about how much of a segment is carried or given up in one transaction.
func (o Options) chunkBytes() int { return int(min(maxBatchBytes, o.SegmentSize/4)) }

// maxGroupBytes bounds what one group may store, so that a batch always fits a segment.
func (o Options) maxGroupBytes() int { return int(o.SegmentSize / 2) }
