package forward_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"belfry/buffer"
)

func until(d time.Duration, done func() bool) bool {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return false
}

// F68: no stream takes one of the subjects.
func TestUrgentSubjectThatTheStreamDoesNotTakeHoldsUpNothingElse(t *testing.T) {
	s := startServer(t, nil)
	js := dial(t, s.URL())
	config := townStream()
	config.Subjects = []string{"town.*.*.observation.>"}
	makeStream(t, js, config)
	m := newMemory()
	m.add(buffer.Urgent, record("notice", "town.99001.gateway.notice.n"))
	r := start(t, options(s.URL()), m)
	r.waitSaid("no stream takes")
	fill(m, 50, 5) // observations come in as ever
	ok := until(12*time.Second, func() bool { return lastSeq(t, js) == 50 })
	t.Logf("on the stream: %d, counters %v", lastSeq(t, js), r.sink.Counters())
	if !ok {
		t.Error("observations are held up by a notice that the stream does not take")
	}
}

func TestBacklogOfOneSensorKeepsNobodyWaiting(t *testing.T) {
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	p := startSlowProxy(t, strings.TrimPrefix(s.URL(), "nats://"), 25*time.Millisecond)
	m := newMemory()
	fill(m, 6000, 1) // one sensor
	m.add(buffer.Normal, record("other", "town.99001.lighting.observation.other"))
	o := options("nats://" + p)
	start(t, o, m)
	has := func() bool {
		stream, err := js.Stream(t.Context(), "TOWN")
		if err != nil {
			return false
		}
		_, err = stream.GetLastMsgForSubject(t.Context(), "town.99001.lighting.observation.other")
		return err == nil
	}
	began := time.Now()
	ok := until(10*time.Second, has)
	t.Logf("other arrived: %v after %s, stream has %d", ok, time.Since(began), lastSeq(t, js))
	if !ok {
		t.Error("a sensor waits for the backlog of another")
	}
}

// startSlowProxy returns the address of a line to a server with a delay each way; what was sent stays in order.
func startSlowProxy(t *testing.T, to string, delay time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pipe := func(a, b net.Conn) {
		type piece struct {
			at time.Time
			b  []byte
		}
		pieces := make(chan piece, 10000)
		go func() {
			defer close(pieces)
			for {
				buf := make([]byte, 32<<10)
				n, err := a.Read(buf)
				if n > 0 {
					pieces <- piece{time.Now().Add(delay), buf[:n]}
				}
				if err != nil {
					return
				}
			}
		}()
		for p := range pieces {
			time.Sleep(time.Until(p.at))
			if _, err := b.Write(p.b); err != nil {
				break
			}
		}
		a.Close()
		b.Close()
		for range pieces {
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			go pipe(c, d)
			go pipe(d, c)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
