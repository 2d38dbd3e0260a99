package forward_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"belfry/buffer"
	"belfry/gateway/demo"
	"belfry/gateway/event"
	"belfry/gateway/forward"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // most of them wait
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

const deadline = 60 * time.Second

func startServer(t testing.TB, configure func(*server.Options)) *demo.NATS {
	t.Helper()
	s, err := demo.StartNATS(demo.NATSOptions{Dir: t.TempDir(), Configure: configure})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func dial(t testing.TB, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, append(options, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// townStream is a stream that recognises duplicates for 100 ms only, so that only asking can prevent them.
func townStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "TOWN", Subjects: []string{"town.>"}, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardNew, Duplicates: 100 * time.Millisecond,
	}
}

func makeStream(t testing.TB, js jetstream.JetStream, config jetstream.StreamConfig) {
	t.Helper()
	var err error
	for range 3 { // a server that has just started may be slow to answer
		if _, err = js.CreateOrUpdateStream(t.Context(), config); !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func record(id, subject string) []byte {
	return event.Record{ID: id, Subject: subject, Body: fmt.Appendf(nil, `{"id":%q}`, id)}.Append(nil)
}

// fill adds count records over the given number of subjects, with ids that count up.
func fill(m *memory, count, subjects int) {
	packed := make([][]byte, count)
	for i := range packed {
		packed[i] = record(fmt.Sprintf("id-%06d", int(m.last)+i), fmt.Sprintf("town.99001.lighting.observation.s%d", i%subjects))
	}
	m.add(buffer.Normal, packed...)
}

func options(url string) forward.Options {
	return forward.Options{
		Servers: []string{url}, Stream: "TOWN", Prefix: "town", ClientName: "mairie-nord",
		Log: slog.New(slog.DiscardHandler),
	}
}

// runner runs a sink and remembers what it said about being ready.
type runner struct {
	t    testing.TB
	sink *forward.NATS
	stop func()

	mu    sync.Mutex // guards what follows
	ready bool
	last  error
	all   []string
}

func start(t testing.TB, o forward.Options, m *memory) *runner {
	t.Helper()
	return startWith(t, o, m, func(*forward.NATS) {})
}

func startWith(t testing.TB, o forward.Options, m *memory, change func(*forward.NATS)) *runner {
	t.Helper()
	sink, err := forward.New(o)
	if err != nil {
		t.Fatal(err)
	}
	change(sink)
	r := &runner{t: t, sink: sink}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := sink.Run(ctx, m, r.told); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(deadline):
			t.Error("Run did not return")
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *runner) told(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready, r.last = err == nil, err
	if err != nil {
		r.all = append(r.all, err.Error())
	}
}

func (r *runner) isReady() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready
}

// waitSaid waits until ready was called with a text that has all parts.
func (r *runner) waitSaid(parts ...string) {
	r.t.Helper()
	wait(r.t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, text := range r.all {
			has := true
			for _, part := range parts {
				has = has && strings.Contains(text, part)
			}
			if has {
				return true
			}
		}
		return false
	}, func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Sprintf("ready never said %q, only %q", parts, r.all)
	})
}

func wait(t testing.TB, done func() bool, otherwise func() string) {
	t.Helper()
	for end := time.Now().Add(deadline); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise())
		}
	}
}

// waitPublished waits until all records of both lanes are dealt with.
func waitPublished(t testing.TB, m *memory) {
	t.Helper()
	behind := func() (text string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for lane, records := range m.records {
			if n := len(records); n > 0 && m.published[lane] < records[n-1].Seq {
				text += fmt.Sprintf("lane %d: published up to %d of %d. ", lane, m.published[lane], records[n-1].Seq)
			}
		}
		return text
	}
	wait(t, func() bool { return behind() == "" }, behind)
}

type stored struct{ id, subject, sequence string }

// read returns everything on the stream.
func read(t testing.TB, js jetstream.JetStream) []stored {
	t.Helper()
	for end := time.Now().Add(deadline); ; {
		all, err := readOnce(t.Context(), js)
		if err == nil {
			return all
		}
		if time.Now().After(end) { // a cluster between two leaders does not answer
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func readOnce(ctx context.Context, js jetstream.JetStream) (all []stored, err error) {
	stream, err := js.Stream(ctx, "TOWN")
	if err != nil {
		return nil, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	consumer, err := js.OrderedConsumer(ctx, "TOWN", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	for uint64(len(all)) < info.State.Msgs {
		batch, err := consumer.Fetch(min(1000, int(info.State.Msgs)-len(all)), jetstream.FetchMaxWait(deadline))
		if err != nil {
			return nil, err
		}
		for msg := range batch.Messages() {
			all = append(all, stored{msg.Headers().Get("Nats-Msg-Id"), msg.Subject(), msg.Headers().Get("Belfry-Sequence")})
		}
		if err := batch.Error(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// onceInOrder checks that the stream holds exactly the store's records, each once, in the store's order per subject.
func onceInOrder(t testing.TB, js jetstream.JetStream, m *memory) {
	t.Helper()
	want := map[string][]string{}
	total := 0
	for _, records := range m.records {
		for _, r := range records {
			parsed, err := event.ParseRecord(r.Data)
			if err != nil {
				t.Fatal(err)
			}
			want[parsed.Subject] = append(want[parsed.Subject], parsed.ID)
			total++
		}
	}
	got := map[string][]string{}
	all := read(t, js)
	for _, s := range all {
		got[s.subject] = append(got[s.subject], s.id)
	}
	if len(all) != total {
		t.Errorf("got %d messages on the stream, want %d", len(all), total)
	}
	for subject, ids := range want {
		if have := strings.Join(got[subject], " "); have != strings.Join(ids, " ") {
			t.Errorf("%s: got %.400s, want %.400s", subject, have, strings.Join(ids, " "))
			return
		}
	}
}
