package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// part is one kind of fault, tried many times.
type part struct {
	name  string // "kill", "box", "server", "states", "failures"
	about string // one line for people
	short int    // cases of the short form, which runs in CI
	long  int    // cases of the long form
	// run tries count cases, or fewer when ctx ends first. An error is about the campaign itself (a program that cannot be
	// built, a folder that cannot be made), never about what was found.
	run func(ctx context.Context, c *campaign, count int) (result, error)
}

// campaign is what parts may use.
type campaign struct {
	belfry string // path of the gateway's binary under test
	self   string // path of this program, built from the same code as belfry; children are started from it
	dir    string // temporary folder of this run; a part makes a folder of its own in it
	seed   uint64 // of all random choices, so that a run can be repeated
	log    *slog.Logger

	patience time.Duration // how long the stream may stand still before what is missing on it counts as lost
	tried    atomic.Int64  // cases so far, for people who watch
}

// did counts cases as they are tried, for people who watch.
func (c *campaign) did(cases int) { c.tried.Add(int64(cases)) }

// result is what a part found. What was acknowledged and what came out is compared by the part itself, never by the code
// under test alone.
type result struct {
	cases       int
	lost        int // acknowledged (or sent and never refused), not on the far side
	twice       int // on the far side more than once
	reordered   int // out of order inside a subject
	unexplained int // anything else that should not be: a wrong value, a process that died by itself, a ledger that does not balance
	skipped     string
	details     []string // the first few findings, each with what is needed to look at it again
}

const maxDetails = 20

// find notes one finding in a counter of the result.
func (r *result) find(counter *int, format string, args ...any) {
	r.findMany(counter, 1, format, args...)
}

// findMany notes n findings of one kind at once.
func (r *result) findMany(counter *int, n int, format string, args ...any) {
	*counter += n
	if len(r.details) < maxDetails {
		r.details = append(r.details, fmt.Sprintf(format, args...))
	}
}

// add adds the result of other cases of the same part.
func (r *result) add(other result) {
	r.cases += other.cases
	r.lost += other.lost
	r.twice += other.twice
	r.reordered += other.reordered
	r.unexplained += other.unexplained
	r.details = append(r.details, other.details[:min(len(other.details), maxDetails-min(maxDetails, len(r.details)))]...)
}

func (r *result) faults() int { return r.lost + r.twice + r.reordered + r.unexplained }

func (r *result) String() string {
	if r.skipped != "" {
		return "skipped: " + r.skipped
	}
	line := fmt.Sprintf("%d cases: lost %d, twice %d, reordered %d, unexplained %d", r.cases, r.lost, r.twice, r.reordered, r.unexplained)
	if len(r.details) > 0 {
		line += "\n  " + strings.Join(r.details, "\n  ")
	}
	return line
}

// children are the modes of this program that parts start as processes of their own, by name; written in init only. They
// are called with the arguments behind the name and end the process with what they return.
var children = map[string]func(args []string) int{}

// parts are all kinds of faults, in the order in which they run; written in init only.
var parts []part
