package main

import (
	"context"
	"path/filepath"
	"time"
)

func init() {
	parts = append(parts, part{name: "server", about: "power cuts of the machine that NATS runs on", short: 20, long: 200, run: runServer})
}

func runServer(ctx context.Context, c *campaign, count int) (result, error) {
	if reason := noPowerCuts(c.dir); reason != "" {
		return result{skipped: reason}, nil
	}
	return rounds{name: "server", size: 10, workers: 2, run: serverRound}.do(ctx, c, count)
}

// serverSettings always have a hold: without one, what a server forgets is gone.
func serverSettings(r round) sceneSettings {
	s := killSettings(r)
	s.hold = 5 * time.Minute
	s.rate *= 2
	if r.random.IntN(2) == 0 {
		s.window = 2 * time.Minute
	}
	return s
}

func serverRound(ctx context.Context, r round) (found result, err error) {
	disk, err := newLoopDisk(r.dir, mountOptions[(int(r.campaign.seed)+r.number)%len(mountOptions)])
	if err != nil {
		return found, err
	}
	defer disk.close()
	s := &scene{campaign: r.campaign, name: r.name, dir: r.dir, settings: serverSettings(r), random: r.random}
	s.settings.store = filepath.Join(disk.at, "store")
	defer s.close()
	if err := s.open(ctx); err != nil {
		return found, err
	}
	if err := disk.sync(); err != nil { // the stream itself was made long ago
		return found, err
	}
	for range r.cases {
		if err := pause(ctx, between(r.random, 200*time.Millisecond, 1500*time.Millisecond)); err != nil {
			return found, err
		}
		if err := s.cutServer(ctx, disk, &found); err != nil {
			return found, err
		}
		found.cases++
		r.campaign.did(1)
	}
	return found, s.settle(ctx, &found)
}

// cutServer has the server lose what it has not synced, and in half of the cases the gateway is killed around that time.
func (s *scene) cutServer(ctx context.Context, disk *loopDisk, found *result) error {
	const before, during, after = 0, 1, 2
	killed := s.random.IntN(6)
	restart := func(when int) error {
		if killed != when {
			return nil
		}
		s.killGateway(found)
		return s.startGateway()
	}
	if err := restart(before); err != nil {
		return err
	}
	if err := disk.cut(); err != nil {
		return err
	}
	if s.random.IntN(2) == 0 { // it goes on for a moment with a disk that fails
		_ = pause(ctx, between(s.random, 0, 200*time.Millisecond))
	}
	s.nats.process.kill()
	if err := restart(during); err != nil {
		return err
	}
	if err := disk.restore(); err != nil {
		return err
	}
	_ = pause(ctx, between(s.random, 0, 300*time.Millisecond))
	if err := s.nats.start(); err != nil {
		return err
	}
	_ = pause(ctx, between(s.random, 0, 50*time.Millisecond))
	return restart(after)
}
