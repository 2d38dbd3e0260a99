//go:build !edge

package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/gateway/demo"
	"belfry/gateway/gatewaytest"
)

// simulatedGateway is a gateway with the configuration that simulate writes, and the flags to send to it.
func simulatedGateway(t *testing.T) (w *town, flags []string) {
	t.Helper()
	broker, err := demo.StartMQTT(demo.MQTTOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	server, err := demo.StartNATS(demo.NATSOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	w = &town{t: t, dir: t.TempDir(), broker: broker.Address(), nats: server, status: freeAddress(t)}
	flags = []string{
		"simulate", "--semtech", freeUDPAddress(t), "--mqtt", broker.Address(), "--sensors", "24", "--rate", "30", "--seed", "7",
		"--memory", filepath.Join(t.TempDir(), "memory.json"),
	}
	if _, err := demo.WriteSimulated(w.dir, demo.SimulateOptions{MQTT: broker.Address(), Semtech: flags[2], Sensors: 24, Seed: 7}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "belfry.yaml")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.write("belfry.yaml", strings.NewReplacer("nats://127.0.0.1:4222", server.URL(), "127.0.0.1:9469", w.status).Replace(string(config)))
	return w, flags
}

// personalised lists the sensors of the folder that have their session from the factory.
func (w *town) personalised() (ids []string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "sensors", "*.csv"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		lines, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, cells := range lines[1:] {
			if last := cells[len(cells)-1]; len(cells) == 9 && last != "" {
				ids = append(ids, cells[0])
			}
		}
	}
	return ids
}

// observed counts the observations on the stream, by sensor.
func (w *town) observed() map[string]uint64 {
	w.t.Helper()
	connection, err := nats.Connect(w.nats.URL())
	if err != nil {
		w.t.Fatal(err)
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := js.Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := s.Info(w.t.Context(), jetstream.WithSubjectFilter("town.*.*.observation.>"))
	if err != nil {
		w.t.Fatal(err)
	}
	counts := map[string]uint64{}
	for subject, count := range info.State.Subjects {
		counts[subject[strings.LastIndex(subject, ".")+1:]] += count
	}
	return counts
}

func TestSimulatedTownGoesOnWhereItWasAfterAKillOfTheGateway(t *testing.T) {
	w, flags := simulatedGateway(t)
	before := map[string]uint64{}
	for run := range 2 {
		p := w.start()
		w.waitReady()
		code, stdout, stderr := belfry(t, append(flags, "--for", "8s")...)
		t.Log(stdout)
		if code != 0 {
			t.Fatalf("run %d: exit code %d\n%s", run, code, stderr)
		}
		if joins := regexp.MustCompile(`joins +[1-9]`); !joins.MatchString(stdout) || strings.Contains(stdout, "refused by the devices") {
			t.Errorf("run %d: nobody joined, or a downlink was wrong", run)
		}
		w.settled()
		after := w.observed()
		ids := w.personalised()
		if len(ids) == 0 {
			t.Fatal("no ABP sensor in the inventory")
		}
		for _, id := range ids {
			if after[id] <= before[id] {
				t.Errorf("run %d: %s had %d observations on the stream and has %d", run, id, before[id], after[id])
			}
		}
		before = after
		p.kill()
	}
}

// settled waits until the buffer has nothing left to publish.
func (w *town) settled() {
	w.t.Helper()
	gatewaytest.WaitFor(w.t, 20*time.Second, "an empty buffer", func() bool {
		_, body := w.get("/metrics")
		return strings.Contains(body, "\nbelfry_buffer_pending{lane=\"normal\"} 0\n")
	})
}

func TestSimulateSaysThatNobodyListens(t *testing.T) {
	code, _, stderr := belfry(t, "simulate", "--mqtt", "tcp://"+freeAddress(t), "--for", "500ms")
	if code != exitFailed || !strings.Contains(stderr, "not connected") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestSimulateChangesNoFileThatSaysSomethingElse(t *testing.T) {
	dir := writeFolder(t, "sensors/water.csv", "id,device,model\nreal,1,dingtek-df702\n")
	code, _, stderr := belfry(t, "simulate", "--write", dir)
	if code != exitFailed || !strings.Contains(stderr, "water.csv: there is another already") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	fresh := filepath.Join(t.TempDir(), "town")
	for range 2 { // the second time, all of it is there already
		if code, _, stderr := belfry(t, "simulate", "--write", fresh); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
	}
	info, err := os.Stat(filepath.Join(fresh, "secrets", "lorawan-keys.csv"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	if code, _, stderr := belfry(t, "check", "--config", fresh); code != 0 {
		t.Errorf("check: exit code %d: %s", code, stderr)
	}
}
