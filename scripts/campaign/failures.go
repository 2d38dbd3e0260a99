package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"belfry/scripts/campaign/faultfs"
)

// way is one way in which a disk goes wrong from its n-th operation of a kind on.
type way struct {
	faultfs.Fault
	heals bool // it gets well again: the workload must come to its end
}

// changes are the operations that a full or a read-only file system refuses.
var (
	grows   = []faultfs.Kind{faultfs.Write, faultfs.Create, faultfs.Mkdir, faultfs.Truncate, faultfs.Allocate}
	changes = append([]faultfs.Kind{faultfs.Rename, faultfs.Unlink, faultfs.Sync, faultfs.SyncDir}, grows...)
)

// ways lists what may go wrong at an operation of a kind.
func ways(kind faultfs.Kind) []way {
	fault := func(errno syscall.Errno, times int, kinds ...faultfs.Kind) faultfs.Fault {
		return faultfs.Fault{At: kind, Errno: errno, Times: times, Kinds: kinds}
	}
	all := []way{
		{fault(syscall.EIO, 1), true},
		{fault(syscall.EIO, 4), true},
		{fault(syscall.EROFS, 12, changes...), true},
		{fault(syscall.EROFS, 0, changes...), false},
		{fault(syscall.EIO, 0, append([]faultfs.Kind{kind}, changes...)...), false},
	}
	switch kind {
	case faultfs.Write:
		torn := fault(syscall.EIO, 1)
		torn.Torn = true
		all = append(all, way{torn, true})
		fallthrough
	case faultfs.Create, faultfs.Truncate:
		all = append(all, way{fault(syscall.ENOSPC, 10, grows...), true}, way{fault(syscall.ENOSPC, 0, grows...), false})
	case faultfs.Sync:
		all = append(all, way{fault(syscall.ENOSPC, 2), true}) // thin storage: full only when it is synced
	}
	return all
}

// failureKinds are the operations that fail; what is read through the memory map cannot be made to.
var failureKinds = []faultfs.Kind{
	faultfs.Write, faultfs.Sync, faultfs.SyncDir, faultfs.Create, faultfs.Open, faultfs.Rename, faultfs.Unlink, faultfs.Truncate,
}

// failure is one case.
type failure struct {
	number int
	way
	kill bool // the process is killed in the end, not closed
}

func (f failure) String() string {
	name := fmt.Sprintf("%v %d fails with %v", f.At, f.Nth, f.Errno)
	switch {
	case f.Torn:
		name += ", half written"
	case f.Times == 1:
	case f.Times > 1:
		name += fmt.Sprintf(", %d times", f.Times)
	default:
		name += ", from then on"
	}
	if len(f.Kinds) > 1 {
		name += ", as others do then"
	}
	return name
}

// runFailures lets the n-th operation of each kind fail, for every n or, of too many, for some.
func runFailures(ctx context.Context, c *campaign, count int) (total result, err error) {
	if err := faultfs.Available(); err != nil {
		return result{skipped: err.Error()}, nil
	}
	dir, err := stateDir(c.dir)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = removeAll(dir) }()
	f := &failures{campaign: c, dir: dir, settings: workSettings{
		Seed: c.seed, Segment: 64 << 10, MaxSize: 1 << 30, Hold: -1, Sessions: 2, Groups: 25, Window: 1, Failing: true, Tries: 20,
	}}
	cases, err := f.plan(ctx, count)
	if err != nil {
		return result{}, err
	}
	var all sync.WaitGroup
	var results [checkers]result
	var errs [checkers]error
	var next atomic.Int64
	for lane := range checkers {
		all.Go(func() {
			inspector := inspector{campaign: c}
			defer inspector.close()
			for ctx.Err() == nil && errs[lane] == nil && results[lane].faults() < enoughFound {
				i := int(next.Add(1)) - 1
				if i >= len(cases) {
					return
				}
				errs[lane] = f.try(ctx, &inspector, lane, cases[i], &results[lane])
			}
		})
	}
	all.Wait()
	for lane := range results {
		total.add(results[lane])
		if errs[lane] != nil && ctx.Err() == nil {
			err = errs[lane]
		}
	}
	return total, err
}

// failures is the part of that name at work.
type failures struct {
	campaign *campaign
	dir      string // in memory
	settings workSettings
}

// plan runs the workload once without failures to see how many operations there are, and chooses at most count cases:
// each kind and way gets its share, spread evenly over the run.
func (f *failures) plan(ctx context.Context, count int) (cases []failure, err error) {
	seen := make(map[faultfs.Kind]int)
	backing := filepath.Join(f.dir, "plan")
	if err := os.Mkdir(backing, 0o700); err != nil {
		return nil, err
	}
	m, err := f.mount(backing, filepath.Join(f.campaign.dir, "plan"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = m.Unmount() }()
	if said, err := f.work(ctx, filepath.Join(f.campaign.dir, "plan"), failure{}); err != nil || !strings.HasPrefix(said, workDone) {
		return nil, fmt.Errorf("workload without failures: %s: %w", said, err)
	}
	for _, kind := range failureKinds {
		seen[kind] = m.Seen(kind)
		for _, w := range ways(kind) {
			for n := range m.Seen(kind) {
				w.Nth = n + 1
				cases = append(cases, failure{way: w})
			}
		}
	}
	f.campaign.log.Debug("failures", "operations", seen, "cases", len(cases))
	if len(cases) > count {
		cases = f.choose(cases, seen, count)
	}
	for i := range cases {
		cases[i].number, cases[i].kill = i, i%2 == 0
	}
	return cases, nil
}

// choose takes count cases: all of a kind of which there are few, of the others some.
func (f *failures) choose(cases []failure, seen map[faultfs.Kind]int, count int) (chosen []failure) {
	random := rand.New(rand.NewPCG(f.campaign.seed, 1))
	random.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
	share := make(map[faultfs.Kind]int)
	var rest []failure
	for _, one := range cases {
		if share[one.At] < count/len(failureKinds) {
			share[one.At]++
			chosen = append(chosen, one)
		} else {
			rest = append(rest, one)
		}
	}
	return append(chosen, rest[:min(len(rest), count-len(chosen))]...)
}

func (f *failures) mount(backing, at string) (*faultfs.FS, error) {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return nil, err
	}
	return faultfs.Mount(backing, at)
}

// work runs the workload, ends its process in one of two ways, and returns what it said before.
func (f *failures) work(ctx context.Context, at string, one failure) (said string, err error) {
	settings := f.settings
	settings.Dir = at
	if one.heals {
		settings.Tries = 500
	}
	k, err := startWork(f.campaign, settings)
	if err != nil {
		return "", err
	}
	line, err := k.line(ctx, workTimeout)
	k.end(one.kill || err != nil)
	return string(line), err
}

// try is one case: the workload on a disk that fails, then the folder as it was left, and as a power cut in the end may
// have left it.
func (f *failures) try(ctx context.Context, inspector *inspector, lane int, one failure, r *result) (err error) {
	backing := filepath.Join(f.dir, "backing-"+strconv.Itoa(lane))
	if err := os.Mkdir(backing, 0o700); err != nil {
		return err
	}
	defer func() { _ = removeAll(backing) }()
	at := filepath.Join(f.campaign.dir, "mount-"+strconv.Itoa(lane))
	m, err := f.mount(backing, at)
	if err != nil {
		return err
	}
	m.Arm(one.Fault)
	said, failed := f.work(ctx, at, one)
	fired, recorded := m.Fired(), m.Recording()
	if err := m.Unmount(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	name := fmt.Sprintf("failures, seed %d, case %d: %v", f.campaign.seed, one.number, one)
	r.cases++
	switch {
	case failed != nil:
		r.find(&r.unexplained, "%s: the workload: %v", name, failed)
	case one.heals && !strings.HasPrefix(said, workDone):
		r.find(&r.unexplained, "%s: the disk is well again, the workload is not: %s", name, said)
	case fired == 0:
		f.campaign.log.Debug("did not fire", "case", name)
	}
	if _, logged, _ := strings.Cut(said, " "); logged != "" {
		name += " {" + logged[:min(len(logged), 600)] + "}"
	}
	return f.judge(ctx, inspector, lane, job{
		Recording: filepath.Join(f.campaign.dir, "failures-"+strconv.Itoa(lane)), Settings: f.settings, Failures: true, Left: backing,
		Seed: f.campaign.seed + uint64(one.number)<<32, Dir: filepath.Join(f.dir, "state-"+strconv.Itoa(lane)), AtEnd: true,
	}, recorded, name, r)
}

// judge looks at what is left, and at two states of the disk.
func (f *failures) judge(ctx context.Context, inspector *inspector, lane int, j job, recorded faultfs.Recording, name string, r *result) error {
	before := r.faults()
	if err := saveRecording(j.Recording, recorded); err != nil {
		return err
	}
	var found result // its cases are states, not failures
	if err := inspector.do(ctx, j, name, &found); err != nil {
		return err
	}
	j.States = []int{1, 2}
	if err := inspector.do(ctx, j, name, &found); err != nil {
		return err
	}
	found.cases = 0
	r.add(found)
	if r.faults() > before { // keep it
		kept := j
		kept.Recording = fmt.Sprintf("%s-%d", j.Recording, time.Now().UnixNano())
		if err := os.Rename(j.Recording, kept.Recording); err != nil {
			return err
		}
		return saveJob(kept)
	}
	return nil
}
