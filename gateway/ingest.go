package gateway

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"belfry/buffer"
)

// Intake counts what one source handed over, since the start.
type Intake struct {
	Received   uint64 // uplinks
	Stored     uint64 // uplinks whose events are on disk
	Quarantine uint64 // uplinks that went to quarantine
	Duplicates uint64 // uplinks dropped as repeats
	Empty      uint64 // uplinks without a reading
	Failed     uint64 // uplinks that could not be held; their source delivers them again
}

// intake is the live form of Intake.
type intake struct {
	received, quarantine, duplicates, empty, failed, stored atomic.Uint64

	decoding atomic.Pointer[time.Time] // since when a batch is being decoded; nil when none is
}

func (i *intake) snapshot() Intake {
	return Intake{
		Received: i.received.Load(), Stored: i.stored.Load(), Quarantine: i.quarantine.Load(),
		Duplicates: i.duplicates.Load(), Empty: i.empty.Load(), Failed: i.failed.Load(),
	}
}

// held counts uplinks by what became of them; duplicates are those that the store knew by their marks. An empty one is a group
// all the same: the store's ledger counts it too.
func (i *intake) held(all []*Prepared, duplicates uint64) {
	quarantined, empty := uint64(0), uint64(0)
	for _, p := range all {
		switch {
		case p.Empty():
			empty++
		case p.discarded:
			duplicates++
		case p.Rejected() != nil:
			quarantined++
		}
	}
	i.duplicates.Add(duplicates)
	i.empty.Add(empty)
	i.quarantine.Add(quarantined)
	rest := uint64(len(all)) - empty - quarantined
	i.stored.Add(rest - min(duplicates, rest))
}

// errOvertakes keeps what comes after a failure from being held before it: the source delivers both again, in order.
var errOvertakes = errors.New("an earlier message could not be held")

// emit returns how a source hands its uplinks over: decoded here, on the source's goroutine, and built into records on
// the buffer's, where the state of their sensors is at hand.
func (g *Gateway) emit(source string) Emit {
	counts := g.intakes[source]
	failed := false // something of this run is not held; only the buffer's goroutine touches it
	return func(ctx context.Context, uplinks []Uplink, done func(error)) error {
		began := time.Now()
		groups := make([]buffer.Group, 0, len(uplinks)) // one for each
		all := make([]*Prepared, 0, len(uplinks))       // the same
		counts.decoding.Store(&began)
		for i := range uplinks {
			prepared := g.prepare(source, &uplinks[i])
			if prepared.Rejected() != nil {
				g.reportRejected(source, prepared)
			}
			all = append(all, prepared)
			mark, once := prepared.mark()
			groups = append(groups, buffer.Group{Mark: mark, Once: once, Hurry: uplinks[i].Hurry, Build: func(tx *buffer.Tx) error {
				if failed {
					return errOvertakes
				}
				return prepared.Build(tx)
			}})
		}
		counts.decoding.Store(nil)
		n := uint64(len(uplinks))
		counts.received.Add(n)
		err := g.Buffer.Append(ctx, groups, func(outcome buffer.Outcome, err error) {
			if err != nil {
				failed = true
				counts.failed.Add(n)
			} else {
				counts.held(all, uint64(outcome.Duplicates))
				g.observeHeld(time.Since(began))
			}
			done(err)
		})
		if err != nil {
			counts.failed.Add(n)
		}
		return err
	}
}

// prepare decodes an uplink. One over which this program stumbles goes to quarantine: it would come back for ever, and
// keep its source from all others.
func (g *Gateway) prepare(source string, uplink *Uplink) (prepared *Prepared) {
	defer func() {
		if cause := recover(); cause != nil {
			uplink.Fault = NewFault(cause)
			prepared = g.Normaliser.Prepare(source, uplink)
		}
	}()
	return g.Normaliser.Prepare(source, uplink)
}

// reportRejected logs the first rejected uplink of a source, stage and model in a minute; the others are counted. That is
// bounded however many sensors fail: a faulty model has one line, and all unknown devices of a source have one.
func (g *Gateway) reportRejected(source string, prepared *Prepared) {
	rejected := prepared.Rejected()
	if skipped, ok := g.rejections.allow(source + " " + rejected.Stage + " " + rejected.Model); ok {
		g.Log.Warn("quarantined an uplink", "source", source, "sensor", rejected.Sensor, "stage", rejected.Stage,
			"reason", rejected.Reason, "more", skipped)
	}
}
