package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"belfry/scripts/campaign/faultfs"
)

func init() {
	parts = append(parts,
		part{name: "states", about: "what a power cut may leave of recorded writes, sector by sector", short: 10000, long: 200000, run: runStates},
		part{name: "failures", about: "failure of the n-th write, fsync, open, rename, ...", short: 250, long: 6000, run: runFailures},
	)
	children["again"] = againChild
}

const (
	checkers    = 2
	enoughFound = 40 // nothing more is to be learned then
)

// runStates records workloads and looks at what a power cut may leave at random points of them.
func runStates(ctx context.Context, c *campaign, count int) (total result, err error) {
	if err := faultfs.Available(); err != nil {
		return result{skipped: err.Error()}, nil
	}
	dir, err := stateDir(c.dir)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = removeAll(dir) }()
	s := &states{campaign: c, dir: dir}
	for i := range s.checkers {
		s.checkers[i].campaign = c
		defer s.checkers[i].close()
	}
	rounds := max(1, min(count/500, 10+count/2000))
	for round := range rounds {
		if ctx.Err() != nil || total.faults() >= enoughFound {
			break
		}
		share := count*(round+1)/rounds - count*round/rounds
		r, err := s.round(ctx, round, share)
		total.add(r)
		if err != nil && ctx.Err() == nil {
			return total, fmt.Errorf("round %d: %w", round, err)
		}
	}
	return total, nil
}

// states is the part of that name at work.
type states struct {
	campaign *campaign
	dir      string // in memory
	checkers [checkers]inspector
	last     faultfs.Recording // of the round before
}

// settings vary from round to round.
func (s *states) settings(round int) workSettings {
	w := workSettings{Seed: s.campaign.seed, Segment: 128 << 10, MaxSize: 1 << 30, Hold: -1, Sessions: 4, Groups: 40, Window: 4}
	switch round % 5 {
	case 1:
		w.Segment, w.Window = 64<<10, 1
	case 2:
		w.Segment, w.Window, w.Hold, w.Sessions = 256<<10, 12, 5*time.Millisecond, 2
	case 3: // observations expire
		w.Segment, w.MaxSize, w.Slow, w.Observe = 64<<10, 2<<20, true, true
		w.Groups = 150
	case 4:
		w.Segment, w.Slow = 96<<10, true
	}
	return w
}

// round records one workload and looks at count states of it.
func (s *states) round(ctx context.Context, round, count int) (r result, err error) {
	w := s.settings(round)
	backing := filepath.Join(s.dir, "backing")
	before, err := s.base(backing, round)
	if err != nil {
		return r, err
	}
	defer func() { _ = removeAll(backing) }()
	recorded, err := record(ctx, s.campaign, backing, filepath.Join(s.campaign.dir, "mount"), w)
	if err != nil {
		if ctx.Err() == nil {
			r.find(&r.unexplained, "states, seed %d, round %d: workload: %v", s.campaign.seed, round, err)
		}
		return r, ctx.Err()
	}
	recorded.Ops = append(before, recorded.Ops...)
	s.last = recorded
	j := job{Recording: filepath.Join(s.campaign.dir, "states-"+strconv.Itoa(round)), Settings: w, Seed: s.campaign.seed + uint64(round)<<32, Known: len(before)}
	if err := saveRecording(j.Recording, recorded); err != nil {
		return r, err
	}
	s.campaign.log.Debug("workload is recorded", "round", round, "operations", len(recorded.Ops))
	r, err = s.look(ctx, j, count, round)
	if r.faults() == 0 {
		return r, os.Remove(j.Recording)
	}
	return r, saveJob(j)
}

// look shares states out to the checkers.
func (s *states) look(ctx context.Context, j job, count, round int) (total result, err error) {
	var all sync.WaitGroup
	var results [checkers]result
	var errs [checkers]error
	for i := range s.checkers {
		mine := j
		mine.Dir = filepath.Join(s.dir, "state-"+strconv.Itoa(i))
		for number := i; number < count; number += checkers {
			mine.States = append(mine.States, number)
		}
		if len(mine.States) == 0 {
			continue
		}
		all.Go(func() {
			name := fmt.Sprintf("states, seed %d, round %d", s.campaign.seed, round)
			errs[i] = s.checkers[i].do(ctx, mine, name, &results[i])
		})
	}
	all.Wait()
	for i := range results {
		total.add(results[i])
		if errs[i] != nil {
			err = errs[i]
		}
	}
	return total, err
}

// base makes the folder that a round begins with: an empty one, or what a power cut left of the round before. Then it
// returns what was known there.
func (s *states) base(dir string, round int) (known []faultfs.Op, err error) {
	if round%5 != 1 && round%5 != 4 {
		return nil, os.Mkdir(dir, 0o700)
	}
	random := rand.New(rand.NewPCG(s.campaign.seed, uint64(round)))
	d, cut := newDisk(s.last), random.IntN(len(s.last.Ops)+1)
	for _, op := range s.last.Ops[:cut] {
		if op.Kind == faultfs.Note {
			known = append(known, op)
		} else {
			d.advance(op, random)
		}
	}
	_, err = d.write(dir, random)
	return known, err
}

// record runs a workload on a mount and returns what it did.
func record(ctx context.Context, c *campaign, backing, at string, w workSettings) (r faultfs.Recording, err error) {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return r, err
	}
	mounted, err := faultfs.Mount(backing, at)
	if err != nil {
		return r, err
	}
	defer func() {
		if failed := mounted.Unmount(); err == nil {
			err = failed
		}
	}()
	w.Dir = at
	k, err := startWork(c, w)
	if err != nil {
		return r, err
	}
	_, err = k.line(ctx, workTimeout)
	k.end(err != nil)
	return mounted.Recording(), err
}

func startWork(c *campaign, w workSettings) (*child, error) {
	settings, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	return startChild(c, "work", string(settings))
}

// saveJob keeps what is needed to look at a state again.
func saveJob(j job) error {
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return os.WriteFile(j.Recording+".json", data, 0o600)
}

// againChild looks at one state of a job again and leaves its folder there: args are the file that saveJob wrote, the
// number of the state and a folder.
func againChild(args []string) int {
	if len(args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: again FILE.json STATE FOLDER")
		return 2
	}
	var j job
	data, err := os.ReadFile(args[0])
	if err == nil {
		err = json.Unmarshal(data, &j)
	}
	var number int
	if err == nil {
		number, err = strconv.Atoi(args[1])
	}
	if err == nil {
		j.States, j.Dir, j.Keep = []int{number}, args[2], true
		err = j.run(func(a answer) { fmt.Printf("%+v %+v\n", a, a.Finding) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
