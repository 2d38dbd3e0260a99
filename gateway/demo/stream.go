package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// streamEvent is an event as a consumer of the stream sees it.
type streamEvent struct {
	ID      string
	Type    string
	Subject string // the sensor
	Service string
	Time    time.Time
	Data    struct {
		Sensor       struct{ Model string }
		Received     time.Time
		Measurements map[string]struct {
			Value any
			Unit  string
		}
		Alarms []string
		Alarm  *struct {
			Code   string
			Active bool
		}
		Notice *struct{ Code, Reason string }
	}

	subject   string // of NATS
	messageID string // Nats-Msg-Id
	sequence  uint64
}

// values are the measurements that are numbers or states, by published name.
func (e *streamEvent) values() values {
	v := values{}
	for name, m := range e.Data.Measurements {
		switch value := m.Value.(type) {
		case float64:
			v[name] = value
		case bool:
			v[name] = 0
			if value {
				v[name] = 1
			}
		}
	}
	return v
}

// streamReader reads a stream from its beginning over a connection of its own, which survives outages of the server.
type streamReader struct {
	connection *nats.Conn
	jetstream  jetstream.JetStream
	name       string
	consuming  jetstream.ConsumeContext
	last       atomic.Uint64 // sequence on the stream
}

// openStream waits until the stream is there and then calls handle with each event, one after the other. What cannot be
// read as an event is given to handle with nothing but its place.
func openStream(ctx context.Context, url, name string, handle func(*streamEvent)) (*streamReader, error) {
	connection, err := nats.Connect(url, nats.Name("belfry demo"), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond),
		nats.RetryOnFailedConnect(true), nats.PingInterval(5*time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // the default prints to stderr
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", name, err)
	}
	r := &streamReader{connection: connection, name: name}
	if err := r.consume(ctx, handle); err != nil {
		connection.Close()
		return nil, fmt.Errorf("read stream %s: %w", name, err)
	}
	return r, nil
}

func (r *streamReader) consume(ctx context.Context, handle func(*streamEvent)) (err error) {
	if r.jetstream, err = jetstream.New(r.connection); err != nil {
		return err
	}
	if err = r.await(ctx); err != nil {
		return err
	}
	consumer, err := r.jetstream.OrderedConsumer(ctx, r.name, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	r.consuming, err = consumer.Consume(func(message jetstream.Msg) { r.receive(message, handle) },
		jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second), // notices soon that the server is gone
		jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) {})) // it goes on by itself
	return err
}

// await waits until the gateway has made the stream.
func (r *streamReader) await(ctx context.Context) error {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		_, err := r.jetstream.Stream(ctx, r.name)
		if err == nil {
			return nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (r *streamReader) receive(message jetstream.Msg, handle func(*streamEvent)) {
	metadata, err := message.Metadata()
	if err != nil || metadata.Sequence.Stream <= r.last.Load() {
		return // delivered again after an outage
	}
	var e streamEvent
	if err := json.Unmarshal(message.Data(), &e); err != nil {
		e = streamEvent{}
	}
	e.subject, e.messageID, e.sequence = message.Subject(), message.Headers().Get(nats.MsgIdHdr), metadata.Sequence.Stream
	handle(&e)
	r.last.Store(e.sequence)
}

// caughtUp says whether everything on the stream was handled.
func (r *streamReader) caughtUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	stream, err := r.jetstream.Stream(ctx, r.name)
	return err == nil && stream.CachedInfo().State.LastSeq == r.last.Load()
}

func (r *streamReader) close() {
	r.consuming.Stop()
	<-r.consuming.Closed()
	r.connection.Close()
}
