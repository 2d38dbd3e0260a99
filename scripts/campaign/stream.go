package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func observations(sensor int) string {
	return fmt.Sprintf("town.99001.water.observation."+sensorID, sensor)
}

// streamed is one message on the stream that is not a stranger's.
type streamed struct {
	at      uint64 // stream sequence
	subject string
	id      string // Nats-Msg-Id
	record  string // number of the record and whose that is
	sensor  int    // -1 for none
	kind    string
	number  int // what the sensor counts
	check   int
	alarm   bool // raised, of an alarm
	time    time.Time
	notice  string // code, of a notice
}

// newest returns the stream's last sequence.
func newest(ctx context.Context, js jetstream.JetStream) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, streamName)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// readStream reads everything that is on the stream, in its order.
func readStream(ctx context.Context, js jetstream.JetStream) ([]streamed, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stream, err := js.Stream(ctx, streamName)
	if err != nil {
		return nil, err
	}
	last := stream.CachedInfo().State.LastSeq
	if stream.CachedInfo().State.Msgs == 0 {
		return nil, nil
	}
	consumer, err := js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	incoming, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer incoming.Stop()
	defer context.AfterFunc(ctx, incoming.Stop)()
	var all []streamed
	for {
		message, err := incoming.Next()
		if err != nil {
			return nil, fmt.Errorf("read the stream: %w", err)
		}
		info, err := message.Metadata()
		if err != nil {
			return nil, err
		}
		if message.Headers().Get(foreignHeader) == "" {
			one, err := parseStreamed(message)
			if err != nil {
				return nil, fmt.Errorf("message %d of the stream: %w", info.Sequence.Stream, err)
			}
			one.at = info.Sequence.Stream
			all = append(all, one)
		}
		if info.Sequence.Stream >= last {
			return all, nil
		}
	}
}

// parseStreamed reads an event as its consumers do.
func parseStreamed(message jetstream.Msg) (streamed, error) {
	var body struct {
		ID, Type, Subject string
		Time              time.Time
		Data              struct {
			Measurements map[string]struct{ Value float64 }
			Alarm        struct{ Active bool }
			Notice       struct{ Code string }
		}
	}
	if err := json.Unmarshal(message.Data(), &body); err != nil {
		return streamed{}, fmt.Errorf("%w in %s", err, message.Data())
	}
	header := message.Headers()
	s := streamed{
		subject: message.Subject(), id: header.Get(jetstream.MsgIDHeader), record: header.Get("Belfry-Buffer") + " " + header.Get("Belfry-Sequence"),
		sensor: -1, kind: body.Type, time: body.Time, alarm: body.Data.Alarm.Active, notice: body.Data.Notice.Code,
		number: int(body.Data.Measurements["water_volume"].Value), check: int(body.Data.Measurements["water_flow"].Value),
	}
	if s.id != body.ID {
		return streamed{}, fmt.Errorf("Nats-Msg-Id is %q, the event's id %q", s.id, body.ID)
	}
	if number, ok := strings.CutPrefix(body.Subject, "M-"); ok {
		var err error
		if s.sensor, err = strconv.Atoi(number); err != nil {
			return streamed{}, fmt.Errorf("subject %q", body.Subject)
		}
	}
	return s, nil
}
