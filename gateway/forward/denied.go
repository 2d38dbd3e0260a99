package forward

import (
	"fmt"
	"time"
)

// patience is how long a subject that alone is refused keeps its records waiting. After that they go to quarantine: the
// store gives nothing back that lies behind a waiting record, so one subject would fill the disk for all in the end.
type patience struct {
	after time.Duration // of nothing but refusals
	tries int           // at least
	again time.Duration // between tries, at most
}

const deniedWait = time.Second

func defaultPatience() patience {
	return patience{after: time.Hour, tries: 20, again: 30 * time.Second}
}

// deny deals with a subject that the server does not let us publish on.
func (f *forwarder) deny(name string, problem error) {
	s := f.subjects[name]
	if s == nil || s.state != flying {
		return
	}
	f.land(f.flightOf(s)) // the server dropped it, so no acknowledgement will come
	f.refuse(s, problem)
}

// refuse keeps back a subject that alone is refused. Its records wait on disk, and go to quarantine once that took too
// long.
func (f *forwarder) refuse(s *subject, problem error) {
	f.refused.Add(1)
	f.denied[s] = struct{}{}
	if s.refusals++; s.refusals == 1 {
		s.refusedSince = f.now
	}
	s.problem = problem
	if f.outOfPatience(s) {
		if !s.givenUp {
			f.log.Warn("a subject was refused for too long; its records go to quarantine until it is allowed", "subject", s.name, "err", problem)
		}
		s.givenUp, s.tryAt = true, f.now.Add(jitter(f.patience.again))
		f.giveUpHead(s)
		return
	}
	f.park(s, min(deniedWait, f.patience.again), f.patience.again, problem)
	for _, it := range s.queue.all() {
		if it.record.Data != nil {
			f.lanes[it.record.Lane].leaveOnDisk(it)
		}
	}
}

// outOfPatience asks for another subject to have been stored since: what is refused to all is nothing of this subject's, and
// the buffer has ten times the room of its quarantine.
func (f *forwarder) outOfPatience(s *subject) bool {
	return s.givenUp || f.storedAt.After(s.refusedSince) && s.refusals >= f.patience.tries && f.now.Sub(s.refusedSince) >= f.patience.after
}

// giveUpHead puts the subject's next record into quarantine. One is tried now and then all the same.
func (f *forwarder) giveUpHead(s *subject) {
	it := s.head()
	switch there, err := f.fetch(it); {
	case err != nil:
		f.status.read = err
		f.park(s, readRetry, readRetry, nil)
	case !there:
		f.finish(it)
		f.list(s)
	default:
		f.reject(it, fmt.Sprintf("refused since %s: %v; then send it with: belfry buffer quarantine retry",
			s.refusedSince.UTC().Format(time.RFC3339), s.problem))
	}
}

// forgive ends the problem of a subject.
func (f *forwarder) forgive(s *subject) {
	s.wait = 0
	if s.problem != nil {
		s.problem, s.refusals, s.givenUp = nil, 0, false
		delete(f.denied, s)
	}
}

func (f *forwarder) anyDenied() error {
	for s := range f.denied {
		if len(f.denied) > 1 {
			return fmt.Errorf("%w (one of %d subjects)", s.problem, len(f.denied))
		}
		return s.problem
	}
	return nil
}
