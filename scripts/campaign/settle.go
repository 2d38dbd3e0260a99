package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
)

const (
	quietFor  = 300 * time.Millisecond // how long a stream has not grown when it is looked at
	lookEvery = 30 * time.Millisecond
)

// settle ends sending, starts the gateway for the last time, waits until nothing is missing or nothing more comes, and
// says what is wrong. The gateway and NATS must run.
func (s *scene) settle(ctx context.Context, r *result) error {
	if err := s.sender.stop(); err != nil {
		return err
	}
	s.foreign.close()
	s.stopGateway(r)
	if err := s.startGateway(); err != nil {
		return err
	}
	want := s.sender.expected()
	connection, js, err := s.nats.client()
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := s.waitQuiet(ctx, js, want); err != nil {
		return err
	}
	s.stopGateway(r)
	all, err := readStream(ctx, js)
	if err != nil {
		return err
	}
	s.campaign.log.Debug("settled", "scene", s.name, "sent", want.messages(), "spoilt", want.spoilt, "streamed", len(all))
	r.add(want.judge(all, s.name))
	s.judgeBuffer(r, want)
	return nil
}

var errSilent = errors.New("the stream cannot be looked at")

// waitQuiet returns when everything is on the stream, or when it has not grown for as long as the campaign has patience.
func (s *scene) waitQuiet(ctx context.Context, js jetstream.JetStream, want expected) error {
	var last uint64
	grown, looked := time.Now(), false
	for {
		now, err := newest(ctx, js)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && time.Since(grown) > s.campaign.patience+startLimit:
			return errors.Join(errSilent, err)
		case err == nil && now != last:
			last, grown, looked = now, time.Now(), false
		case err == nil && time.Since(grown) > s.campaign.patience, !s.gateway.running():
			return nil
		case err == nil && time.Since(grown) > quietFor && !looked:
			looked = true
			all, err := readStream(ctx, js)
			if err != nil {
				return err
			}
			if found := want.judge(all, s.name); found.lost == 0 {
				return nil
			}
		}
		if err := pause(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// judgeBuffer looks at what the gateway left on its disk: every spoilt message in quarantine, nothing to be published, and
// a ledger that balances.
func (s *scene) judgeBuffer(r *result, want expected) {
	store, err := buffer.Open(buffer.Options{Dir: s.settings.data, ReadOnly: true})
	if err != nil {
		r.find(&r.unexplained, "%s: open the buffer at the end: %v", s.name, err)
		return
	}
	defer store.Close()
	stats := store.Stats()
	if err := stats.Ledger.Balance(); err != nil {
		r.find(&r.unexplained, "%s: the ledger does not balance: %v", s.name, err)
	}
	if l := stats.Ledger; l.Pending > 0 || l.Lost > 0 || len(l.Expired) > 0 || stats.Damaged > 0 {
		r.find(&r.unexplained, "%s: the ledger has %d pending, %d lost, %v expired; %d records are damaged", s.name, l.Pending, l.Lost, l.Expired, stats.Damaged)
	}
	if stats.Quarantined != uint64(want.spoilt) {
		counter := &r.lost
		if stats.Quarantined > uint64(want.spoilt) {
			counter = &r.twice
		}
		r.find(counter, "%s: %d messages in quarantine, want the %d that were spoilt", s.name, stats.Quarantined, want.spoilt)
	}
}
