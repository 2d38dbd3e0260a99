package main

import (
	"context"
	"path/filepath"
	"time"
)

func init() {
	parts = append(parts, part{name: "box", about: "power cuts of the box that the gateway runs on", short: 50, long: 1000, run: runBox})
}

func runBox(ctx context.Context, c *campaign, count int) (result, error) {
	if reason := noPowerCuts(c.dir); reason != "" {
		return result{skipped: reason}, nil
	}
	return rounds{name: "box", size: 25, workers: 2, run: boxRound}.do(ctx, c, count)
}

func boxRound(ctx context.Context, r round) (found result, err error) {
	disk, err := newLoopDisk(r.dir, mountOptions[(int(r.campaign.seed)+r.number)%len(mountOptions)])
	if err != nil {
		return found, err
	}
	defer disk.close()
	s := &scene{campaign: r.campaign, name: r.name, dir: r.dir, settings: killSettings(r), random: r.random}
	s.settings.data = filepath.Join(disk.at, "data")
	defer s.close()
	if err := s.open(ctx); err != nil {
		return found, err
	}
	w := startWeather(ctx, s.nats, s.settings.hold > 0, fork(r.random))
	defer w.calm()
	for range r.cases {
		if err := pause(ctx, between(r.random, 50*time.Millisecond, 600*time.Millisecond)); err != nil {
			return found, err
		}
		if err := disk.cut(); err != nil {
			return found, err
		}
		if r.random.IntN(2) == 0 { // what it acknowledges from now on is not on a disk
			_ = pause(ctx, between(r.random, 0, 100*time.Millisecond))
		}
		if err := s.killAfterCut(&found); err != nil {
			return found, err
		}
		if err := disk.restore(); err != nil {
			return found, err
		}
		found.cases++
		r.campaign.did(1)
		if err := s.startGateway(); err != nil {
			return found, err
		}
	}
	if err := w.calm(); err != nil {
		return found, err
	}
	return found, s.settle(ctx, &found)
}
