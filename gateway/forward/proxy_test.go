package forward_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between the sink and the server, and can do what networks do.
type proxy struct {
	listener net.Listener
	server   string
	swallow  atomic.Bool // what the server says is read and dropped
	swallows chan struct{}

	swallowInfo atomic.Bool // answers about the stream are dropped
	swallowed   atomic.Int32
	swallowAcks atomic.Bool  // acknowledgements of publishes are dropped
	refuse      atomic.Bool  // new connections are closed at once
	accepted    atomic.Int32 // connections ever, those that were refused too
	group       sync.WaitGroup

	mu    sync.Mutex    // guards what follows
	held  chan struct{} // closed by release
	conns map[net.Conn]*link
}

// link is one client's connection.
type link struct{ hold chan struct{} } // what the client says waits until it is closed; nil when it does not wait

func startProxy(t testing.TB, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: server, swallows: make(chan struct{}, 1), conns: map[net.Conn]*link{}}
	p.group.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.release()
		p.cut()
		p.group.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.accepted.Add(1); p.refuse.Load() {
			client.Close()
			continue
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		l := &link{}
		p.conns[client] = l
		p.mu.Unlock()
		p.group.Go(func() { p.up(server, client, l) })
		p.group.Go(func() { p.down(client, server) })
	}
}

// up carries what the client says, also after the client has gone: it may be held up on the way.
func (p *proxy) up(server, client net.Conn, l *link) {
	defer server.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if n > 0 {
			p.mu.Lock()
			hold := l.hold
			p.mu.Unlock()
			if hold != nil {
				<-hold
			}
			server.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) down(client, server net.Conn) {
	defer client.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		if n > 0 && p.swallowInfo.Load() && bytes.Contains(b[:n], []byte("stream_info_response")) {
			p.swallowed.Add(1)
			continue
		}
		if n > 0 && p.swallowAcks.Load() && bytes.Contains(b[:n], []byte(`{"stream":"TOWN"`)) {
			continue
		}
		if n > 0 && p.swallow.Load() {
			select {
			case p.swallows <- struct{}{}:
			default:
			}
			continue
		}
		if n > 0 {
			client.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}

// cut closes the connections of the clients; what they said before still goes to the server.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
		delete(p.conns, conn)
	}
}

// holdUp keeps what the connected clients say from now on, until release; connections made later are not held.
func (p *proxy) holdUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = make(chan struct{})
	for _, l := range p.conns {
		l.hold = p.held
	}
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}
