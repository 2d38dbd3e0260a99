package main

import (
	"context"
	"time"
)

func init() {
	parts = append(parts, part{name: "kill", about: "SIGKILL of the gateway at random moments", short: 200, long: 2000, run: runKill})
}

func runKill(ctx context.Context, c *campaign, count int) (result, error) {
	if reason := noBroker(); reason != "" {
		return result{skipped: reason}, nil
	}
	return rounds{name: "kill", size: 50, workers: 2, run: killRound}.do(ctx, c, count)
}

// killSettings vary from round to round and from seed to seed, so that each of the values is met in a short campaign too.
func killSettings(r round) sceneSettings {
	n := r.number + int(r.campaign.seed%1000)
	return sceneSettings{
		sensors:     []int{4, 40, 15, 100}[n%4],
		rate:        200 + r.random.IntN(300),
		inFlight:    []int{20, 1000, 20, 200}[n%4],
		window:      []time.Duration{100 * time.Millisecond, time.Second, 300 * time.Millisecond}[n%3],
		hold:        []time.Duration{5 * time.Minute, 5 * time.Minute, 0}[n%3],
		commitDelay: []time.Duration{250 * time.Millisecond, 20 * time.Millisecond}[n/2%2],
		foreign:     n%2 == 0,
		forgetful:   n%4 < 2,
	}
}

func killRound(ctx context.Context, r round) (found result, err error) {
	s := &scene{campaign: r.campaign, name: r.name, dir: r.dir, settings: killSettings(r), random: r.random}
	defer s.close()
	if err := s.open(ctx); err != nil {
		return found, err
	}
	w := startWeather(ctx, s.nats, s.settings.hold > 0, fork(r.random))
	defer w.calm()
	for range r.cases {
		life := between(r.random, 20*time.Millisecond, 400*time.Millisecond)
		if r.random.IntN(10) == 0 {
			life *= 4
		}
		if err := pause(ctx, life); err != nil {
			return found, err
		}
		s.killGateway(&found)
		found.cases++
		r.campaign.did(1)
		if r.random.IntN(5) == 0 {
			_ = pause(ctx, between(r.random, 0, 100*time.Millisecond))
		}
		if err := s.startGateway(); err != nil {
			return found, err
		}
	}
	if err := w.calm(); err != nil {
		return found, err
	}
	return found, s.settle(ctx, &found)
}
