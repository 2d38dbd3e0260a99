package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// connect opens the session's connection. It leaves nothing behind when it fails. Errors name the option that an
// operator would look at.
func (s *session) connect(ctx context.Context) error {
	username, password, err := s.options.credentials(s.env.Dir)
	if err != nil {
		return fmt.Errorf("sources.%s.%w", s.env.Name, err)
	}
	var secure *tls.Config
	if s.endpoint.secure {
		if secure, err = s.options.TLS.Config(s.env.Dir); err != nil {
			return fmt.Errorf("sources.%s.%w", s.env.Name, err)
		}
	}
	options := s.clientOptions(username, password)
	options.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		return s.open(ctx, secure)
	})
	s.client = mqtt.NewClient(options)
	token := s.client.Connect().(*mqtt.ConnectToken)
	<-token.Done() // open watches ctx
	if s.unwatch != nil {
		s.unwatch()
	}
	if err := token.Error(); err != nil {
		if s.guard != nil {
			s.guard.shut()
		}
		return s.explainRefusal(token.ReturnCode(), username, err)
	}
	return nil
}

// open dials the broker; until the MQTT handshake is over, the end of ctx closes the connection.
func (s *session) open(ctx context.Context, secure *tls.Config) (net.Conn, error) {
	within, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	connection, err := dial(within, s.endpoint, secure)
	if err != nil {
		s.undialed = err
		return nil, err
	}
	s.connected = time.Now() // before the library can lose it
	s.guard = newGuard(connection, s.options.MaxPacket)
	s.guard.ids = s.ids
	s.guard.admit = func() { s.queue.admit(ctx.Done()) }
	s.unwatch = context.AfterFunc(ctx, s.guard.shut)
	return s.guard, nil
}

// clientOptions are those of a client that connects once, remembers nothing and leaves acknowledging to us.
func (s *session) clientOptions(username, password string) *mqtt.ClientOptions {
	options := mqtt.NewClientOptions()
	options.Servers = []*url.URL{s.endpoint.url} // open knows how
	return options.
		SetClientID(s.options.ClientID).
		SetUsername(username).
		SetPassword(password).
		SetCleanSession(s.options.CleanSession).
		SetProtocolVersion(4).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(connectTimeout).
		SetKeepAlive(s.options.KeepAlive).
		SetPingTimeout(pingTimeout).
		SetWriteTimeout(handOverTimeout).
		SetStore(mqtt.NewOrderedMemoryStore()).
		SetAutoAckDisabled(true).
		SetOrderMatters(true).
		SetDefaultPublishHandler(s.arrive).
		SetConnectionLostHandler(func(_ mqtt.Client, reason error) { s.lost(reason) })
}

// explainRefusal says why there is no connection.
func (s *session) explainRefusal(code byte, username string, err error) error {
	switch {
	case s.undialed != nil:
		return s.serverError(shorten(s.undialed))
	case code == packets.ErrRefusedBadUsernameOrPassword || code == packets.ErrRefusedNotAuthorised:
		if username == "" {
			return fmt.Errorf("sources.%s.username: %s wants one (%w)", s.env.Name, s.endpoint.server, err)
		}
		return fmt.Errorf("sources.%s.password_file: %s refused user %q or its password (%w)", s.env.Name, s.endpoint.server, username, err)
	case code == packets.ErrRefusedIDRejected:
		return fmt.Errorf("sources.%s.client_id: %s refused %q (%w)", s.env.Name, s.endpoint.server, s.options.ClientID, err)
	}
	if cause := s.guard.failure(); cause != nil {
		err = cause
	}
	return s.serverError(fmt.Errorf("no answer to CONNECT: %w", explainTLS(shorten(err))))
}

func (s *session) serverError(err error) error {
	return fmt.Errorf("sources.%s.server: %s: %w", s.env.Name, s.endpoint.server, err)
}

// shorten leaves out the addresses, which the message has already.
func shorten(err error) error {
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Err != nil {
		var errno syscall.Errno
		if errors.As(operation.Err, &errno) {
			return errno
		}
		return operation.Err
	}
	return err
}

// endedByBroker says whether a lost connection was closed from the other end.
func endedByBroker(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, errGoodbye)
}
