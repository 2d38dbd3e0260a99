package demo

import "time"

// outage is the plan to take NATS away once.
type outage struct {
	after time.Duration // since the start; 0: never
	lasts time.Duration
	begun time.Time     // zero before it
	over  bool          // NATS is back
	away  time.Duration // how long it was away
}

// plan puts the outage a third of the way through; a show that is too short for one has none.
func plan(duration time.Duration) outage {
	const soonest, shortest, usual = 5 * time.Second, 3 * time.Second, 6 * time.Second
	o := outage{after: soonest * 2, lasts: usual}
	if duration > 0 {
		o.after, o.lasts = max(duration/3, soonest), min(max(duration/4, shortest), usual)
		if o.after+o.lasts > duration {
			return outage{}
		}
	}
	return o
}

// outage takes NATS away, and brings it back, when it is time.
func (s *show) outage() error {
	o := &s.plan
	switch {
	case o.after == 0 || o.over:
	case o.begun.IsZero() && time.Since(s.started) >= o.after:
		o.begun = time.Now()
		s.display.line("  NATS is stopped now, for %s: the gateway goes on and buffers on disk", o.lasts)
		s.nats.Stop()
	case !o.begun.IsZero() && time.Since(o.begun) >= o.lasts:
		return s.bringBack()
	}
	return nil
}

// bringBack starts NATS again if it is away.
func (s *show) bringBack() error {
	o := &s.plan
	if o.begun.IsZero() || o.over {
		return nil
	}
	s.showNow()
	if err := s.nats.Start(); err != nil {
		return err
	}
	o.over, o.away = true, time.Since(o.begun)
	s.display.line("  NATS is back")
	return nil
}
