package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

const (
	connectTimeout = 20 * time.Second // network, TLS and MQTT handshake together
	sendTimeout    = 20 * time.Second // how long sent bytes may stay unacknowledged by the broker's machine
)

// dial opens the byte stream to a broker. config is used for secure endpoints only.
func dial(ctx context.Context, to endpoint, config *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{KeepAlive: 15 * time.Second, Control: limitSendTime}
	if to.websocket {
		return dialWebsocket(ctx, dialer, to, config)
	}
	if to.secure {
		connection, err := (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", to.url.Host)
		return connection, explainTLS(err)
	}
	return dialer.DialContext(ctx, "tcp", to.url.Host)
}

// explainTLS adds what an operator can do about a certificate that is refused.
func explainTLS(err error) error {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("%w (set tls.ca to the authority that signed the broker's certificate)", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w (set tls.server_name to the name in the broker's certificate)", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w (renew the broker's certificate, or set this machine's clock)", err)
	default:
		return err
	}
}

// dialWebsocket does not ask the environment for a proxy: the gateway connects to what is configured and nothing else.
func dialWebsocket(ctx context.Context, dialer *net.Dialer, to endpoint, config *tls.Config) (net.Conn, error) {
	upgrade := websocket.Dialer{
		NetDialContext:   dialer.DialContext,
		TLSClientConfig:  config,
		HandshakeTimeout: connectTimeout,
		Subprotocols:     []string{"mqtt"},
	}
	connection, response, err := upgrade.DialContext(ctx, to.url.String(), nil)
	if errors.Is(err, websocket.ErrBadHandshake) && response != nil {
		return nil, fmt.Errorf("%w: the server answered %q (is the path right?)", err, response.Status)
	}
	if err != nil {
		return nil, explainTLS(err)
	}
	return &frames{Conn: connection}, nil
}

// frames makes a byte stream of the binary messages of a WebSocket.
type frames struct {
	*websocket.Conn
	message io.Reader // what is left of the message being read, nil between two
}

var _ net.Conn = (*frames)(nil)

// Read implements net.Conn.
func (f *frames) Read(p []byte) (int, error) {
	for {
		if f.message == nil {
			kind, message, err := f.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("text message on a WebSocket that should carry MQTT")
			}
			f.message = message
		}
		n, err := f.message.Read(p)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		f.message = nil
		if n > 0 {
			return n, nil
		}
	}
}

// Write implements net.Conn. The guard calls it from one goroutine at a time.
func (f *frames) Write(p []byte) (int, error) {
	if err := f.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline implements net.Conn.
func (f *frames) SetDeadline(t time.Time) error {
	return errors.Join(f.SetReadDeadline(t), f.SetWriteDeadline(t))
}
