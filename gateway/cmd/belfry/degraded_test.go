package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"belfry/gateway/demo"
	"belfry/gateway/gatewaytest"
)

// waitFor503With waits until /readyz is 503 and names what is wanted, and the log has it in one line.
func (w *town) waitFor503With(p *gatewayProcess, want string) {
	w.t.Helper()
	gatewaytest.WaitFor(w.t, 20*time.Second, "/readyz and the log to say "+want, func() bool {
		code, body := w.get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, want) && strings.Contains(p.log.String(), want)
	})
}

func TestWrongBrokerIsNamedAndTheRestRuns(t *testing.T) {
	w := newTown(t, "tcp://"+freeAddress(t), 1, "")
	p := w.start()
	w.waitFor503With(p, "sources.radio.server")
	gatewaytest.WaitFor(t, 20*time.Second, "NATS to be ready all the same", func() bool {
		_, body := w.get("/readyz")
		return partReady(body, "nats")
	})
	if code, _ := w.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz answers %d, want 200: a restart does not help", code)
	}
	if n := strings.Count(p.log.String(), "sources.radio.server"); n > 3 {
		t.Errorf("the log says it %d times, want once for each change", n)
	}
	p.stop(t)
}

func TestWrongStreamIsNamedAndTheEventsAreKept(t *testing.T) {
	broker, err := demo.StartMQTT(demo.MQTTOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := newTown(t, broker.Address(), 2, "")
	path := filepath.Join(w.dir, "belfry.yaml")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.write("belfry.yaml", strings.Replace(string(config), "create: true", "create: false", 1))
	p := w.start()
	w.waitFor503With(p, "nats.stream")
	publisher := newPublisher(t, broker.Address())
	sent := map[string][]int{}
	for n := range 10 {
		publisher.send(good(n%2, n))
		sent[binID(n%2)] = append(sent[binID(n%2)], n)
	}
	publisher.flush(t)
	gatewaytest.WaitFor(t, 20*time.Second, "the events to be held", func() bool {
		_, body := w.get("/metrics")
		return strings.Contains(body, "\nbelfry_buffer_pending{lane=\"normal\"} 10\n")
	})
	p.stop(t)
	w.write("belfry.yaml", string(config)) // create: true
	p = w.start()
	got := w.read(10)
	got.checkOnceAndInOrder(t, sent)
	p.stop(t)
}

func TestMissingSecretIsNamedAndCuredWithoutARestart(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 1, "")
	secured, err := demo.StartNATS(demo.NATSOptions{Dir: t.TempDir(), Configure: func(o *server.Options) {
		o.Username, o.Password = "belfry", "hush-hush"
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(secured.Close)
	path := filepath.Join(w.dir, "belfry.yaml")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.write("belfry.yaml", strings.Replace(strings.Replace(string(config), w.nats.URL(), secured.URL(), 1),
		"stream: TOWN", "stream: TOWN, user: belfry, password_file: secrets/nats", 1))
	p := w.start()
	w.waitFor503With(p, "nats.password_file")
	gatewaytest.WaitFor(t, 20*time.Second, "the source to be ready all the same", func() bool {
		_, body := w.get("/readyz")
		return sourceReady(body)
	})
	if err := os.MkdirAll(filepath.Join(w.dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "secrets", "nats"), []byte("hush-hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.waitReady()
	if strings.Contains(p.log.String(), "hush-hush") {
		t.Error("the secret is in the log")
	}
	p.stop(t)
}

func TestSecondGatewayOnTheSameFolderIsRefused(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 1, "")
	first := w.start()
	w.waitReady()
	second := w.start()
	select {
	case err := <-second.exited:
		second.exited <- err
		if err == nil || !strings.Contains(second.log.String(), "buffer.dir") {
			t.Errorf("the second ended with %v: %s", err, second.log)
		}
	case <-time.After(10 * time.Second):
		t.Error("the second one runs")
	}
	first.stop(t)
}

// memoryAtRest is what the gateway may use with a thousand sensors and nothing to do.
const memoryAtRest = 40 << 20

func TestMemoryAtRestWithAThousandSensors(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 1000, "")
	p := w.start()
	w.waitReady()
	publisher := newPublisher(t, broker.Address())
	for n := range 1000 {
		publisher.send(good(n, n))
		if n%50 == 49 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	publisher.flush(t)
	w.read(1000)
	if rss := residentMemory(t, p.command.Process.Pid); rss > memoryAtRest {
		t.Errorf("%d MiB in use, want at most %d", rss>>20, memoryAtRest>>20)
	} else {
		t.Logf("%.1f MiB in use", float64(rss)/(1<<20))
	}
	p.stop(t)
}
