package source

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"belfry/gateway/lorawan"
	"belfry/gateway/lorawan/semtech"
)

const (
	maxAnswers   = 1024             // that a radio gateway has not confirmed
	answerWait   = 10 * time.Second // after which it will not any more
	answerMargin = 50 * time.Millisecond
)

// answer is a downlink on its way through a radio gateway.
type answer struct {
	sender   *forwarder
	heard    uint32    // µs of the radio's clock at the end of the uplink
	received time.Time // when the uplink came in here
	downlink lorawan.Downlink
	window   int // the next to use
	sent     time.Time
}

// next returns the transmission for the first window that is left and not over.
func (a *answer) next(now time.Time) (semtech.Transmission, bool) {
	for a.window < len(a.downlink.Windows) {
		w := &a.downlink.Windows[a.window]
		a.window++
		if now.Add(answerMargin).Before(a.received.Add(w.Delay)) {
			return semtech.Transmission{
				PHY: a.downlink.PHY, Timestamp: a.heard + uint32(w.Delay.Microseconds()), Frequency: w.Frequency,
				DataRate: w.DataRate, Power: w.Power,
			}, true
		}
	}
	return semtech.Transmission{}, false
}

// answers are those that radio gateways were asked to send and have not said whether they will.
type answers struct {
	mu   sync.Mutex
	open map[semtech.Token]*answer // guarded by mu
}

func newAnswers() *answers { return &answers{open: map[semtech.Token]*answer{}} }

// add returns a token for an answer that no other has; false when there are too many.
func (s *answers) add(a *answer) (token semtech.Token, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxAnswers {
		return token, false
	}
	for {
		_, _ = rand.Read(token[:]) // never fails
		if _, taken := s.open[token]; !taken {
			s.open[token] = a
			return token, true
		}
	}
}

// take removes the answer of a radio gateway with a token; nil when there is none.
func (s *answers) take(token semtech.Token, sender *forwarder) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.open[token]
	if a == nil || a.sender != sender {
		return nil
	}
	delete(s.open, token)
	return a
}

// expire removes the answers that will not be confirmed any more.
func (s *answers) expire(now time.Time) (expired []*answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, a := range s.open {
		if now.Sub(a.sent) >= answerWait {
			delete(s.open, token)
			expired = append(expired, a)
		}
	}
	return expired
}

var (
	errNotAsking   = errors.New("radio gateway has not asked for answers")
	errTooLate     = errors.New("too late for every receive window")
	errManyAnswers = errors.New("too many answers that radio gateways have not confirmed")
)

// transmit asks a radio gateway to send an answer in the next window that it can.
func (r *semtechRun) transmit(a *answer) error {
	to := a.sender.listensAt()
	if !to.IsValid() {
		return errNotAsking
	}
	a.sent = r.now()
	transmission, ok := a.next(a.sent)
	if !ok {
		return errTooLate
	}
	token, ok := r.answers.add(a)
	if !ok {
		return errManyAnswers
	}
	bytes, err := transmission.PullResp(token)
	if err == nil {
		err = r.send(bytes, to)
	}
	if err != nil {
		r.answers.take(token, a.sender)
		return fmt.Errorf("send through %s: %w", a.sender.name, err)
	}
	r.count("downlinks_sent")
	return nil
}

// takeOutcome reads what a radio gateway says of an answer. A refused one is tried in the next window.
func (r *semtechRun) takeOutcome(d *datagram) {
	outcome, err := semtech.ParseTxAck(d.Body)
	if err != nil {
		r.refuse(d, err)
		return
	}
	var a *answer
	if d.from == d.sender.listensAt() {
		a = r.answers.take(d.Token, d.sender)
	}
	switch {
	case a == nil:
		r.count("tx_ack_unexpected")
	case outcome.Refused != "":
		r.count(refusedCounter(outcome.Refused))
		r.retry(a, d, outcome.Refused)
	default:
		r.count("downlinks_accepted")
		if outcome.Warned {
			r.count("downlinks_warned")
		}
	}
}

func (r *semtechRun) retry(a *answer, d *datagram, refusal string) {
	why := errors.New(refusal)
	if err := r.transmit(a); err != nil {
		r.notices.note(noticeRefused, d.sender.name, d.from, fmt.Errorf("%w; %w", why, err))
		return
	}
	r.count("downlinks_retried")
}
