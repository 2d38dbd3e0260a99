package demo

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chirpstack/chirpstack/api/go/v4/integration"
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"belfry/decoders"
)

// relay stands in for the gateway: it keeps what it takes in memory and publishes until the server has it.
type relay struct {
	t          *testing.T
	sensors    map[string][]string // cells of the inventory by device
	raised     map[[2]string]bool
	spoil      func(*wireEvent) bool // false: do not publish; may be nil
	queue      chan func() []wireEvent
	keys       map[string][]string // cells of the key file by device
	done       chan struct{}
	taken      atomic.Uint64
	published  atomic.Uint64
	pending    atomic.Int64
	quarantine sync.Map
}

// wireEvent is the part of an event that the demo looks at.
type wireEvent struct {
	ID      string    `json:"id"`
	Subject string    `json:"subject"`
	Service string    `json:"service"`
	Time    time.Time `json:"time"`
	Data    wireData  `json:"data"`
}

type wireData struct {
	Received     time.Time              `json:"received"`
	Sensor       map[string]string      `json:"sensor"`
	Measurements map[string]wireReading `json:"measurements,omitempty"`
	Alarm        *struct {
		Code   string
		Active bool
	} `json:"alarm,omitempty"`
}

type wireReading struct {
	Value decoders.Value `json:"value"`
	Unit  string         `json:"unit,omitempty"`
}

// startRelay is a RunOptions.Gateway.
func (r *relay) start(ctx context.Context, dir string) (Probe, error) {
	r.raised, r.queue, r.done = map[[2]string]bool{}, make(chan func() []wireEvent, 100000), make(chan struct{})
	yaml, err := os.ReadFile(filepath.Join(dir, "belfry.yaml"))
	if err != nil {
		return nil, err
	}
	r.sensors, r.keys = r.readTables(filepath.Join(dir, "sensors"), 1), r.readTables(filepath.Join(dir, "secrets"), 0)
	radio, err := openRelayRadio(r, regexp.MustCompile(`listen: ([0-9.]+:[0-9]+)\n    gateways`).FindStringSubmatch(string(yaml))[1])
	if err != nil {
		return nil, err
	}
	connection, err := nats.Connect(regexp.MustCompile(`nats://[0-9.:]+`).FindString(string(yaml)),
		nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(connection)
	if err != nil {
		return nil, err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "TOWN", Subjects: []string{"town.>"}}); err != nil {
		return nil, err
	}
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(regexp.MustCompile(`tcp://[0-9.:]+`).FindString(string(yaml))).
		SetClientID("relay").SetProtocolVersion(4).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		r.taken.Add(1)
		r.pending.Add(1)
		r.queue <- func() []wireEvent {
			events := r.events(m)
			for i := range events {
				events[i].ID = fmt.Sprintf("%d-%d", m.MessageID(), i) + events[i].ID
			}
			return events
		}
	}))
	for _, token := range []func() mqtt.Token{client.Connect, func() mqtt.Token { return client.Subscribe("#", 1, nil) }} {
		if token := token(); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
			return nil, fmt.Errorf("relay: %w", token.Error())
		}
	}
	go func() { // Wait waits for it
		defer close(r.done)
		defer connection.Close()
		defer client.Disconnect(100)
		defer radio.close()
		r.run(ctx, js)
	}()
	return r, nil
}

func (r *relay) Wait() error { <-r.done; return nil }

func (r *relay) Stats() (taken, published, pending, held, quarantined uint64) {
	r.quarantine.Range(func(any, any) bool { quarantined++; return true })
	return r.taken.Load(), r.published.Load(), uint64(r.pending.Load()), 0, quarantined
}

// readTables reads all CSV files of a folder, by the cell that is the device.
func (r *relay) readTables(dir string, device int) map[string][]string {
	table := map[string][]string{}
	files, _ := filepath.Glob(filepath.Join(dir, "*.csv"))
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			r.t.Error(err)
		}
		lines, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
		if err != nil {
			r.t.Error(err)
		}
		for _, cells := range lines {
			table[cells[device]] = cells
		}
	}
	return table
}

func (r *relay) run(ctx context.Context, js jetstream.JetStream) {
	for {
		select {
		case read := <-r.queue:
			for _, e := range read() {
				if r.spoil == nil || r.spoil(&e) {
					r.publish(ctx, js, &e)
				}
			}
			r.pending.Add(-1)
		case <-ctx.Done():
			return
		}
	}
}

func (r *relay) publish(ctx context.Context, js jetstream.JetStream, e *wireEvent) {
	packed, err := json.Marshal(e)
	if err != nil {
		r.t.Error(err)
	}
	for ctx.Err() == nil {
		_, err := js.Publish(ctx, "town.99001."+e.Service+".observation."+e.Subject, packed, jetstream.WithMsgID(e.ID))
		if err == nil {
			r.published.Add(1)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// events reads a message as the town means it, from the outside: topic, envelope, native decoder.
func (r *relay) events(m mqtt.Message) []wireEvent {
	parts := strings.Split(m.Topic(), "/")
	device := parts[1]
	if parts[0] == "application" {
		device = parts[3]
	}
	cells, ok := r.sensors[device]
	if !ok {
		r.quarantine.Store(m.Topic(), true)
		return nil
	}
	event := wireEvent{Subject: cells[0], Service: cells[3]}
	event.Data.Sensor, event.Data.Received = map[string]string{"model": cells[2]}, time.Now()
	switch message := (&Message{Topic: m.Topic(), Payload: m.Payload()}); parts[len(parts)-1] {
	case "up":
		uplink, _ := uplinkOf(r.t, message)
		output, err := decoders.Run(decoders.Native(cells[2]), uplink)
		if err != nil {
			r.t.Error(err)
			return nil
		}
		event.ID = fmt.Sprintf("%x", uplink.Received.UnixNano())
		return r.decoded(event, output, uplink.Received)
	case "status":
		var status integration.StatusEvent
		if err := unmarshal(m.Payload(), &status); err != nil {
			r.t.Error(err)
		}
		event.ID, event.Time = status.DeduplicationId, status.Time.AsTime()
		event.Data.Measurements = map[string]wireReading{"battery_level": {Value: decoders.Number(status.BatteryLevel), Unit: "%"}}
		return []wireEvent{event}
	case "state":
		return r.plain(event, m.Payload())
	}
	return nil
}

func unmarshal(payload []byte, m proto.Message) error {
	if payload[0] == '{' {
		return protojson.Unmarshal(payload, m)
	}
	return proto.Unmarshal(payload, m)
}

func (r *relay) decoded(event wireEvent, output decoders.Output, heard time.Time) []wireEvent {
	var events []wireEvent
	for _, sample := range output.Samples {
		e := event
		e.Time, e.Data.Measurements = sample.Time, map[string]wireReading{}
		if e.Time.IsZero() {
			e.Time = heard
		}
		for name, f := range fieldOf {
			if v := field(sample, f); v.Kind() != decoders.KindNone {
				e.Data.Measurements[name] = wireReading{Value: v}
			}
		}
		events = append(events, e)
	}
	newest := output.Samples[len(output.Samples)-1]
	for code, f := range alarmField {
		if v := field(newest, f); v.Kind() != decoders.KindNone {
			events = r.edge(events, code, v.Bool())
		}
	}
	return events
}

func (r *relay) plain(event wireEvent, payload []byte) []wireEvent {
	var state jsonState
	if err := json.Unmarshal(payload, &state); err != nil {
		r.t.Error(err)
	}
	event.ID, event.Time = state.ID, state.Time
	event.Data.Measurements = map[string]wireReading{
		"fill_level": {Value: decoders.Number(state.Level)}, "fill_distance": {Value: decoders.Number(state.Distance)},
		"container_temperature": {Value: decoders.Number(state.Temperature)}, "battery_voltage": {Value: decoders.Number(state.Voltage)},
	}
	events := r.edge([]wireEvent{event}, "container_fire", state.Fire)
	events = r.edge(events, "container_full", state.Level > 90)
	return r.edge(events, "container_tipped", state.Tilt)
}

func (r *relay) edge(events []wireEvent, code string, active bool) []wireEvent {
	e := events[0]
	if key := [2]string{e.Subject, code}; r.raised[key] != active {
		r.raised[key] = active
		e.Data.Measurements, e.Data.Alarm = nil, &struct {
			Code   string
			Active bool
		}{code, active}
		events = append(events, e)
	}
	return events
}
