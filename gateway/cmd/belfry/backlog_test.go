package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway/event"
	"belfry/gateway/gatewaytest"
)

// backlogSize may name another number of events than the one that every test run bears; the benchmark asks for a million.
const backlogSize = "BELFRY_BACKLOG"

const (
	backlogSensors = 1000
	backlogLive    = 10 // sensors that send meanwhile

	maxStart         = 2 * time.Second
	maxBacklogMemory = 64 << 20
)

func TestBacklogDrainsInOrderWithLittleMemoryWhileLiveTrafficGoesOn(t *testing.T) { // F100, F60
	count := 100_000
	if asked := os.Getenv(backlogSize); asked != "" {
		var err error
		if count, err = strconv.Atoi(asked); err != nil {
			t.Fatalf("%s: %v", backlogSize, err)
		}
	}
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), backlogSensors+backlogLive, "")
	w.write("belfry.yaml", fmt.Sprintf(`gateway: box
town: {name: Belfry-sur-Seine, commune: "99001", owner: "219900016"}
sources:
  - {name: radio, kind: chirpstack, server: %q}
nats: {servers: [%q], stream: %s, create: true}
buffer: {dir: %q, max_size: 4GiB, hold: 2s}
status: {listen: %q}
`, w.broker, w.nats.URL(), stream, filepath.Join(w.dir, "data"), w.status))
	w.fillBacklog(count)
	if _, err := binary(); err != nil { // made now, not measured
		t.Fatal(err)
	}
	began := time.Now()
	gateway := w.start()
	for code := 0; code != http.StatusOK; code, _ = w.get("/readyz") {
		if time.Since(began) > 10*maxStart {
			t.Fatal("the gateway does not get ready")
		}
		time.Sleep(5 * time.Millisecond)
	}
	ready := time.Since(began)
	var stop atomic.Bool
	var live, peak, own int64
	var running sync.WaitGroup
	running.Go(func() { live = w.sendLive(&stop) })
	running.Go(func() { peak, own = watchMemory(gateway.command.Process.Pid, &stop) })
	w.waitStored(uint64(count), 5*time.Minute)
	drained := time.Since(began)
	stop.Store(true)
	running.Wait()
	w.waitStored(uint64(count)+uint64(live)+1, time.Minute) // and the notice of the start
	gatewaytest.WaitFor(t, 20*time.Second, "the disk to be back to two segments", func() bool {
		segments, err := filepath.Glob(filepath.Join(w.dir, "data", "*.seg"))
		return err == nil && len(segments) <= 2
	})
	gateway.stop(t)
	w.checkSequences(count + int(live) + 1)
	t.Logf("%d events: ready after %v, drained after %v (%.0f a second) beside %d live ones; memory at most %.1f MiB, %.1f MiB without mapped files",
		count, ready.Round(time.Millisecond), drained.Round(time.Millisecond), float64(count)/drained.Seconds(), live,
		float64(peak)/(1<<20), float64(own)/(1<<20))
	if ready > maxStart {
		t.Errorf("ready after %v, want under %v", ready, maxStart)
	}
	if peak > maxBacklogMemory {
		t.Errorf("%.1f MiB resident, want under %d MiB", float64(peak)/(1<<20), maxBacklogMemory>>20)
	}
}

// fillBacklog puts observations into the gateway's buffer, as if NATS had been away.
func (w *town) fillBacklog(count int) {
	w.t.Helper()
	store, err := buffer.Open(buffer.Options{Dir: filepath.Join(w.dir, "data"), MaxSize: 4 << 30})
	if err != nil {
		w.t.Fatal(err)
	}
	var failed atomic.Pointer[error]
	for from := 0; from < count; from += 250 {
		groups := make([]buffer.Group, 0, 250)
		for n := from; n < min(from+250, count); n++ {
			data := backlogRecord(n)
			groups = append(groups, buffer.Group{Build: func(tx *buffer.Tx) error { tx.Append(buffer.Normal, data); return nil }})
		}
		err := store.Append(w.t.Context(), groups, func(_ buffer.Outcome, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := failed.Load(); err != nil {
		w.t.Fatal(*err)
	}
}

func backlogRecord(n int) []byte {
	sensor := binID(n % backlogSensors)
	id := fmt.Sprintf("backlog%019d", n)
	body := fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/belfry/box/radio","type":"belfry.observation.v1","subject":%q,`+
		`"time":"2026-01-14T17:02:10.412Z","datacontenttype":"application/json","dataschema":"urn:belfry:event:v1","owner":"219900016",`+
		`"commune":"99001","service":"waste","data":{"sensor":{"id":%q,"kind":"waste_container","model":"dingtek-df702","device":%q},`+
		`"received":"2026-01-14T17:02:10.951Z","clock":"network","measurements":{"fill_distance":{"value":%d,"unit":"mm"},`+
		`"container_temperature":{"value":25,"unit":"Cel"},"tilt":{"value":0,"unit":"deg"}},"alarms":[],`+
		`"link":{"rssi":-57,"snr":9.5,"spreading_factor":7,"gateways":1},"flags":[]}}`, id, sensor, sensor, binEUI(n%backlogSensors), n/backlogSensors)
	return append(event.Record{ID: id, Subject: "town.99001.waste.observation." + sensor}.Append(nil), body...)
}

// sendLive publishes 100 messages a second until stop, from sensors that have no backlog, and returns how many.
func (w *town) sendLive(stop *atomic.Bool) (sent int64) {
	p := newPublisher(w.t, w.broker)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 0; !stop.Load(); n++ {
		<-tick.C
		p.send(good(backlogSensors+n%backlogLive, n))
		sent++
	}
	p.flush(w.t)
	return sent
}

// watchMemory returns the most memory that a process had resident until stop, with and without the pages of files that it
// maps.
func watchMemory(pid int, stop *atomic.Bool) (peak, own int64) {
	for !stop.Load() {
		high, now, err := residency(pid)
		if err == nil {
			peak, own = max(peak, high), max(own, now)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return peak, own
}

func (w *town) jetStream() (jetstream.JetStream, func()) {
	w.t.Helper()
	connection, err := nats.Connect(w.nats.URL(), nats.MaxReconnects(-1))
	if err != nil {
		w.t.Fatal(err)
	}
	js, err := jetstream.New(connection)
	if err != nil {
		w.t.Fatal(err)
	}
	return js, connection.Close
}

// waitStored waits until the stream holds so many messages.
func (w *town) waitStored(want uint64, patience time.Duration) {
	w.t.Helper()
	js, end := w.jetStream()
	defer end()
	gatewaytest.WaitFor(w.t, patience, fmt.Sprintf("%d messages on the stream", want), func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s, err := js.Stream(ctx, stream)
		return err == nil && s.CachedInfo().State.Msgs >= want
	})
}

// checkSequences reads the whole stream: as many messages as there should be, none twice, and on each subject in the
// order of the gateway's numbers.
func (w *town) checkSequences(want int) {
	w.t.Helper()
	js, end := w.jetStream()
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		w.t.Fatal(err)
	}
	incoming, err := consumer.Messages()
	if err != nil {
		w.t.Fatal(err)
	}
	defer incoming.Stop()
	defer context.AfterFunc(ctx, incoming.Stop)()
	newest, seen, twice, reordered := map[string]uint64{}, make([]bool, 2*want+1000), 0, 0
	for range want {
		m, err := incoming.Next()
		if err != nil {
			w.t.Fatal(err)
		}
		seq, err := strconv.ParseUint(m.Headers().Get("Belfry-Sequence"), 10, 64)
		if err != nil || seq >= uint64(len(seen)) {
			w.t.Fatalf("Belfry-Sequence: %q (%v)", m.Headers().Get("Belfry-Sequence"), err)
		}
		if seen[seq] {
			twice++
		}
		if seq < newest[m.Subject()] {
			reordered++
		}
		seen[seq], newest[m.Subject()] = true, seq
	}
	s, err := js.Stream(ctx, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	if got := int(s.CachedInfo().State.Msgs); got != want || twice > 0 || reordered > 0 {
		w.t.Errorf("%d messages on the stream, want %d; %d twice, %d out of order", got, want, twice, reordered)
	}
}
