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

// F78: settings that lose or double events.
func TestAuditNamesEachFaultWithItsFixOnce(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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

// F78: with strict, nothing is published to a stream that can lose or double events, until it is as it should be.
func TestStrictRefusesAnUnsafeStreamAndNamesTheFix(t *testing.T) {
	t.Parallel()
	servers := startCluster(t)
	js := dial(t, servers[0].URL())
	makeReplicatedStream(t, js)
	safe := townStream()
	safe.Replicas, safe.Duplicates = 3, 30*time.Minute
	tests := []struct {
		name   string
		change func(*jetstream.StreamConfig)
		says   []string
	}{
		{"discard old", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, []string{"drops its oldest", "--discard new"}},
		{"short window", func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }, []string{"duplicates for 1s only", "--dupe-window 30m"}},
		{"no acknowledgements", func(c *jetstream.StreamConfig) { c.NoAck = true }, []string{"acknowledges nothing", "--ack"}},
		{"one replica", func(c *jetstream.StreamConfig) { c.Replicas = 1 }, []string{"one replica", "--replicas 3"}},
		{"both", func(c *jetstream.StreamConfig) { c.Replicas, c.Duplicates = 1, time.Second }, []string{"one replica", "duplicates for"}},
	}
	m := newMemory()
	o := options(servers[0].URL())
	o.Strict = true
	for _, test := range tests {
		config := safe
		test.change(&config)
		makeStream(t, js, config)
		before := lastSeq(t, js)
		fill(m, 10, 10)
		r := start(t, o, m)
		r.waitSaid(append(test.says, "nats.strict", `"TOWN"`)...)
		if got := lastSeq(t, js); got != before || r.isReady() {
			t.Errorf("%s: %d messages were published, ready %v", test.name, got-before, r.isReady())
		}
		makeStream(t, js, safe)
		waitPublished(t, m)
		r.stop()
	}
	onceInOrder(t, js, m)
}

// F78: the modes that only a new stream can leave.
func TestStrictRefusesMemoryAndAsynchronousWrites(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		says   string
	}{
		{"memory", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "kept in memory"},
		{"async", func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "not written yet"},
		{"consumed", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "once they are consumed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startServer(t, nil)
			js := dial(t, s.URL())
			config := townStream()
			test.change(&config)
			makeStream(t, js, config)
			m := newMemory()
			fill(m, 10, 10)
			o := options(s.URL())
			o.Strict = true
			r := start(t, o, m)
			r.waitSaid("nats.strict", test.says)
			if got := lastSeq(t, js); got != 0 {
				t.Errorf("%d messages were published", got)
			}
		})
	}
}
