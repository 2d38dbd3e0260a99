package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// report tells people how the campaign goes, and adds up.
type report struct {
	out      io.Writer
	campaign *campaign
	began    time.Time
	totals   map[string]*result // by part
	order    []string
	caught   int // mutants
	mutants  int // that were tried
	survived []string
	untried  []string
}

func newReport(out io.Writer, c *campaign) *report {
	r := &report{out: out, campaign: c, began: time.Now(), totals: map[string]*result{}}
	r.line("seed %d, in %s", c.seed, c.dir)
	return r
}

func (r *report) line(format string, args ...any) {
	fmt.Fprintf(r.out, "%7s  %s\n", time.Since(r.began).Truncate(time.Second), fmt.Sprintf(format, args...))
}

const progressEvery = 10 * time.Second

// try runs one part and prints what came of it.
func (r *report) try(ctx context.Context, p part, count int) error {
	began := time.Now()
	r.campaign.tried.Store(0)
	stop := r.watch(p.name, count)
	found, err := p.run(ctx, r.campaign, count)
	stop()
	took := time.Since(began)
	r.line("%s: %s (%.1f s)", p.name, found.String(), took.Seconds())
	total := r.totals[p.name]
	if total == nil {
		total = &result{}
		r.totals[p.name] = total
		r.order = append(r.order, p.name)
	}
	total.add(found)
	total.skipped = found.skipped
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// watch prints how many cases were tried, every now and then until stop is called.
func (r *report) watch(name string, count int) (stop func()) {
	ticker, end, done := time.NewTicker(progressEvery), make(chan struct{}), make(chan struct{})
	go func() { // stop waits for it
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				r.line("%s: %d of %d", name, r.campaign.tried.Load(), count)
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(end)
		<-done
	}
}

func (r *report) total() (total result) {
	for _, found := range r.totals {
		total.add(*found)
	}
	return total
}

// good says that nothing was found.
func (r *report) good() bool {
	total := r.total()
	return total.faults() == 0
}

// end prints one line for each part and the sum of all.
func (r *report) end() {
	var skipped []string
	fmt.Fprintln(r.out)
	for _, name := range r.order {
		found := *r.totals[name]
		found.details = nil // printed as they were found
		fmt.Fprintf(r.out, "%-9s %s\n", name, found.String())
		if found.skipped != "" {
			skipped = append(skipped, name)
		}
	}
	total := r.total()
	line := fmt.Sprintf("lost %d, twice %d, reordered %d, unexplained %d; %d cases", total.lost, total.twice, total.reordered, total.unexplained, total.cases)
	if r.mutants > 0 {
		line += fmt.Sprintf("; mutants caught %d of %d", r.caught, r.mutants)
	}
	if len(r.survived) > 0 {
		line += "; survived: " + strings.Join(r.survived, ", ")
	}
	if len(r.untried) > 0 {
		line += "; mutants not tried: " + strings.Join(r.untried, ", ")
	}
	if len(skipped) > 0 {
		line += "; skipped: " + strings.Join(skipped, ", ")
	}
	fmt.Fprintln(r.out, line)
}
