package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	mutantAttempts = 8
	mutantPatience = 4 * time.Second
)

// tryMutants shows that each mutant is noticed, and says whether it is so.
func tryMutants(ctx context.Context, c *campaign, source string, report *report) (caught bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	built := buildMutants(ctx, c.dir, source)
	defer func() {
		cancel()
		for b := range built { // until the last build has ended
			_ = os.RemoveAll(b.dir)
		}
	}()
	caught = true
	for b := range built {
		if b.err != nil {
			return false, b.err
		}
		one, err := b.try(ctx, c, report)
		_ = os.RemoveAll(b.dir)
		if err != nil || ctx.Err() != nil {
			return false, err
		}
		caught = caught && one
	}
	return caught, nil
}

// builtMutant is a mutant whose programs are in a folder.
type builtMutant struct {
	mutant
	dir string
	err error
}

// buildMutants builds one while the one before is tried.
func buildMutants(ctx context.Context, dir, source string) <-chan builtMutant {
	built := make(chan builtMutant)
	go func() { // ends with ctx, and closes built then
		defer close(built)
		for _, m := range mutants {
			b := builtMutant{mutant: m, dir: filepath.Join(dir, "mutant-"+m.name)}
			if b.err = os.MkdirAll(b.dir, 0o700); b.err == nil {
				b.err = m.build(ctx, source, b.dir)
			}
			select {
			case built <- b:
			case <-ctx.Done():
				_ = os.RemoveAll(b.dir)
				return
			}
		}
	}()
	return built
}

// try runs what should notice the mutant until it does, with other seeds, and says whether it did.
func (b builtMutant) try(ctx context.Context, c *campaign, report *report) (caught bool, err error) {
	began := time.Now()
	var found result
	cases := 0
	for attempt := range mutantAttempts {
		mine := &campaign{
			belfry: filepath.Join(b.dir, "belfry"), self: c.self, dir: filepath.Join(b.dir, "run"),
			seed: c.seed + uint64(attempt), log: c.log, patience: mutantPatience,
		}
		if err := os.MkdirAll(mine.dir, 0o700); err != nil {
			return false, err
		}
		found, err = b.notice(ctx, mine)
		if err != nil || ctx.Err() != nil {
			return false, err
		}
		if found.skipped != "" {
			report.untried = append(report.untried, b.name)
			report.line("mutant %s, which %s, was not tried: %s", b.name, b.does, found.skipped)
			return true, nil
		}
		if cases += found.cases; found.faults() > 0 {
			break
		}
	}
	report.mutants++
	took := time.Since(began).Seconds()
	if found.faults() == 0 {
		report.survived = append(report.survived, b.name)
		report.line("mutant %s, which %s, SURVIVED %d cases (%.1f s)", b.name, b.does, cases, took)
		return false, nil
	}
	report.caught++
	found.details, found.cases = nil, cases
	report.line("mutant %s, which %s, is caught: %s (%.1f s)", b.name, b.does, found.String(), took)
	return true, nil
}

// notice runs the first part that can run here.
func (b builtMutant) notice(ctx context.Context, c *campaign) (found result, err error) {
	for _, name := range b.parts {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return found, fmt.Errorf("mutant %s: no part %q", b.name, name)
		}
		if name == "states" || name == "failures" {
			c.self = filepath.Join(b.dir, "campaign")
		}
		found, err = parts[i].run(ctx, c, b.cases)
		if err != nil || found.skipped == "" {
			return found, err
		}
	}
	return found, nil
}
