package source

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"

	"belfry/gateway/secret"
)

// listen opens the listener, once all files are in order.
func (s *basicStation) listen(ctx context.Context) (*boundedListener, *tls.Config, error) {
	var config *tls.Config
	if s.options.TLS != (secret.ServerTLS{}) {
		if _, err := s.options.TLS.Config(s.env.Dir); err != nil {
			return nil, nil, fmt.Errorf("sources.%s.%w", s.env.Name, err) // it begins with the key
		}
		config = &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return s.options.TLS.Config(s.env.Dir) // a certificate that was renewed counts at once
			},
		}
	}
	if s.options.TokenFile != "" {
		if _, err := s.tokens(); err != nil {
			return nil, nil, err
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.Listen)
	if err != nil {
		return nil, nil, s.optionError("listen", fmt.Errorf("%s: %w", s.options.Listen, shorten(err)))
	}
	return &boundedListener{
		Listener: listener, limit: connectionsPerGateway*len(s.gateways) + connectionsMore, open: map[*boundedConn]bool{},
		refused: func() {
			s.count("refused_full")
		},
	}, config, nil
}

// boundedListener closes connections over its limit as soon as they come in.
type boundedListener struct {
	net.Listener
	limit   int
	refused func()

	mu   sync.Mutex
	open map[*boundedConn]bool // guarded by mu
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if connection := l.admit(accepted); connection != nil {
			return connection, nil
		}
		_ = accepted.Close() // nobody was told that it is open
		l.refused()
	}
}

func (l *boundedListener) admit(accepted net.Conn) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.limit {
		return nil
	}
	connection := &boundedConn{accepted, l}
	l.open[connection] = true
	return connection
}

// closeAll closes what is open below TLS, which could wait for the other side.
func (l *boundedListener) closeAll() {
	l.mu.Lock()
	var open []*boundedConn
	for connection := range l.open {
		open = append(open, connection)
	}
	l.mu.Unlock()
	for _, connection := range open {
		_ = connection.Close() // its reader finds out
	}
}

type boundedConn struct {
	net.Conn
	listener *boundedListener
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
