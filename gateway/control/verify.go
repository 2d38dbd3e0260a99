package control

import (
	"context"
	"fmt"

	"belfry/buffer"
)

// Verify implements Buffer.
func (f *Folder) Verify(ctx context.Context) (Verification, error) {
	v := Verification{Damages: []Damage{}, SetAside: setAside(f.Dir)}
	err := f.Store.Verify(ctx, func(found buffer.Finding) {
		if found.Err == nil {
			v.Segments++
			v.Records += found.Records
			v.Bytes += found.Bytes
			return
		}
		v.Damages = append(v.Damages, Damage{
			File: found.File, Lane: laneNames[found.Lane], First: found.First, Last: found.Last, Records: found.Records, Reason: found.Err.Error(),
		})
	})
	if err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	return v, nil
}
