package forward_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// logged keeps what is logged.
type logged struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func TestAuditNamesEachFaultWithItsFixOnce(t *testing.T) {
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, jetstream.StreamConfig{
		Name: "TOWN", Subjects: []string{"town.99001.>"}, Storage: jetstream.MemoryStorage, Discard: jetstream.DiscardOld,
		Duplicates: time.Minute, MaxMsgSize: 1000, Retention: jetstream.WorkQueuePolicy,
	})
	log := &logged{}
	o := options(s.URL())
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	m := newMemory()
	r := start(t, o, m)
	wait(t, r.isReady, func() string { return "never ready" })
	s.Stop()
	r.waitSaid("nats.servers")
	if err := s.Start(); err != nil { // the stream was in memory
		t.Fatal(err)
	}
	r.waitSaid("no stream")
	r.stop()
	for _, want := range []string{"--subjects 'town.>'", "kept in memory", "--discard new", "--dupe-window 30m", "one replica", "--max-msg-size=-1", "once they are consumed"} {
		if got := strings.Count(log.String(), want); got < 1 {
			t.Errorf("nothing about %q in the log:\n%s", want, log)
		}
	}
	if got := strings.Count(log.String(), "kept in memory"); got != 1 {
		t.Errorf("a finding is logged %d times, want once", got)
	}
}

func TestGoodStreamHasNoFindingsButItsReplica(t *testing.T) {
	s := startServer(t, nil)
	log := &logged{}
	o := options(s.URL())
	o.Create, o.Log = true, slog.New(slog.NewTextHandler(log, nil))
	r := start(t, o, newMemory())
	wait(t, r.isReady, func() string { return "never ready" })
	r.stop()
	if got := strings.Count(log.String(), "stream audit"); got != 1 || !strings.Contains(log.String(), "one replica") {
		t.Errorf("got %d findings, want the one about the replica:\n%s", got, log)
	}
}
