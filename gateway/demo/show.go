package demo

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// play lets the town send, takes NATS away in the middle, and compares at the end.
func (s *show) play(ctx context.Context) error {
	s.started, s.updated = time.Now(), time.Now()
	sending, stop := context.WithCancel(ctx)
	defer stop()
	if s.options.Duration > 0 {
		sending, stop = context.WithTimeout(ctx, s.options.Duration)
		defer stop()
	}
	publisher := &Publisher{Server: s.broker.Address(), Air: s.air, Rate: s.options.Rate, Next: s.next(), Sent: s.ledger.addSent}
	published := make(chan error, 1)
	go func() { published <- publisher.Publish(sending) }() // watch waits for it
	err := s.watch(published, stop)
	if back := s.bringBack(); back != nil {
		return errors.Join(err, back)
	}
	if err != nil {
		return err
	}
	settled := s.settle()
	s.showNow()
	s.display.finish()
	return s.judge(settled)
}

// next gives the town's messages, with one stranger among them.
func (s *show) next() func() Message {
	count := 0
	return func() Message {
		if count++; count == 20 {
			s.display.line("  %-46s unknown device, goes to quarantine", StrangerDevice)
			return s.town.Stranger()
		}
		return s.town.Next()
	}
}

// watch shows what goes on until all is published.
func (s *show) watch(published <-chan error, stop context.CancelFunc) error {
	tick := time.NewTicker(refresh / 5)
	defer tick.Stop()
	for {
		select {
		case err := <-published:
			return err
		case ended := <-s.ended:
			s.ended <- ended
			stop()
			return errors.Join(errGatewayEnded, ended, <-published)
		case <-tick.C:
		}
		if err := s.outage(); err != nil {
			stop()
			return errors.Join(err, <-published)
		}
		if time.Since(s.updated) >= refresh {
			s.show()
		}
	}
}

// show refreshes the summary.
func (s *show) show() {
	_, published, pending, _, quarantined := s.probe.Stats()
	count, p50, p99 := s.latency.quantiles()
	since := time.Since(s.updated)
	s.updated = time.Now()
	s.display.summary(&summary{
		elapsed: time.Since(s.started), sent: s.ledger.messages(), published: published, buffered: pending, quarantined: quarantined,
		rate: float64(count) / since.Seconds(), p50: p50, p99: p99, radio: s.air.Counts(),
	})
}

// showNow writes the summary even where it is not due yet.
func (s *show) showNow() {
	s.display.due()
	s.show()
}

// settle waits until all that was sent is on the stream, and says whether that came to be.
func (s *show) settle() bool {
	deadline := time.Now().Add(s.options.settle)
	for time.Now().Before(deadline) {
		_, _, pending, _, _ := s.probe.Stats()
		if s.ledger.outstanding() == 0 && pending == 0 && s.reader.caughtUp(context.Background()) {
			return true
		}
		time.Sleep(refresh / 10)
		if time.Since(s.updated) >= refresh {
			s.show()
		}
	}
	return false
}

// judge prints the verdict, and returns it as an error when it is bad.
func (s *show) judge(settled bool) error {
	v := s.ledger.verdict()
	radio := s.air.Counts()
	err := errors.Join(v.err(), radio.err())
	_, _, _, _, quarantined := s.probe.Stats()
	if quarantined != uint64(v.quarantined) {
		err = errors.Join(err, fmt.Errorf("%d messages are in quarantine, %d should be", quarantined, v.quarantined))
	}
	if !settled && err == nil {
		err = fmt.Errorf("the gateway was not done after %s", s.options.settle)
	}
	if err != nil {
		return err
	}
	s.display.line("")
	s.display.line("Verdict: %s.", v)
	s.display.line("         Radio: %s; every replay was refused.", &radio)
	if v.quarantined > 0 {
		s.display.line("         %d of an unknown device is kept in quarantine.", v.quarantined)
	}
	if s.plan.away > 0 {
		s.display.line("         NATS was away for %s in between.", s.plan.away.Round(100*time.Millisecond))
	}
	return nil
}
