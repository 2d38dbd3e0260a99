// Command campaign tries to make Belfry lose, double or reorder something: kills, power cuts, failing disks. It also
// makes changed programs that do, to show that it would notice.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// flags are what can be asked for.
type flags struct {
	length  time.Duration // of the long form; 0 for the short one
	parts   string
	count   int
	seed    uint64
	mutants bool
	belfry  string
	source  string
	verbose bool
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		if child, ok := children[os.Args[2]]; ok {
			os.Exit(child(os.Args[3:]))
		}
		fmt.Fprintf(os.Stderr, "no child %q\n", os.Args[2])
		os.Exit(2)
	}
	var f flags
	short := flag.Bool("short", true, "the short form, which runs in CI; -for takes longer")
	flag.DurationVar(&f.length, "for", 0, "the long form: go on with other seeds for so long")
	flag.StringVar(&f.parts, "part", "", "only these, with commas between: "+partNames())
	flag.IntVar(&f.count, "count", 0, "how many cases of each part, instead of its own number")
	flag.Uint64Var(&f.seed, "seed", rand.Uint64N(1_000_000_000), "of all random choices")
	flag.BoolVar(&f.mutants, "mutants", true, "show that changed programs are noticed; not with -part")
	flag.StringVar(&f.belfry, "belfry", "bin/belfry", "the program under test")
	flag.StringVar(&f.source, "source", ".", "its source, for the mutants")
	flag.BoolVar(&f.verbose, "v", false, "say more")
	flag.Parse()
	if flag.NArg() > 0 || !*short && f.length == 0 {
		fmt.Fprintln(os.Stderr, "usage: campaign [-short | -for 1h] [-part NAMES] [-count N] [-seed N] [-mutants=false]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	good, err := f.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "campaign:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// chosen returns the parts that were asked for, and whether the mutants were.
func (f flags) chosen() (chosen []part, mutants bool, err error) {
	all := inOrder()
	if f.parts == "" {
		return all, f.mutants, nil
	}
	for name := range strings.SplitSeq(f.parts, ",") {
		i := slices.IndexFunc(all, func(p part) bool { return p.name == name })
		switch {
		case name == mutantsName:
			mutants = true
		case i < 0:
			return nil, false, fmt.Errorf("no part %q (there are %s)", name, partNames())
		default:
			chosen = append(chosen, all[i])
		}
	}
	return chosen, mutants, nil
}

const mutantsName = "mutants"

// inOrder sorts the parts: those first that need the most of the program.
func inOrder() []part {
	order := []string{"kill", "box", "server", "states", "failures"}
	sorted := slices.Clone(parts)
	slices.SortStableFunc(sorted, func(a, b part) int { return slices.Index(order, a.name) - slices.Index(order, b.name) })
	return sorted
}

func partNames() string {
	var names []string
	for _, p := range inOrder() {
		names = append(names, p.name)
	}
	return strings.Join(append(names, mutantsName), ",")
}

// run says whether nothing was found and every mutant was.
func (f flags) run(ctx context.Context) (good bool, err error) {
	chosen, mutants, err := f.chosen()
	if err != nil {
		return false, err
	}
	c, err := f.campaign()
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(c.dir) }() // what was found is kept in it
	report := newReport(os.Stdout, c)
	good, err = f.tryParts(ctx, c, chosen, report)
	if err == nil && mutants && ctx.Err() == nil {
		var caught bool
		caught, err = tryMutants(ctx, c, f.source, report)
		good = good && caught
	}
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted")
	}
	report.end()
	return good, err
}

func (f flags) campaign() (*campaign, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	belfry, err := filepath.Abs(f.belfry)
	if err == nil {
		_, err = os.Stat(belfry)
	}
	if err != nil {
		return nil, fmt.Errorf("the program under test (make build): %w", err)
	}
	dir, err := os.MkdirTemp("", "belfry-campaign-")
	if err != nil {
		return nil, err
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return &campaign{belfry: belfry, self: self, dir: dir, seed: f.seed, log: log, patience: 30 * time.Second}, nil
}

// cycles is how many times the long form goes through the parts, each time with a share of their cases and another seed,
// to have tried as many as they want; it goes on as long as there is time.
const cycles = 20

// tryParts runs the parts once, or again and again until the time is over.
func (f flags) tryParts(ctx context.Context, c *campaign, chosen []part, report *report) (good bool, err error) {
	end := time.Now().Add(f.length)
	for cycle := 0; ; cycle++ {
		for _, p := range chosen {
			if ctx.Err() != nil {
				return false, nil
			}
			count := p.short
			if f.length > 0 {
				count = max(1, p.long/cycles)
			}
			if f.count > 0 {
				count = f.count
			}
			if err := report.try(ctx, p, count); err != nil {
				return false, err
			}
		}
		c.seed++
		if !time.Now().Before(end) || len(chosen) == 0 {
			return report.good(), nil
		}
	}
}
