package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/decoders"
	"belfry/gateway/demo"
	"belfry/gateway/gatewaytest"
)

// The benchmark runs three programs over the same messages, each in a process of its own: a paho subscriber that does
// nothing, a pipeline of the same libraries without disk, promises or features, and Belfry. The first two are this test
// binary, told so by its environment.
const (
	bareMode   = "BELFRY_BENCH_BARE" // "subscriber" or "pipeline"
	bareBroker = "BELFRY_BENCH_BROKER"
	bareNATS   = "BELFRY_BENCH_NATS"
	bareCount  = "BELFRY_BENCH_COUNT"

	benchMessages = 60_000
	benchSensors  = 1000
	benchClient   = "belfry-box-radio" // as Belfry calls itself, so that all use a session made the same way
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(bareMode); mode != "" {
		if err := runBare(mode); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "belfry-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// runBare is the whole of the two bare programs.
func runBare(mode string) error {
	count, err := strconv.Atoi(os.Getenv(bareCount))
	if err != nil {
		return err
	}
	handle := func(mqtt.Message) error { return nil }
	flush := func() error { return nil }
	if mode == "pipeline" {
		connection, err := nats.Connect(os.Getenv(bareNATS))
		if err != nil {
			return err
		}
		defer connection.Close()
		js, err := jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(512))
		if err != nil {
			return err
		}
		handle = func(m mqtt.Message) error { return forwardBare(js, m.Payload()) }
		flush = func() error { <-js.PublishAsyncComplete(); return nil }
	}
	done := make(chan error, 1)
	seen := 0
	options := benchOptions(os.Getenv(bareBroker)).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		if err := handle(m); err != nil {
			done <- err
		}
		if seen++; seen == count {
			done <- nil
		}
	})
	client := mqtt.NewClient(options)
	if token := client.Connect(); token.Wait() && token.Error() != nil {
		return token.Error()
	}
	if err := <-done; err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	client.Disconnect(250)
	peak, _, err := residency(os.Getpid())
	fmt.Println(peak)
	return err
}

// residency returns the most memory that a process ever had resident, with the pages of files that it maps, and what it has
// now without them, in bytes. The kernel's resource usage is no good for it: that includes the parent before exec.
func residency(pid int) (peak, own int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			peak = kib << 10
		}
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kib); err == nil {
			own = kib << 10
		}
	}
	return peak, own, nil
}

// forwardBare reads four fields of a ChirpStack event, decodes its frame and publishes a small JSON of them.
func forwardBare(js jetstream.JetStream, payload []byte) error {
	var in struct {
		DeduplicationID string `json:"deduplicationId"`
		Time            time.Time
		DeviceInfo      struct {
			DevEUI string `json:"devEui"`
		} `json:"deviceInfo"`
		Data string
	}
	if err := json.Unmarshal(payload, &in); err != nil {
		return err
	}
	frame, err := base64.StdEncoding.DecodeString(in.Data)
	if err != nil || len(frame) < 9 {
		return fmt.Errorf("frame of %d bytes: %w", len(frame), err)
	}
	out, err := json.Marshal(map[string]any{
		"id": in.DeduplicationID, "time": in.Time, "device": in.DeviceInfo.DevEUI,
		"distance": int(frame[5])<<8 | int(frame[6]), "temperature": frame[8],
	})
	if err != nil {
		return err
	}
	_, err = js.PublishAsync("bare.99001.waste.observation."+in.DeviceInfo.DevEUI, out, jetstream.WithMsgID(in.DeduplicationID))
	return err
}

func benchOptions(broker string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker(broker).SetClientID(benchClient).SetCleanSession(false).SetProtocolVersion(4)
}

// cost is what one run of a program took.
type cost struct {
	wall time.Duration
	cpu  time.Duration
	peak int64 // bytes, mapped files too
	own  int64 // bytes without them, the most that was seen; 0 where nobody looked
}

func (c cost) String() string {
	text := fmt.Sprintf("%8.0f events/s %6.1f µs CPU/event %6.1f MiB peak", benchMessages/c.wall.Seconds(),
		float64(c.cpu.Microseconds())/benchMessages, float64(c.peak)/(1<<20))
	if c.own > 0 {
		text += fmt.Sprintf(" (%.1f without the pages of mapped files)", float64(c.own)/(1<<20))
	}
	return text
}

// preload makes a session that has every message waiting for it.
func preload(b *testing.B, broker string, round int) {
	b.Helper()
	client := mqtt.NewClient(benchOptions(broker))
	wait := func(token mqtt.Token) {
		b.Helper()
		if !token.WaitTimeout(time.Minute) || token.Error() != nil {
			b.Fatalf("prepare the session: %v", token.Error())
		}
	}
	wait(client.Connect())
	wait(client.Subscribe("application/+/device/+/event/+", 1, nil))
	client.Disconnect(250)
	publisher := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker).SetClientID("town").SetProtocolVersion(4))
	wait(publisher.Connect())
	defer publisher.Disconnect(250)
	var last mqtt.Token
	for n := range benchMessages {
		topic, body := good(n%benchSensors, round*benchMessages+n) // no message twice, or Belfry drops it
		last = publisher.Publish(topic, 1, false, body)
		if n%1000 == 999 {
			wait(last)
		}
	}
	wait(last)
}

// benchBare runs one of the bare programs.
func benchBare(b *testing.B, mode, broker, server string, round int) cost {
	b.Helper()
	preload(b, broker, round)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), bareMode+"="+mode, bareBroker+"="+broker, bareNATS+"="+server,
		bareCount+"="+strconv.Itoa(benchMessages))
	began := time.Now()
	out, err := command.Output()
	wall := time.Since(began)
	if err != nil {
		b.Fatalf("%s: %v\n%s", mode, err, out)
	}
	var peak int64
	if _, err := fmt.Sscan(string(out), &peak); err != nil {
		b.Fatalf("%s: %v in %q", mode, err, out)
	}
	return cost{wall: wall, cpu: spent(command.ProcessState), peak: peak}
}

func spent(state *os.ProcessState) time.Duration { return state.UserTime() + state.SystemTime() }

// benchBelfry runs Belfry until every event is on the stream.
func benchBelfry(b *testing.B, w *town, path func() (string, error), round int) cost {
	b.Helper()
	program, err := path()
	if err != nil {
		b.Fatal(err)
	}
	preload(b, w.broker, round)
	connection, err := nats.Connect(w.nats.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		b.Fatal(err)
	}
	before := stored(js)
	command := exec.Command(program, "run", "--config", w.dir)
	if file := os.Getenv("BELFRY_BENCH_METRICS"); file != "" {
		log, err := os.Create(fmt.Sprintf("%s.%d.log", file, round))
		if err != nil {
			b.Fatal(err)
		}
		defer log.Close()
		command.Stderr = log
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	var c cost
	for stored(js) < before+benchMessages {
		if _, own, err := residency(command.Process.Pid); err == nil {
			c.own = max(c.own, own)
		}
		if time.Since(began) > 2*time.Minute {
			_ = command.Process.Kill()
			b.Fatalf("after two minutes %d of %d events are on the stream", stored(js)-before, benchMessages)
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.wall = time.Since(began)
	if c.peak, _, err = residency(command.Process.Pid); err != nil {
		b.Fatal(err)
	}
	if file := os.Getenv("BELFRY_BENCH_METRICS"); file != "" { // to look into a figure
		_, metrics := w.get("/metrics")
		if err := os.WriteFile(fmt.Sprintf("%s.%d", file, round), []byte(metrics), 0o600); err != nil {
			b.Error(err)
		}
	}
	_ = command.Process.Signal(syscall.SIGTERM)
	if err := command.Wait(); err != nil {
		b.Fatal(err)
	}
	c.cpu = spent(command.ProcessState)
	return c
}

// stored counts the messages on the stream; 0 while it is not there.
func stored(js jetstream.JetStream) uint64 {
	s, err := js.Stream(context.Background(), stream)
	if err != nil {
		return 0
	}
	return s.CachedInfo().State.Msgs
}

// BenchmarkWholeWay drains a backlog of ChirpStack events out of Mosquitto, with the number in flight raised to 1,000, into
// nats-server with file storage. Each round runs all three programs, so that the ratios hold on a noisy machine.
func BenchmarkWholeWay(b *testing.B) {
	broker := gatewaytest.StartMosquitto(b, "max_inflight_messages 1000\nmax_queued_messages 0\n")
	w := newTown(b, broker.Address(), benchSensors, "")
	bare, err := demo.StartNATS(demo.NATSOptions{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bare.Close)
	connection, err := nats.Connect(bare.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "BARE", Subjects: []string{"bare.>"}}); err != nil {
		b.Fatal(err)
	}
	event := decoders.Native("dingtek-df702") // the frames must be good, or Belfry has less to do
	if _, err := event(decoders.Uplink{Port: 3, Payload: frame(1)}); err != nil {
		b.Fatal(err)
	}
	var subscriber, pipeline, belfry cost
	rounds := 0
	for b.Loop() {
		rounds++
		s, p, f := benchBare(b, "subscriber", broker.Address(), "", rounds), benchBare(b, "pipeline", broker.Address(), bare.URL(), rounds), benchBelfry(b, w, binary, rounds)
		fmt.Fprintf(os.Stderr, "round %d\n  bare paho subscriber %v\n  bare pipeline        %v\n  belfry               %v\n", rounds, s, p, f)
		subscriber.add(s)
		pipeline.add(p)
		belfry.add(f)
		if err := js.DeleteStream(b.Context(), "BARE"); err != nil {
			b.Fatal(err)
		}
		if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "BARE", Subjects: []string{"bare.>"}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rounds*benchMessages)/belfry.wall.Seconds(), "events/s")
	b.ReportMetric(float64(belfry.cpu.Microseconds())/float64(rounds*benchMessages), "µs-CPU/event")
	b.ReportMetric(100*pipeline.wall.Seconds()/belfry.wall.Seconds(), "%-of-pipeline-events/s")
	b.ReportMetric(100*belfry.cpu.Seconds()/pipeline.cpu.Seconds(), "%-of-pipeline-CPU")
	b.ReportMetric(100*subscriber.wall.Seconds()/belfry.wall.Seconds(), "%-of-subscriber-events/s")
	b.ReportMetric(float64(belfry.own)/(1<<20), "peak-MiB")
}

func (c *cost) add(other cost) {
	c.wall += other.wall
	c.cpu += other.cpu
	c.peak, c.own = max(c.peak, other.peak), max(c.own, other.own)
}
