package forward

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/gateway/secret"
)

const (
	connectTimeout = 10 * time.Second
	pingInterval   = 7 * time.Second // the third unanswered one ends the connection: a black hole shows in 14 to 21 s
	ackTimeout     = 10 * time.Second
	firstReconnect = 100 * time.Millisecond
	maxReconnect   = 5 * time.Second
	closeTimeout   = time.Second
)

// session is one client, which connects again by itself until it is closed.
type session struct {
	nc         *nats.Conn
	js         jetstream.JetStream
	closed     chan struct{}
	deniedAsk  error // no permission to ask for messages
	deniedInfo bool  // nor for the stream's settings
}

// open makes a client that keeps trying; it fails only for what is wrong on this side, such as an unreadable file.
func (f *forwarder) open(ctx context.Context) (*session, error) {
	s := &session{closed: make(chan struct{})}
	options, err := f.clientOptions(ctx, s)
	if err != nil {
		return nil, err
	}
	s.nc, err = nats.Connect(strings.Join(f.options.Servers, ","), options...)
	if err != nil {
		return nil, fmt.Errorf("nats.servers: %w", err)
	}
	s.js, err = jetstream.New(s.nc,
		jetstream.WithPublishAsyncMaxPending(1<<20), // our own window is the limit
		jetstream.WithPublishAsyncTimeout(ackTimeout),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, msg *nats.Msg, ack *jetstream.PubAck) {
			f.inbox.settle(outcome{msg: msg, seq: ack.Sequence, repeat: ack.Duplicate})
		}),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, msg *nats.Msg, err error) {
			f.inbox.settle(outcome{msg: msg, err: err})
		}),
	)
	if err != nil {
		s.nc.Close()
		return nil, fmt.Errorf("nats.stream: %w", err)
	}
	return s, nil
}

func (f *forwarder) clientOptions(ctx context.Context, s *session) ([]nats.Option, error) {
	o := f.options
	options := []nats.Option{
		nats.Name(o.ClientName),
		nats.SetCustomDialer(dialer{ctx}),
		nats.Timeout(connectTimeout),
		nats.FlusherTimeout(connectTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1), // only our queue publishes again
		nats.CustomReconnectDelay(f.reconnect),
		nats.ConnectHandler(func(*nats.Conn) { f.inbox.call(func() { f.connected(s) }) }),
		nats.ReconnectHandler(func(*nats.Conn) { f.inbox.call(func() { f.connected(s) }) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { f.inbox.call(func() { f.disconnected(s, err) }) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { f.inbox.call(func() { f.connectFailed(s, err) }) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { f.inbox.call(func() { f.complained(s, err) }) }),
		nats.ClosedHandler(func(*nats.Conn) { close(s.closed); f.inbox.call(func() { f.closed(s) }) }),
	}
	secured := o.TLS != secret.TLS{}
	for _, server := range o.Servers {
		secured = secured || strings.HasPrefix(server, "tls://")
	}
	if secured {
		config, err := o.TLS.Config(o.Dir)
		if err != nil {
			return nil, fmt.Errorf("nats.%w", err)
		}
		options = append(options, nats.Secure(config))
	} else if !o.Plaintext {
		options = append(options, nats.IgnoreDiscoveredServers()) // they may be other machines
	}
	auth, err := o.auth()
	return append(options, auth...), err
}

func reconnectDelay(attempts int) time.Duration {
	return jitter(min(firstReconnect<<min(attempts, 10), maxReconnect))
}

func (s *session) close() {
	s.js.CleanupPublisher()
	s.nc.Close()
	select {
	case <-s.closed:
	case <-time.After(closeTimeout):
	}
}

// dialer gives connections that are torn off when its context is done, whatever blocks on them.
type dialer struct{ ctx context.Context } // the client library has no context to hand over

func (d dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, connectTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &tornConn{Conn: conn, stop: context.AfterFunc(d.ctx, func() { conn.Close() })}, nil
}

type tornConn struct {
	net.Conn
	stop func() bool
}

func (c *tornConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
