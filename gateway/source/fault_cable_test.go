package source_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// cable is a network between a client and a broker that can be cut.
type cable struct {
	listener net.Listener
	broker   string
	running  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool // guarded by mu
}

func newCable(t *testing.T, broker string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener, broker: strings.TrimPrefix(broker, "tcp://"), open: map[net.Conn]bool{}}
	c.running.Go(c.serve)
	t.Cleanup(func() {
		listener.Close()
		c.cut()
		c.running.Wait()
	})
	return c
}

func (c *cable) Address() string { return "tcp://" + c.listener.Addr().String() }

func (c *cable) serve() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", c.broker)
		if err != nil {
			client.Close()
			continue
		}
		c.mu.Lock()
		c.open[client], c.open[broker] = true, true
		c.mu.Unlock()
		c.running.Go(func() { c.carry(client, broker) })
		c.running.Go(func() { c.carry(broker, client) })
	}
}

func (c *cable) carry(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
	c.mu.Lock()
	delete(c.open, from)
	c.mu.Unlock()
}

// cut ends all connections; what is on its way is lost.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for connection := range c.open {
		_ = connection.(*net.TCPConn).SetLinger(0)
		connection.Close()
	}
	clear(c.open)
}
