package demo

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const startWait = 20 * time.Second

// NATSOptions say how an embedded NATS server runs.
type NATSOptions struct {
	Dir       string                // of its JetStream files
	Port      int                   // 0: a free one, which is kept over Stop and Start
	Configure func(*server.Options) // changes what is not given here; may be nil
}

// NATS is an embedded nats-server with JetStream on loopback.
type NATS struct {
	options NATSOptions
	server  *server.Server // nil while stopped
}

// StartNATS starts a server and waits until it takes connections.
func StartNATS(options NATSOptions) (*NATS, error) {
	n := &NATS{options: options}
	return n, n.Start()
}

// Start starts the server again after Stop, on the same port and the same files.
func (n *NATS) Start() error {
	if n.server != nil {
		return errors.New("start nats-server: it runs")
	}
	options := &server.Options{
		Host: "127.0.0.1", Port: n.options.Port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: n.options.Dir, NoSystemAccount: true,
	}
	if options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	if n.options.Configure != nil {
		n.options.Configure(options)
	}
	s, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("start nats-server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startWait) {
		s.Shutdown()
		return fmt.Errorf("start nats-server: not ready after %v", startWait)
	}
	n.server = s
	n.options.Port = s.Addr().(*net.TCPAddr).Port
	return nil
}

// URL is the address for clients; it stays the same over Stop and Start.
func (n *NATS) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.options.Port) }

// Dir is the folder of its files.
func (n *NATS) Dir() string { return n.options.Dir }

// Server is the running server, nil while it is stopped.
func (n *NATS) Server() *server.Server { return n.server }

// Stop stops the server and waits until its files are closed. Stopping a stopped one does nothing.
func (n *NATS) Stop() {
	if n.server == nil {
		return
	}
	n.server.Shutdown()
	n.server.WaitForShutdown()
	n.server = nil
}

// Close stops the server for good.
func (n *NATS) Close() { n.Stop() }
