package forward

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	lookTimeout     = 8 * time.Second
	firstStreamWait = 500 * time.Millisecond
	maxStreamWait   = 15 * time.Second
	firstDoubtWait  = time.Second // between looks that nothing but doubts call for
	maxDoubtWait    = 30 * time.Second
)

// streamState is what the forwarder knows of its stream.
type streamState struct {
	prepared  bool // looked at since the connection is up; only then is anything published
	busy      bool
	wait      time.Duration
	retryAt   time.Time
	lookAt    time.Time // to look again because of a doubt, zero for no doubt
	doubtWait time.Duration
	doubtAt   time.Time          // before that, a doubt has to wait
	skip      context.CancelFunc // gives up asking for the stream's settings
	problem   error              // why it is not prepared
	told      string             // findings that are in the log already
}

// doubt looks at the stream again after a refusal that says it may be gone.
func (s *streamState) doubt(err error) {
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		s.prepared = false
	}
}

func (s *streamState) skipLook() {
	if s.busy && s.skip != nil {
		s.skip()
	}
}

// lookAgain has the stream compared with what it acknowledged, since something in an answer says that it may be another
// than it was. A connection does not break when its server only carries the stream of another.
// Nothing is published until it was looked at; doubts that come to nothing have to wait, longer each time.
func (f *forwarder) lookAgain() {
	s := &f.stream
	if f.now.Before(s.doubtAt) {
		s.lookAt = s.doubtAt
		return
	}
	if f.now.Sub(s.doubtAt) > maxDoubtWait {
		s.doubtWait = 0
	}
	s.prepared = false
	s.doubtWait = min(max(2*s.doubtWait, firstDoubtWait), maxDoubtWait)
	s.doubtAt = f.now.Add(s.doubtWait)
}

// sight is what one look at the stream has shown.
type sight struct {
	info *jetstream.StreamInfo // nil when we may not ask
	comparison
	err error
}

// prepare looks at the stream once the connection is up, and makes it where that is asked for.
func (f *forwarder) prepare() {
	s := &f.stream
	if s.prepared && !s.lookAt.IsZero() && !s.lookAt.After(f.now) {
		f.lookAgain()
	}
	if !f.connection.up || s.prepared || s.busy || s.retryAt.After(f.now) || f.tail.rewind {
		return
	}
	s.busy, s.lookAt = true, time.Time{}
	session, up, line := f.connection.session, f.connection.ups, f.connection.line
	asking, skip := context.WithTimeout(line, lookTimeout)
	s.skip = skip
	denied := session.deniedInfo
	c := &comparing{
		question: question{nc: session.nc, stream: f.options.Stream},
		points:   append([]checkpoint(nil), f.tail.points...), regressed: f.tail.regressed,
	}
	f.tasks.start(func(context.Context) func() {
		var seen sight
		if !denied {
			seen.info, seen.err = f.options.look(asking, session.js)
		}
		if denied || seen.err != nil && asking.Err() == context.Canceled {
			seen.info, seen.err = nil, line.Err()
		}
		skip()
		if seen.err == nil {
			seen.comparison, seen.info, seen.err = f.options.compare(line, session.js, c, seen.info)
		}
		return func() { f.looked(up, seen) }
	})
}

func (f *forwarder) looked(up int, seen sight) {
	s := &f.stream
	if !f.connection.up || f.connection.ups != up {
		return
	}
	s.busy = false
	if seen.err != nil {
		f.notPrepared(f.options.streamProblem(seen.err))
		if f.connection.session.deniedAsk != nil {
			s.problem = f.connection.session.deniedAsk
		}
		return
	}
	findings := []finding{{unsafe: true, text: fmt.Sprintf(
		"cannot be asked for its settings, so they are not checked (let this user publish to %s)", infoSubject(f.options.Stream))}}
	if seen.info != nil {
		findings = f.options.audit(seen.info.Config)
	}
	f.tell(findings)
	if err := f.options.tooUnsafe(findings); err != nil {
		f.notPrepared(err)
		return
	}
	f.verify(seen.info, seen.comparison)
	s.prepared, s.problem, s.wait = true, nil, 0
}

// notPrepared has the stream looked at again after a while.
func (f *forwarder) notPrepared(problem error) {
	s := &f.stream
	s.wait = min(max(2*s.wait, firstStreamWait), maxStreamWait)
	s.retryAt = f.now.Add(jitter(s.wait))
	s.problem = problem
}

// tell logs what the audit has found, when it is not the same as before.
func (f *forwarder) tell(findings []finding) {
	var all strings.Builder
	for _, finding := range findings {
		all.WriteString(finding.text + "\n")
	}
	if all.String() == f.stream.told {
		return
	}
	f.stream.told = all.String()
	for _, finding := range findings {
		f.log.Warn("stream audit", "stream", f.options.Stream, "finding", finding.text)
	}
}
