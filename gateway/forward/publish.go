package forward

import (
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
)

const (
	contentTypeHeader = "Content-Type"
	contentType       = "application/cloudevents+json"
	sequenceHeader    = "Belfry-Sequence" // the record's number at this gateway
	bufferHeader      = "Belfry-Buffer"   // whose numbering that is
)

// flight is one message on its way. It is used again only after the server answered for it: until then the client
// library may still come back to its message.
type flight struct {
	msg      nats.Msg
	item     *item
	sending  sending
	expected []string // value of the header that names the subject's last message
}

// publishOptions forbid the library to publish again by itself, which would reorder.
var publishOptions = []jetstream.PublishOpt{jetstream.WithRetryAttempts(0)}

// giveUpExpecting is how many refusals in a row, because somebody else publishes on the subject, make us publish without
// naming the last message; only the stream's duplicate window protects that one message from a delayed copy of itself.
const giveUpExpecting = 8

func (f *forwarder) mayPublish() bool { return f.stream.prepared && !f.tail.rewind }

// pump publishes and asks as much as may be under way, alarms first.
func (f *forwarder) pump() {
	for f.mayPublish() && f.pause.allows(f.now, len(f.flights)+f.asks) {
		s := f.nextSubject()
		if s == nil {
			return
		}
		if s.sure {
			f.publish(s)
		} else {
			f.ask(s)
		}
	}
}

func (f *forwarder) nextSubject() *subject {
	if f.pause.err != nil {
		return f.leastRefused()
	}
	for lane := range f.lanes {
		mayAsk := f.asks < maxAsks && f.toAsk[lane].len() > 0
		mayPublish := len(f.flights) < f.options.Window && f.runnable[lane].len() > 0
		switch {
		case !mayAsk && !mayPublish:
			continue
		case !f.limit.room():
			return nil
		case buffer.Lane(lane) == buffer.Normal && !f.rate.allows(f.now):
			f.rate.hold(f.now)
			return nil
		case mayAsk:
			return f.toAsk[lane].pop()
		}
		return f.runnable[lane].pop()
	}
	return nil
}

// spend accounts for something that goes out.
func (f *forwarder) spend(lane buffer.Lane, size int) sending {
	if lane == buffer.Normal {
		f.rate.take(size)
	}
	return f.limit.sent(size, time.Now())
}

// leastRefused picks what to try at the end of a pause: the subject that was refused least, so that one that the stream
// never takes, an alarm's even, cannot be the probe each time.
func (f *forwarder) leastRefused() *subject {
	var from *fifo[*subject]
	var least int
	for lane := range f.lanes {
		for _, list := range []*fifo[*subject]{&f.toAsk[lane], &f.runnable[lane]} {
			for i, s := range list.all() {
				if from == nil || s.wait < from.all()[least].wait {
					from, least = list, i
				}
			}
		}
	}
	if from == nil {
		return nil
	}
	return from.remove(least)
}

func (f *forwarder) publish(s *subject) {
	it := s.head()
	if s.givenUp && f.now.Before(s.tryAt) {
		f.giveUpHead(s)
		return
	}
	switch there, err := f.fetch(it); {
	case err != nil:
		f.status.read = err
		f.park(s, readRetry, readRetry, nil)
		return
	case !there: // expired or damaged: the store has accounted for it
		f.finish(it)
		f.list(s)
		return
	}
	if it.sent {
		f.retries.Add(1)
	}
	flight := f.takeFlight(it)
	s.state, it.sent = flying, true
	f.flights[&flight.msg] = flight
	flight.sending = f.spend(it.record.Lane, wireSize(&flight.msg))
	if _, err := f.connection.session.js.PublishMsgAsync(&flight.msg, publishOptions...); err != nil {
		f.settle(outcome{msg: &flight.msg, err: err})
	}
}

func (f *forwarder) takeFlight(it *item) *flight {
	var fl *flight
	if n := len(f.spare); n > 0 {
		fl, f.spare = f.spare[n-1], f.spare[:n-1]
	} else {
		fl = &flight{expected: []string{""}}
		fl.msg.Header = nats.Header{
			contentTypeHeader:              {contentType},
			bufferHeader:                   {f.buffer},
			sequenceHeader:                 {""},
			jetstream.MsgIDHeader:          {""},
			jetstream.ExpectedStreamHeader: {f.options.Stream},
		}
	}
	s := it.subject
	fl.item = it
	fl.msg.Subject, fl.msg.Data = s.name, it.body
	fl.msg.Header[sequenceHeader][0] = strconv.FormatUint(uint64(it.record.Seq), 10)
	fl.msg.Header[jetstream.MsgIDHeader][0] = it.id
	if s.conflicts < giveUpExpecting {
		// A copy of this message that was held up somewhere on the way and comes in after us is refused by this.
		fl.expected[0] = strconv.FormatUint(s.last, 10)
		fl.msg.Header[jetstream.ExpectedLastSubjSeqHeader] = fl.expected
	} else {
		delete(fl.msg.Header, jetstream.ExpectedLastSubjSeqHeader)
	}
	return fl
}

// land takes a flight out of the air; nil when it is not known any more.
func (f *forwarder) land(msg *nats.Msg) *flight {
	fl := f.flights[msg]
	if fl != nil {
		delete(f.flights, msg)
		f.limit.gone(fl.sending)
	}
	return fl
}

// settle deals with what became of one publish.
func (f *forwarder) settle(o outcome) {
	fl := f.land(o.msg)
	if fl == nil {
		return // its fate was already taken to be unknown
	}
	it, s := fl.item, fl.item.subject
	fate := fateOf(o.err)
	if fate.answered() {
		f.limit.answered(fl.sending, o.at)
		fl.item = nil
		fl.msg.Data = nil
		f.spare = append(f.spare, fl)
	}
	switch fate {
	case stored:
		f.published.Add(1)
		f.storedAt = f.now
		s.last, s.conflicts = o.seq, 0
		if o.seq <= f.tail.highest && !o.repeat {
			f.tail.regressed = true
			f.lookAgain()
		}
		f.tail.saw(o.seq, it.id)
		f.forgive(s)
		f.pause.end()
		f.finish(it)
		f.list(s)
	case refusedForEver:
		f.reject(it, f.sentence(o.err, s.name).Error())
	case conflict:
		f.conflicts.Add(1)
		s.conflicts++
		s.sure = false
		if s.conflicts > 1 {
			f.park(s, conflictWait, maxConflictWait, nil)
		} else {
			f.list(s)
		}
	case refusedForNow:
		if subjectFull(o.err) {
			f.refuse(s, f.sentence(o.err, s.name))
			return
		}
		f.refused.Add(1)
		f.pause.begin(f.now, kindOf(o.err), f.sentence(o.err, s.name), byPublish)
		f.stream.doubt(o.err)
		f.park(s, firstPause, maxPause, nil) // leastRefused goes by how long: this one may be the only one refused
	case unknown:
		s.sure = false
		switch {
		case !f.connection.alive():
			f.stream.prepared = false // until the connection is reported to be back
		case errors.Is(o.err, jetstream.ErrAsyncPublishTimeout):
			f.limit.missed(fl.sending)
			f.lookAgain()
			f.pause.begin(f.now, kindOf(o.err), f.sentence(o.err, s.name), byPublish)
		}
		f.list(s)
	}
}

func (f *forwarder) flightOf(s *subject) *nats.Msg {
	for msg, fl := range f.flights {
		if fl.item.subject == s {
			return msg
		}
	}
	return nil
}

// doubtFlights takes the fate of everything in flight to be unknown.
func (f *forwarder) doubtFlights() {
	for msg, fl := range f.flights {
		f.land(msg)
		s := fl.item.subject
		s.sure = false
		f.list(s)
	}
}

// skipStored finishes the records at the head that the stream was seen to hold.
func (f *forwarder) skipStored(s *subject) {
	for s.queue.len() > 0 && (s.head().record.Seq <= s.upTo && s.head().record.Lane == s.upToLane || s.single[s.head().record.Seq]) {
		f.resolvedStored.Add(1)
		f.published.Add(1)
		f.finish(s.head())
	}
}
