package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

// rounds are how a part spreads its cases: each round begins with an empty folder and nothing that runs.
type rounds struct {
	name    string
	size    int // cases in a round
	workers int // rounds at the same time
	// run tries cases and settles. It may end early when ctx does.
	run func(ctx context.Context, r round) (result, error)
}

// round is one of them.
type round struct {
	campaign *campaign
	name     string // in findings
	number   int
	dir      string // empty; kept when something was found
	cases    int
	random   *rand.Rand
}

// do runs as many rounds as it takes.
func (o rounds) do(ctx context.Context, c *campaign, count int) (total result, failed error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := max((count+o.size-1)/o.size, min(o.workers, count)) // of about the same size
	var mu sync.Mutex
	next := 0
	take := func() (number, cases int) {
		mu.Lock()
		defer mu.Unlock()
		if next == all || ctx.Err() != nil || total.faults() >= enoughFound {
			return next, 0
		}
		next++
		return next - 1, count*next/all - count*(next-1)/all
	}
	var running sync.WaitGroup
	for range o.workers {
		running.Go(func() {
			for {
				number, cases := take()
				if cases == 0 {
					return
				}
				r, err := o.one(ctx, c, number, cases)
				mu.Lock()
				total.add(r)
				if err != nil && failed == nil && ctx.Err() == nil {
					failed = err
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return total, failed
}

func (o rounds) one(ctx context.Context, c *campaign, number, cases int) (result, error) {
	dir := filepath.Join(c.dir, fmt.Sprintf("%s-%d-%d", o.name, c.seed, number))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return result{}, err
	}
	found, err := o.run(ctx, round{
		campaign: c, name: fmt.Sprintf("%s, seed %d, round %d", o.name, c.seed, number), number: number, dir: dir, cases: cases,
		random: rand.New(rand.NewPCG(c.seed, uint64(number))),
	})
	if err != nil {
		found.cases = 0 // nobody has looked at what came of them
	}
	switch {
	case found.faults() > 0:
		found.details = append(found.details, "its folder is "+dir)
	case err != nil && ctx.Err() == nil:
		return found, fmt.Errorf("%s, round %d in %s: %w", o.name, number, dir, err)
	default:
		if removed := os.RemoveAll(dir); err == nil {
			err = removed
		}
	}
	return found, err
}
