package buffer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Finding is what Verify found in one segment, or one thing that is wrong with it.
type Finding struct {
	File        string
	Lane        Lane   // of what is wrong with records
	First, Last Seq    // where that is
	Records     uint64 // intact ones; if something is wrong: those that are lost or damaged, 0 when that is not known
	Bytes       uint64 // of data in intact records
	Err         error  // what is wrong; nil for the summary of a segment
}

// verifyAtOnce is how many records are looked at in one transaction: it keeps the writer's from using pages again.
const verifyAtOnce = 2000

// Verify reads all records of all segments and calls report with what it finds. It repairs nothing, and disturbs nobody
// who uses the buffer meanwhile.
func (b *Buffer) Verify(ctx context.Context, report func(Finding)) error {
	segments, missing := b.toVerify()
	for _, e := range missing {
		report(Finding{File: e.fileName(), First: e.First, Last: e.Last, Err: b.whyUnread(e)})
	}
	for _, v := range segments {
		if err := v.run(ctx, report); err != nil {
			return err
		}
	}
	return nil
}

// whyUnread says why a segment that should be there was not opened.
func (b *Buffer) whyUnread(e entry) error {
	if size, err := fileSize(filepath.Join(b.options.Dir, e.fileName())); err == nil && size > 0 {
		return fmt.Errorf("%w: the file cannot be opened as it is; the gateway saves all that is intact in it when it starts, and keeps it as .bad", ErrCorrupt)
	}
	return fmt.Errorf("%w: the file is missing or empty", ErrCorrupt)
}

// toVerify lists the segments, and those that should be there and are not.
func (b *Buffer) toVerify() (segments []*verification, missing []entry) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range b.segments {
		e := entry{First: s.First, Starts: s.Starts, Last: s.Last, Ends: s.Ends} // the rest is the writer's
		segments = append(segments, &verification{segment: s, entry: e, newer: s.newer})
	}
	if !b.options.ReadOnly {
		return segments, nil // what was missing at the start is accounted for
	}
	m, err := readManifest(b.options.Dir)
	if err != nil {
		return segments, nil
	}
	for _, e := range m.Segments {
		if !slices.ContainsFunc(b.segments, func(s *segment) bool { return s.Number == e.Number }) {
			missing = append(missing, e)
		}
	}
	return segments, missing
}

// verification is the check of one segment as it was at one moment.
type verification struct {
	segment *segment
	entry   entry
	newer   bool
	intact  Finding
	faults  []Finding
}

func (v *verification) run(ctx context.Context, report func(Finding)) error {
	v.intact.File = filepath.Base(v.segment.path)
	if v.newer {
		report(Finding{File: v.intact.File, First: v.entry.First, Last: v.entry.Last, Err: errNewer})
		return nil
	}
	for bucket := range bucketSnapshot {
		err := v.bucket(ctx, bucket)
		switch {
		case errors.Is(err, errGone):
			return nil // released meanwhile
		case err != nil && !isDamage(err):
			return err
		case err != nil:
			v.fault(bucket, v.entry.First, v.entry.Last, 0, err)
		}
	}
	report(v.intact)
	for _, fault := range v.faults {
		report(fault)
	}
	return nil
}

func (v *verification) fault(bucket bucketID, first, last Seq, records uint64, err error) {
	lane := Urgent // of what is carried
	if bucket <= bucketID(Quarantine) {
		lane = Lane(bucket)
	}
	v.faults = append(v.faults, Finding{File: v.intact.File, Lane: lane, First: first, Last: last, Records: records, Err: err})
}

// bucket looks at all records of one bucket. Those of the forwarded lanes are numbered, so that it shows what is missing.
func (v *verification) bucket(ctx context.Context, bucket bucketID) error {
	numbered := bucket < bucketID(Quarantine)
	last := stored{}
	if numbered {
		last.ordinal, last.Seq = v.entry.Starts[bucket], v.entry.First-1
	}
	damaged := uint64(0) // since the last intact one
	look := func(record stored, err error) {
		if record.Seq > v.entry.Last && v.entry.Last >= v.entry.First {
			return // stored since we began
		}
		if err != nil {
			damaged++
			v.fault(bucket, record.Seq, record.Seq, 1, err)
			return
		}
		if missing := record.ordinal - last.ordinal - 1 - damaged; numbered && record.ordinal > last.ordinal+1+damaged {
			v.fault(bucket, last.Seq+1, record.Seq-1, missing, fmt.Errorf("%w: records are missing", ErrCorrupt))
		}
		v.intact.Records++
		v.intact.Bytes += uint64(len(record.Data))
		last, damaged = record, 0
	}
	for from, done := Seq(0), false; !done; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if from, done, err = v.segment.walkFrom(bucket, from, look); err != nil {
			return err
		}
	}
	if end := v.entry.Ends[min(bucket, bucketID(Quarantine))]; numbered && end > last.ordinal+damaged {
		v.fault(bucket, last.Seq+1, v.entry.Last, end-last.ordinal-damaged, fmt.Errorf("%w: records are missing", ErrCorrupt))
	}
	return nil
}

// walkFrom calls look with some records of a bucket from a number on, and returns where to go on.
func (s *segment) walkFrom(bucket bucketID, from Seq, look func(stored, error)) (next Seq, done bool, err error) {
	next = from
	err = s.view(func(tx *bolt.Tx) error {
		records := tx.Bucket(bucketNames[bucket])
		if records == nil {
			return fmt.Errorf("%w: no bucket %s", ErrCorrupt, bucketNames[bucket])
		}
		cursor := records.Cursor()
		k, value := cursor.Seek(binary.BigEndian.AppendUint64(nil, uint64(from)))
		for range verifyAtOnce {
			if k == nil {
				done = true
				return nil
			}
			if len(k) != 8 || Seq(binary.BigEndian.Uint64(k)) < next {
				return fmt.Errorf("%w: key %x is out of order", ErrCorrupt, k)
			}
			record, err := s.unsealAt(bucket, k, value)
			record.Seq = Seq(binary.BigEndian.Uint64(k))
			look(record, err)
			next = record.Seq + 1
			k, value = cursor.Next()
		}
		return nil
	})
	return next, done, err
}
