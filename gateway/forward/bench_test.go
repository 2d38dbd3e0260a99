package forward_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway/event"
)

const benchSubjects = 1000

var benchBody = fmt.Appendf(nil, `{"data":%q}`, bytes.Repeat([]byte("x"), 788))

func benchSubject(i int) string {
	return fmt.Sprintf("town.99001.lighting.observation.s%d", i%benchSubjects)
}

// BenchmarkRun is what a backlog drains with, all promises kept; BenchmarkBarePublish is the client alone.
func BenchmarkRun(b *testing.B) {
	s := startServer(b, nil)
	makeStream(b, dial(b, s.URL()), townStream())
	m := newMemory()
	for i := range b.N {
		m.add(buffer.Normal, event.Record{ID: fmt.Sprintf("%026d", i), Subject: benchSubject(i), Body: benchBody}.Append(nil))
	}
	b.ReportAllocs()
	b.ResetTimer()
	r := start(b, options(s.URL()), m)
	waitPublished(b, m)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.StopTimer()
	r.stop()
}

func BenchmarkBarePublish(b *testing.B) {
	s := startServer(b, nil)
	makeStream(b, dial(b, s.URL()), townStream())
	nc, err := nats.Connect(s.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	window := make(chan struct{}, 512)
	js, err := jetstream.New(nc,
		jetstream.WithPublishAsyncTimeout(10*time.Second),
		jetstream.WithPublishAsyncAckHandler(func(jetstream.JetStream, *nats.Msg, *jetstream.PubAck) { <-window }),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { b.Error(err); <-window }))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		window <- struct{}{}
		msg := &nats.Msg{Subject: benchSubject(i), Data: benchBody}
		if _, err := js.PublishMsgAsync(msg, jetstream.WithMsgID(fmt.Sprintf("%026d", i)), jetstream.WithExpectStream("TOWN"), jetstream.WithRetryAttempts(0)); err != nil {
			b.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		b.Fatal("acknowledgements are missing")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
