package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/event"
)

const askTimeout = 10 * time.Second

// question asks the stream which records of one subject it holds. It is asked whenever a record of the subject may have
// been stored without our knowing: by the process before this one, by a publish whose acknowledgement got lost, or after
// somebody else published on the subject.
type question struct {
	nc      *nats.Conn
	stream  string
	buffer  string
	store   gateway.Store
	subject string
	lane    buffer.Lane
	known   uint64                // newest message on the subject that we know of, 0 for none
	first   buffer.Seq            // oldest record in question
	ids     map[string]buffer.Seq // of the records in question that are read
	whole   uint64                // only up to here does one of our records say that those before it are there; 0 for everywhere
}

// answer is what the stream holds of a subject.
type answer struct {
	last   uint64              // its newest message, 0 for none
	upTo   buffer.Seq          // newest of our own records there; all before it on the subject are there or were rejected
	single map[buffer.Seq]bool // records that are there without saying anything about those before them
	seen   uint64              // newest message that holds one of the records in question, 0 for none
	id     string              // of it
}

func (a *answer) saw(m *message) { a.seen, a.id = m.Seq, m.header.Get(jetstream.MsgIDHeader) }

func (f *forwarder) ask(s *subject) {
	q := &question{
		nc: f.connection.session.nc, stream: f.options.Stream, buffer: f.buffer, store: f.store,
		subject: s.name, lane: s.head().record.Lane, known: s.last, whole: f.tail.whole, first: s.head().record.Seq,
		ids: make(map[string]buffer.Seq, s.queue.len()),
	}
	for _, it := range s.queue.all() {
		q.ids[it.id] = it.record.Seq
	}
	s.state = asking
	f.asks++
	f.asked.Add(1)
	line := f.connection.line
	sent := f.spend(q.lane, askSize)
	f.tasks.start(func(context.Context) func() {
		a, err := q.ask(line)
		return func() {
			f.limit.gone(sent)
			f.answer(s, q, a, err)
		}
	})
}

// answer takes what the stream said about a subject.
func (f *forwarder) answer(s *subject, q *question, a answer, err error) {
	f.asks--
	if err != nil {
		f.askFailed(s, err)
		return
	}
	f.pause.answered()
	if a.last < q.known {
		f.tail.gone = max(f.tail.gone, q.known)
		f.lookAgain()
	}
	f.tail.saw(a.seen, a.id)
	s.sure, s.last = true, a.last
	if a.upTo > 0 {
		s.upTo, s.upToLane = a.upTo, q.lane
	}
	if a.upTo > 0 || len(a.single) > 0 {
		s.conflicts = 0
	}
	s.single = a.single
	f.skipStored(s)
	if s.queue.len() > 0 && s.head().sent {
		f.resolvedMissing.Add(1)
	}
	f.list(s)
}

func (f *forwarder) askFailed(s *subject, err error) {
	switch {
	case errors.Is(err, context.Canceled): // the connection it went over is gone
		f.list(s)
	case !f.connection.alive():
		f.list(s)
		f.stream.prepared = false
	case f.connection.session.deniedAsk != nil:
		f.list(s)
		f.pause.begin(f.now, "ask denied", f.connection.session.deniedAsk, byAsk)
	default:
		f.park(s, firstPause, maxPause, nil) // the next probe is another subject's
		f.pause.begin(f.now, "ask", fmt.Errorf("ask stream %q for its last message on %q: %w", f.options.Stream, s.name, err), byAsk)
	}
}

func (q *question) ask(ctx context.Context) (answer, error) {
	last, err := q.get(ctx, getRequest{LastFor: q.subject})
	if err != nil || last == nil {
		return answer{}, err
	}
	a := answer{last: last.Seq}
	if last.Seq == q.known {
		return a, nil // nothing came after what we know
	}
	if seq := q.own(last); seq > 0 && !q.torn(last) {
		if seq >= q.first {
			a.upTo = seq
			a.saw(last)
		}
		return a, nil
	}
	// Somebody else was last, or one of ours that was published after a loss: more of ours may be before it.
	return q.walk(ctx, last)
}

// own returns the number of one of our records, 0 when the message is not ours. A number alone proves nothing, since a
// buffer that is made anew counts from 1 again: what may be in question must be in the store under this number and id.
func (q *question) own(m *message) buffer.Seq {
	if m.header.Get(bufferHeader) != q.buffer {
		return 0
	}
	number, err := strconv.ParseUint(m.header.Get(sequenceHeader), 10, 64)
	seq := buffer.Seq(number)
	if err != nil || seq == 0 {
		return 0
	}
	id := m.header.Get(jetstream.MsgIDHeader)
	if seq < q.first || q.ids[id] == seq {
		return seq
	}
	records, err := q.store.Read(q.lane, seq, 1)
	if err != nil || len(records) == 0 || records[0].Seq != seq {
		return 0
	}
	record, err := event.ParseRecord(records[0].Data)
	if err != nil || record.ID != id || record.Subject != q.subject {
		return 0
	}
	return seq
}

// torn says whether records before a message may be missing though the message is there.
func (q *question) torn(m *message) bool { return q.whole > 0 && m.Seq > q.whole }

// walk looks at the messages on the subject from the newest that is known to be older than all records in question.
func (q *question) walk(ctx context.Context, last *message) (answer, error) {
	a := answer{last: last.Seq, single: map[buffer.Seq]bool{}}
	m, err := q.back(ctx, last)
	for err == nil && m != nil {
		if seq, ok := q.ids[m.header.Get(jetstream.MsgIDHeader)]; ok {
			a.single[seq] = true
			a.saw(m)
		}
		if seq := q.own(m); seq >= q.first {
			a.saw(m)
			if q.torn(m) {
				a.single[seq] = true
			} else {
				a.upTo = max(a.upTo, seq)
			}
		}
		a.last = m.Seq
		m, err = q.get(ctx, getRequest{Seq: m.Seq + 1, NextFor: q.subject})
	}
	return a, err
}

// back steps back in strides that double, to a message of ours that is older than the records in question, to the
// newest message known before, or to the oldest on the subject.
func (q *question) back(ctx context.Context, last *message) (*message, error) {
	for stride := uint64(1); ; stride *= 2 {
		from := q.known + 1
		if last.Seq > stride && last.Seq-stride > from {
			from = last.Seq - stride
		} else if from > last.Seq { // messages were removed from the end of the stream
			from = 1
		}
		m, err := q.get(ctx, getRequest{Seq: from, NextFor: q.subject})
		if err != nil || m == nil || from <= q.known+1 {
			return m, err
		}
		if seq := q.own(m); seq > 0 && seq < q.first && !q.torn(m) {
			return m, nil
		}
	}
}

// getRequest is the request of $JS.API.STREAM.MSG.GET, answered by the stream's leader; a direct get may be answered by a
// replica that lags behind.
type getRequest struct {
	Seq     uint64 `json:"seq,omitempty"`
	LastFor string `json:"last_by_subj,omitempty"`
	NextFor string `json:"next_by_subj,omitempty"`
}

type message struct {
	Seq    uint64 `json:"seq"`
	Header []byte `json:"hdrs"`
	header nats.Header
}

// get returns one message, nil when there is none.
func (q *question) get(ctx context.Context, request getRequest) (*message, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	reply, err := q.nc.RequestWithContext(ctx, getSubject(q.stream), body)
	if err != nil {
		return nil, err
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message *message            `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &response); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if response.Error != nil {
		if response.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, nil
		}
		return nil, response.Error
	}
	if response.Message == nil {
		return nil, errors.New("an answer without a message")
	}
	if len(response.Message.Header) > 0 {
		response.Message.header, err = nats.DecodeHeadersMsg(response.Message.Header)
		if err != nil {
			return nil, fmt.Errorf("read the header of message %d: %w", response.Message.Seq, err)
		}
	}
	return response.Message, nil
}

func getSubject(stream string) string { return jetstream.DefaultAPIPrefix + "STREAM.MSG.GET." + stream }
