package control

import (
	"context"
	"fmt"

	"belfry/buffer"
)

// Verify implements Buffer. Reading checks the checksum of every record and that none is missing between two others.
func (f *Folder) Verify(ctx context.Context) (Verification, error) {
	before := f.Store.Stats()
	v := Verification{Damages: []Damage{}, SetAside: setAside(f.Dir), Segments: before.Segments}
	for lane := buffer.Urgent; lane <= buffer.Quarantine; lane++ {
		if err := f.verifyLane(ctx, lane, &v); err != nil {
			return v, fmt.Errorf("read lane %s: %w", laneNames[lane], err)
		}
	}
	return v, nil
}

func (f *Folder) verifyLane(ctx context.Context, lane buffer.Lane, v *Verification) error {
	for from := buffer.Seq(1); ; {
		records, err := f.Store.Read(lane, from, readAtOnce)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || len(records) == 0 {
			return err
		}
		for _, record := range records {
			v.Records++
			v.Bytes += uint64(len(record.Data))
			from = record.Seq + 1
		}
	}
}
