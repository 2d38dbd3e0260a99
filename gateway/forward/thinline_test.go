package forward_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// thinLine is a line to a server as a town may have it: slow, far, with a long queue before it.
type thinLine struct {
	address string
	rate    float64       // bytes a second each way; 0 for any
	delay   time.Duration // each way
	longest atomic.Int64  // longest that a byte waited before the line, nanoseconds

	group sync.WaitGroup
	mu    sync.Mutex // guards what follows
	conns []net.Conn
	done  bool
	stuck map[net.Conn]bool // carry nothing any more
}

func startThinLine(t testing.TB, listener net.Listener, to string, rate float64, delay time.Duration) *thinLine {
	t.Helper()
	l := &thinLine{address: listener.Addr().String(), rate: rate, delay: delay, stuck: map[net.Conn]bool{}}
	l.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			if !l.keep(client, server) {
				return
			}
			l.group.Go(func() { l.carry(client, server, client) })
			l.group.Go(func() { l.carry(server, client, client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.mu.Lock()
		l.done = true
		for _, conn := range l.conns {
			conn.Close()
		}
		l.mu.Unlock()
		l.group.Wait()
	})
	return l
}

func onLoopback(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func (l *thinLine) url() string { return "nats://" + l.address }

func (l *thinLine) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, conns...)
	if l.done {
		for _, conn := range conns {
			conn.Close()
		}
	}
	return !l.done
}

// stick makes the connections that there are black holes; those made later work.
func (l *thinLine) stick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		l.stuck[conn] = true
	}
}

func (l *thinLine) isStuck(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stuck[conn]
}

func (l *thinLine) carry(from, to, client net.Conn) {
	type piece struct {
		at    time.Time
		bytes []byte
	}
	pieces := make(chan piece, 1<<16)
	l.group.Go(func() {
		defer close(pieces)
		var free time.Time
		for {
			b := make([]byte, 1024)
			n, err := from.Read(b)
			if n > 0 {
				now := time.Now()
				if free.Before(now) {
					free = now
				}
				l.longest.Store(max(l.longest.Load(), int64(free.Sub(now))))
				if l.rate > 0 {
					free = free.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
				}
				pieces <- piece{free.Add(l.delay), b[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	for p := range pieces {
		time.Sleep(time.Until(p.at))
		if l.isStuck(client) {
			continue
		}
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	from.Close()
	to.Close()
	for range pieces {
	}
}
