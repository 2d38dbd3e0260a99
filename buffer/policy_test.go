package buffer

import (
	"math/rand/v2"
	"testing"
	"time"
)

// simulation drives a policy with a clock of its own: groups come at times given by next, transactions take a time.
type simulation struct {
	policy  policy
	now     time.Time
	queued  []time.Time
	commits int
	stored  int
	slowest time.Duration
	commit  time.Duration // how long one takes
}

func newSimulation(commit time.Duration) *simulation {
	return &simulation{policy: policy{delay: defaultDelay}, now: time.Unix(0, 0), commit: commit}
}

func (s *simulation) arrive(at time.Time, n int) {
	for range n {
		s.queued = append(s.queued, at)
	}
	s.policy.arrive(at, n, len(s.queued))
}

// due is when the next transaction begins, far away if nothing is queued.
func (s *simulation) due() time.Time {
	if len(s.queued) == 0 {
		return s.now.Add(time.Hour)
	}
	if due := s.policy.due(len(s.queued)); due.After(s.now) {
		return due
	}
	return s.now
}

// take makes a transaction of what is queued and returns how much that was. during lets groups come meanwhile.
func (s *simulation) take(during func(until time.Time)) int {
	s.now = s.due()
	n := min(len(s.queued), maxBatchRecords)
	for _, at := range s.queued[:n] {
		s.slowest = max(s.slowest, s.now.Sub(at))
	}
	s.queued = s.queued[n:]
	if len(s.queued) > 0 {
		s.policy.oldest = s.queued[0]
	}
	during(s.now.Add(s.commit))
	s.now = s.now.Add(s.commit)
	s.commits++
	s.stored += n
	s.policy.acknowledge(n)
	s.policy.acknowledged(s.now)
	return n
}

// F52: each commit costs flash.
func TestQuietTownCommitsAtMostTwiceASecond(t *testing.T) {
	for _, rate := range []float64{1, 5, 20} {
		random := rand.New(rand.NewPCG(1, uint64(rate)))
		s := newSimulation(2 * time.Millisecond)
		next := s.now
		gap := func() time.Duration { return time.Duration(random.ExpFloat64() / rate * float64(time.Second)) }
		arrive := func(until time.Time) {
			for ; !next.After(until); next = next.Add(gap()) {
				s.arrive(next, 1)
			}
		}
		const seconds = 1000
		for end := s.now.Add(seconds * time.Second); s.now.Before(end); {
			if next.Before(s.due()) {
				s.now = next
				arrive(next)
				continue
			}
			s.take(arrive)
		}
		if perSecond := float64(s.commits) / seconds; perSecond > 2 || s.slowest > paceOfDefault+s.commit {
			t.Errorf("%v events a second: %.2f commits a second, slowest %v", rate, perSecond, s.slowest)
		}
	}
}

const paceOfDefault = defaultDelay * pace / 10

func TestSourceThatWaitsForAcknowledgementsIsNotKeptWaiting(t *testing.T) {
	for _, window := range []int{1, 2, 3, 4, 20, 100, 1000} {
		s := newSimulation(time.Millisecond)
		const roundTrip = 300 * time.Microsecond
		s.arrive(s.now, window)
		for s.commits < 1000 {
			n := s.take(func(time.Time) {})
			for range n { // one after the other, as a broker sends
				s.now = s.now.Add(roundTrip / time.Duration(n))
				s.arrive(s.now, 1)
			}
		}
		perCommit, perSecond := s.stored/s.commits, float64(s.stored)/s.now.Sub(time.Unix(0, 0)).Seconds()
		if want := min(window, maxBatchRecords); perCommit < want*9/10 || perSecond < float64(want)*500 {
			t.Errorf("%d in flight: %d a commit, %.0f a second", window, perCommit, perSecond)
		}
	}
}

func TestBurstIsCommittedWhenItIsOver(t *testing.T) {
	s := newSimulation(time.Millisecond)
	s.arrive(s.now, burst)
	if wait := s.due().Sub(s.now); wait != quiet {
		t.Errorf("a burst waits %v, want %v", wait, quiet)
	}
	s = newSimulation(time.Millisecond)
	s.arrive(s.now, burst-1)
	if wait := s.due().Sub(s.now); wait != defaultDelay {
		t.Errorf("less than a burst waits %v, want %v", wait, defaultDelay)
	}
	s.arrive(s.now, maxBatchRecords)
	if wait := s.due().Sub(s.now); wait != 0 {
		t.Errorf("a full batch waits %v", wait)
	}
}

func TestWindowIsForgottenWhenTheSourcePauses(t *testing.T) {
	s := newSimulation(time.Millisecond)
	s.arrive(s.now, 20)
	s.take(func(time.Time) {})
	s.arrive(s.now, 20)
	if wait := s.due().Sub(s.now); wait != 0 {
		t.Fatalf("a refilled window waits %v", wait)
	}
	s.take(func(time.Time) {})
	s.now = s.now.Add(paceOfDefault)
	s.arrive(s.now, 1)
	if wait := s.due().Sub(s.now); wait != defaultDelay {
		t.Errorf("after a pause one group waits %v, want %v", wait, defaultDelay)
	}
}
