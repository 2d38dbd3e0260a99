package main

import (
	"bufio"
	"cmp"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"belfry/scripts/campaign/faultfs"
)

func init() { children["check"] = checkChild }

// job is what a checker is asked to do: to make states of a recording and look at each, or to look at the folder as it was left.
type job struct {
	Recording string // file, as saveRecording wrote it
	Seed      uint64 // of the states
	Settings  workSettings
	Failures  bool
	Dir       string // for one state at a time
	States    []int  // which; empty: the folder Left
	Known     int    // so many operations came before the first: notes of a workload that went before
	AtEnd     bool   // states of the moment at which the recording ends
	Left      string
	Keep      bool // leave the folder of the last state there
}

// answer is one line of a checker: State is about to be looked at, Finding was found in it, or all is done.
type answer struct {
	State   int
	Cut     int
	How     string   `json:",omitempty"`
	Finding *finding `json:",omitempty"`
	Err     string   `json:",omitempty"` // of the checker itself
	Done    bool     `json:",omitempty"`
}

func saveRecording(path string, r faultfs.Recording) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	out := bufio.NewWriterSize(file, 1<<20)
	if err := gob.NewEncoder(out).Encode(r); err != nil {
		return err
	}
	return out.Flush()
}

func loadRecording(path string) (r faultfs.Recording, err error) {
	file, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer func() { _ = file.Close() }()
	err = gob.NewDecoder(bufio.NewReaderSize(file, 1<<20)).Decode(&r)
	return r, err
}

// checkChild does the jobs that it reads from its input.
func checkChild([]string) int {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var j job
		if err := in.Decode(&j); err == io.EOF {
			return 0
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		done := answer{Done: true}
		if err := j.run(func(a answer) { _ = out.Encode(a) }); err != nil {
			done.Err = err.Error()
		}
		if err := out.Encode(done); err != nil {
			return 2
		}
	}
}

// state is one crash state: where the recording is cut, and what follows of all else.
type state struct {
	number, cut int
	random      *rand.Rand
}

func (j *job) states(r faultfs.Recording) []state {
	var turns []int // where names change, which is where most goes wrong
	for i, op := range r.Ops {
		switch op.Kind {
		case faultfs.Create, faultfs.Rename, faultfs.Unlink, faultfs.SyncDir:
			turns = append(turns, i)
		}
	}
	states := make([]state, len(j.States))
	for i, number := range j.States {
		random := rand.New(rand.NewPCG(j.Seed, uint64(number)))
		cut := j.Known + random.IntN(len(r.Ops)-j.Known+1)
		if random.IntN(4) == 0 && len(turns) > 0 {
			cut = min(max(j.Known, turns[random.IntN(len(turns))]+random.IntN(8)-3), len(r.Ops))
		}
		if j.AtEnd {
			cut = len(r.Ops)
		}
		states[i] = state{number, cut, random}
	}
	slices.SortStableFunc(states, func(a, b state) int { return cmp.Compare(a.cut, b.cut) })
	return states
}

func (j *job) run(say func(answer)) error {
	r, err := loadRecording(j.Recording)
	if err != nil {
		return err
	}
	known, book := newStory(), newGroupBook(j.Settings.Seed)
	took := 0
	advance := func(cut int, d *disk) error {
		for ; took < cut; took++ {
			op := r.Ops[took]
			if op.Kind != faultfs.Note {
				d.advance(op, rand.New(rand.NewPCG(j.Seed, uint64(took))))
			} else if err := known.add(op.Data); err != nil {
				return err
			}
		}
		return nil
	}
	d := newDisk(r)
	look := func(s state, dir, how string) {
		say(answer{State: s.number, Cut: s.cut, How: how})
		c := inspection{story: known, book: book, failures: j.Failures, random: s.random, options: j.Settings.options(nil)}
		c.options.Dir, c.options.MaxSize, c.options.Hold, c.options.CommitDelay = dir, 1<<30, time.Hour, time.Microsecond
		for _, f := range c.run(s.number%8 == 0) {
			say(answer{State: s.number, Cut: s.cut, How: how, Finding: &f})
		}
	}
	if len(j.States) == 0 {
		if err := advance(len(r.Ops), d); err != nil {
			return err
		}
		look(state{0, len(r.Ops), rand.New(rand.NewPCG(j.Seed, 0))}, j.Left, "as left")
		return nil
	}
	for _, s := range j.states(r) {
		if err := advance(s.cut, d); err != nil {
			return err
		}
		if err := removeAll(j.Dir); err != nil {
			return err
		}
		how, err := d.write(j.Dir, s.random)
		if err != nil {
			return err
		}
		look(s, j.Dir, how)
	}
	if j.Keep {
		return nil
	}
	return removeAll(j.Dir)
}

// stateDir is a folder in memory if there is one.
func stateDir(fallback string) (dir string, err error) {
	if dir, err = os.MkdirTemp("/dev/shm", "campaign-"); err == nil {
		return dir, nil
	}
	dir = filepath.Join(fallback, "states")
	return dir, os.MkdirAll(dir, 0o700)
}
