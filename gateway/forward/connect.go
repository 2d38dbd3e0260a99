package forward

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// connection is the forwarder's view of its connection.
type connection struct {
	session  *session
	starting bool
	up       bool
	ups      int             // how often it came up
	line     context.Context // of requests over the connection as it is up now
	cut      context.CancelFunc
	failures int       // sessions that could not be started, in a row
	retryAt  time.Time // to start a session
	problem  error     // why it is not up
	failed   failure   // what kind of problem: the first of a kind speaks for all of them
}

type failure uint8

const (
	noFailure failure = iota
	noConnection
	noLogin
)

func (c *connection) alive() bool { return c.session != nil && c.up && c.session.nc.IsConnected() }

// connect starts a client when there is none.
func (f *forwarder) connect() {
	c := &f.connection
	if c.session != nil || c.starting || c.retryAt.After(f.now) {
		return
	}
	c.starting = true
	f.tasks.start(func(ctx context.Context) func() {
		s, err := f.open(ctx)
		return func() { f.opened(s, err) }
	})
}

func (f *forwarder) opened(s *session, err error) {
	c := &f.connection
	c.starting = false
	if err != nil {
		f.sessionLost(err)
		return
	}
	c.session, c.failures = s, 0
	if s.nc.IsConnected() {
		f.connected(s)
	}
}

func (f *forwarder) sessionLost(err error) {
	c := &f.connection
	c.session, c.problem = nil, err
	c.retryAt = f.now.Add(f.reconnect(c.failures))
	c.failures++
	f.down()
}

// down ends what goes over the connection; the fate of what is in flight is not known any more.
func (f *forwarder) down() {
	if f.connection.up {
		f.connection.up = false
		f.connection.cut()
	}
	f.stream.prepared = false
	f.doubtFlights()
}

func (f *forwarder) connected(s *session) {
	c := &f.connection
	if c.session != s || c.up {
		return
	}
	if c.ups > 0 {
		f.reconnects.Add(1)
	}
	c.ups++
	c.up, c.problem, c.failed = true, nil, noFailure
	c.line, c.cut = context.WithCancel(f.tasks.ctx)
	s.deniedAsk, s.deniedInfo = nil, false
	f.stream.prepared, f.stream.busy, f.stream.retryAt = false, false, f.now
	f.pause.end()
	flying := f.limit.flying
	f.limit = newLimit() // it may be another line
	f.limit.flying = flying
}

func (f *forwarder) disconnected(s *session, err error) {
	c := &f.connection
	if c.session != s {
		return
	}
	if err == nil {
		err = errors.New("connection lost")
	}
	c.problem = fmt.Errorf("nats.servers: %w", err)
	f.down()
}

func (f *forwarder) connectFailed(s *session, err error) {
	c := &f.connection
	if c.session != s && !c.starting || c.up {
		return
	}
	if !isLogin(err) {
		if c.failed != noConnection {
			c.failed = noConnection
			c.problem = fmt.Errorf("nats.servers: connect to %s: %w", strings.Join(f.options.Servers, ", "), err)
		}
		return
	}
	if c.failed != noLogin {
		c.failed = noLogin
		c.problem = fmt.Errorf("nats.%s: the server refused the login: %w", f.options.loginKey(), err)
	}
	if f.options.NkeySeed != "" && c.session == s {
		// The public key is part of the client: a new seed file needs a new client.
		f.sessionLost(c.problem)
		f.discard(s)
	}
}

// isLogin says whether the server turned us away because of who we are.
func isLogin(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "authorization") || strings.Contains(text, "authentication") || strings.Contains(text, "account")
}

func (o Options) loginKey() string {
	switch {
	case o.Credentials != "":
		return "credentials"
	case o.NkeySeed != "":
		return "nkey_seed"
	case o.TokenFile != "":
		return "token_file"
	case o.User != "":
		return "password_file"
	}
	return "user"
}

// complained takes errors that belong to no call: permissions, above all.
func (f *forwarder) complained(s *session, err error) {
	if f.connection.session != s {
		return
	}
	direction, subject, ok := deniedTo(err)
	problem := fmt.Errorf("nats.%s: no permission to publish to %q; let this user publish to %s.>", f.options.loginKey(), subject, f.options.Prefix)
	switch {
	case !ok && !f.connection.up && isLogin(err): // of a connection that was up before, the client says it only here
		f.connectFailed(s, err)
	case !ok:
		f.log.Debug("NATS client", "err", err)
	case direction == "Subscription":
		f.pause.begin(f.now, "inbox denied", fmt.Errorf("nats.%s: no permission to subscribe to %q, where acknowledgements come in; let this user subscribe to _INBOX.>", f.options.loginKey(), subject), byPublish)
	case subject == getSubject(f.options.Stream):
		s.deniedAsk = problem
		f.pause.begin(f.now, "ask denied", problem, byAsk)
	case subject == infoSubject(f.options.Stream):
		s.deniedInfo = true
		f.stream.skipLook()
	case strings.HasPrefix(subject, jetstream.DefaultAPIPrefix):
		// making the stream: prepare sees it as no answer
	default:
		f.deny(subject, problem)
	}
}

func (f *forwarder) closed(s *session) {
	if f.connection.session == s {
		f.sessionLost(errors.New("nats.servers: the client closed its connection"))
	}
}

// closeSession closes the client and waits until its goroutines are told.
func (f *forwarder) closeSession() {
	s := f.connection.session
	if s == nil {
		return
	}
	f.connection.session = nil
	f.down()
	s.close()
}

// discard closes a client without holding up the loop.
func (f *forwarder) discard(s *session) {
	f.tasks.start(func(context.Context) func() {
		s.close()
		return func() {}
	})
}
