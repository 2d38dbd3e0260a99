package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway/demo"
	"belfry/gateway/event"
	"belfry/gateway/gatewaytest"
)

// buildDir is where binary builds; TestMain makes and removes it.
var buildDir string

// binary builds the program as users get it, once, when the first test wants it.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "belfry")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// town is a configuration folder with bins, and the brokers round it.
type town struct {
	t      testing.TB
	dir    string
	broker string // address of the MQTT broker
	nats   *demo.NATS
	status string // address of the gateway's status server
	bins   int
}

const stream = "TOWN"

// newTown writes the folder. NATS is prepared but stopped when absent.
func newTown(t testing.TB, broker string, bins int, more string) *town {
	t.Helper()
	server, err := demo.StartNATS(demo.NATSOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	w := &town{t: t, dir: t.TempDir(), broker: broker, nats: server, status: freeAddress(t), bins: bins}
	w.write("belfry.yaml", fmt.Sprintf(`gateway: box
town: {name: Belfry-sur-Seine, commune: "99001", owner: "219900016"}
sources:
  - {name: radio, kind: chirpstack, server: %q}
nats: {servers: [%q], stream: %s, create: true}
buffer: {dir: %q}
status: {listen: %q}
%s`, broker, server.URL(), stream, filepath.Join(w.dir, "data"), w.status, more))
	var lines strings.Builder
	lines.WriteString("id,device,model\n")
	for i := range bins {
		fmt.Fprintf(&lines, "%s,%s,dingtek-df702\n", binID(i), binEUI(i))
	}
	w.write("sensors/bins.csv", lines.String())
	return w
}

func (w *town) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func binID(i int) string  { return fmt.Sprintf("BIN-%04d", i) }
func binEUI(i int) string { return fmt.Sprintf("70b3d5e75e%06x", i) }

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// gatewayProcess is a running belfry.
type gatewayProcess struct {
	command *exec.Cmd
	log     *lockedBuffer
	exited  chan error
}

type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start starts the gateway, with an addition to its environment.
func (w *town) start(environment ...string) *gatewayProcess {
	w.t.Helper()
	path, err := binary()
	if err != nil {
		w.t.Fatal(err)
	}
	return w.launch(exec.Command(path, "run", "--config", w.dir), environment...)
}

// launch starts any program that is a gateway.
func (w *town) launch(command *exec.Cmd, environment ...string) *gatewayProcess {
	w.t.Helper()
	p := &gatewayProcess{command, &lockedBuffer{}, make(chan error, 1)}
	p.command.Stdout, p.command.Stderr = p.log, p.log
	p.command.Env = append(os.Environ(), environment...)
	if err := p.command.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { p.exited <- p.command.Wait() }() // ended by the cleanup below at the latest
	w.t.Cleanup(func() {
		_ = p.command.Process.Kill()
		if w.t.Failed() {
			w.t.Logf("log of the gateway:\n%s", tail(p.log.String(), 6000))
		}
	})
	return p
}

func tail(text string, n int) string {
	if len(text) > n {
		return "..." + text[len(text)-n:]
	}
	return text
}

// stop tells the gateway to stop and waits for it.
func (p *gatewayProcess) stop(t *testing.T) {
	t.Helper()
	began := time.Now()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.exited:
		p.exited <- err
		if err != nil {
			t.Errorf("gateway ended with %v after SIGTERM, want exit code 0", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("gateway still runs %v after SIGTERM", time.Since(began))
	}
}

func (p *gatewayProcess) kill() {
	_ = p.command.Process.Kill()
	err := <-p.exited
	p.exited <- err
}

// get asks the gateway's status server.
func (w *town) get(path string) (int, string) {
	response, err := http.Get("http://" + w.status + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func (w *town) waitReady() {
	w.t.Helper()
	gatewaytest.WaitFor(w.t, 20*time.Second, "the gateway to be ready", func() bool {
		code, _ := w.get("/readyz")
		return code == http.StatusOK
	})
}

// frame is a DF702 data frame that reads the given distance in mm.
func frame(distance int) []byte {
	f, err := hex.DecodeString("800001011107d000190000000000000081")
	if err != nil {
		panic(err)
	}
	f[5], f[6] = byte(distance>>8), byte(distance)
	return f
}

// message is what the network server would publish for the n-th uplink of a bin.
func message(bin, n int, payload string) (topic string, body []byte) {
	eui := binEUI(bin)
	return "application/7/device/" + eui + "/event/up", fmt.Appendf(nil, `{"deduplicationId":"00000000-0000-4000-%04x-%012x",`+
		`"time":%q,"deviceInfo":{"tenantId":"52f14cd4-c6f1-4fbd-8f87-4025e1d49242","tenantName":"Town","applicationId":"7",`+
		`"applicationName":"waste","deviceProfileId":"1","deviceProfileName":"DF702","deviceName":"bin %d","devEui":%q,"tags":{}},`+
		`"devAddr":"01020304","adr":true,"dr":5,"fCnt":%d,"fPort":3,"confirmed":false,"data":%q,`+
		`"rxInfo":[{"gatewayId":"0016c001f153a14c","uplinkId":4217106255,"rssi":-57,"snr":9.5,"context":"EFwMtA==","metadata":{},"crcStatus":"CRC_OK"}],`+
		`"txInfo":{"frequency":868100000,"modulation":{"lora":{"bandwidth":125000,"spreadingFactor":7,"codeRate":"CR_4_5"}}}}`,
		bin, n, time.Now().UTC().Format(time.RFC3339Nano), bin, eui, n, payload)
}

func good(bin, n int) (string, []byte) {
	return message(bin, n, base64.StdEncoding.EncodeToString(frame(n%10000)))
}

// publisher sends with QoS 1 and waits for every PUBACK.
type publisher struct {
	client mqtt.Client
	tokens []mqtt.Token
}

func newPublisher(t testing.TB, broker string) *publisher {
	t.Helper()
	options := mqtt.NewClientOptions().AddBroker(broker).SetClientID("town").SetProtocolVersion(4).SetKeepAlive(60 * time.Second)
	client := mqtt.NewClient(options)
	token := client.Connect()
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("connect publisher: %v", token.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	return &publisher{client: client}
}

func (p *publisher) send(topic string, body []byte) {
	p.tokens = append(p.tokens, p.client.Publish(topic, 1, false, body))
}

// flush waits until the broker has acknowledged everything that was sent.
func (p *publisher) flush(t testing.TB) {
	t.Helper()
	for _, token := range p.tokens {
		if !token.WaitTimeout(60*time.Second) || token.Error() != nil {
			t.Fatalf("the broker did not acknowledge a message: %v", token.Error())
		}
	}
	p.tokens = nil
}

// received is what a stream holds.
type received struct {
	observations map[string][]int // by sensor: the distances in stream order
	ids          map[string]int
	bodies       [][]byte
	notices      int
}

// read reads the whole stream once it holds the given number of messages.
func (w *town) read(want int) received {
	w.t.Helper()
	connection, err := nats.Connect(w.nats.URL(), nats.MaxReconnects(-1))
	if err != nil {
		w.t.Fatal(err)
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	gatewaytest.WaitFor(w.t, 90*time.Second, fmt.Sprintf("%d observations on the stream", want), func() bool {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return false
		}
		info, err := s.Info(ctx, jetstream.WithSubjectFilter("town.*.*.observation.>"))
		if err != nil {
			return false
		}
		observations := uint64(0)
		for _, n := range info.State.Subjects {
			observations += n
		}
		return observations >= uint64(want)
	})
	s, err := js.Stream(ctx, stream) // anew: the server counts messages before it counts those of each subject
	if err != nil {
		w.t.Fatal(err)
	}
	messages := s.CachedInfo().State.Msgs
	consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	incoming, err := consumer.Messages()
	if err != nil {
		w.t.Fatal(err)
	}
	defer incoming.Stop()
	defer context.AfterFunc(ctx, incoming.Stop)()
	got := received{observations: map[string][]int{}, ids: map[string]int{}}
	for range messages {
		m, err := incoming.Next()
		if err != nil {
			w.t.Fatal(err)
		}
		got.add(w.t, m)
	}
	return got
}

func (r *received) add(t testing.TB, m jetstream.Msg) {
	t.Helper()
	var body struct {
		ID, Type, Subject string
		Data              struct {
			Measurements map[string]struct{ Value float64 }
		}
	}
	if err := json.Unmarshal(m.Data(), &body); err != nil {
		t.Fatalf("%v in %s", err, m.Data())
	}
	if id := m.Headers().Get("Nats-Msg-Id"); id != body.ID {
		t.Errorf("Nats-Msg-Id is %q, the event's id %q", id, body.ID)
	}
	r.ids[body.ID]++
	r.bodies = append(r.bodies, m.Data())
	switch body.Type {
	case event.TypeObservation:
		r.observations[body.Subject] = append(r.observations[body.Subject], int(body.Data.Measurements["fill_distance"].Value))
	case event.TypeNotice:
		r.notices++
	}
}

// checkOnceAndInOrder holds the stream against what was sent: per bin the distances in the order of sending.
func (r *received) checkOnceAndInOrder(t *testing.T, sent map[string][]int) {
	t.Helper()
	lost, twice, reordered := 0, 0, 0
	for id, n := range r.ids {
		if n > 1 {
			twice++
			if twice < 4 {
				t.Errorf("id %s is on the stream %d times", id, n)
			}
		}
	}
	for sensor, want := range sent {
		got := r.observations[sensor]
		if len(got) < len(want) {
			lost += len(want) - len(got)
		} else if len(got) > len(want) {
			twice += len(got) - len(want)
		}
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				reordered++
				break
			}
		}
	}
	if lost+twice+reordered > 0 {
		t.Errorf("%d lost, %d twice, %d sensors out of order", lost, twice, reordered)
	}
	for sensor := range r.observations {
		if sent[sensor] == nil {
			t.Errorf("%s is on the stream and was not sent", sensor)
		}
	}
}

func TestTenThousandEventsArriveOnceAndTheBadOnesAreKept(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 100, "")
	gateway := w.start()
	w.waitReady()

	type bad struct{ raw, reason string }
	var spoilt []bad
	sent := map[string][]int{}
	p := newPublisher(t, broker.Address())
	for n := range 10_000 {
		bin := n % w.bins
		topic, body := good(bin, n)
		if n%100 == 37 { // one in a hundred, four kinds in turn
			switch n / 100 % 4 {
			case 0:
				body = body[:len(body)/2]
				spoilt = append(spoilt, bad{string(body), "JSON"})
			case 1:
				_, body = message(bin, n, "!!not base64!!")
				spoilt = append(spoilt, bad{string(body), "base64"})
			case 2:
				topic, body = good(w.bins+5, n)
				spoilt = append(spoilt, bad{string(body), "no sensor with device"})
			case 3:
				_, body = message(bin, n, base64.StdEncoding.EncodeToString(frame(n)[:9]))
				spoilt = append(spoilt, bad{string(body), "9 bytes"})
			}
			p.send(topic, body)
			continue
		}
		p.send(topic, body)
		sent[binID(bin)] = append(sent[binID(bin)], n%10000)
		if n%50 == 49 {
			time.Sleep(10 * time.Millisecond) // 5,000 a second: no faster than Mosquitto's queue of 1,000 bears
		}
	}
	p.flush(t)
	got := w.read(9_900)
	got.checkOnceAndInOrder(t, sent)
	if got.notices != 1 {
		t.Errorf("got %d notices, want the one of the start", got.notices)
	}
	checkSchema(t, got.bodies)
	gateway.stop(t)
	w.checkLedger(t, got.ids)

	store, err := buffer.Open(buffer.Options{Dir: filepath.Join(w.dir, "data"), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	records, err := store.Read(buffer.Quarantine, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != len(spoilt) {
		t.Fatalf("%d messages in quarantine, want %d", len(records), len(spoilt))
	}
	for i, record := range records {
		q, err := event.ParseQuarantined(record.Data)
		if err != nil {
			t.Fatal(err)
		}
		if string(q.Raw) != spoilt[i].raw {
			t.Errorf("message %d in quarantine is %q, want %q", i, q.Raw, spoilt[i].raw)
		}
		if !strings.Contains(q.Reason, spoilt[i].reason) {
			t.Errorf("message %d in quarantine because of %q, want %q in it", i, q.Reason, spoilt[i].reason)
		}
	}
}

// outage sends 2,000 messages a second for 30 s, with NATS away from the fifth second to the 25th, and calls middle in the
// middle of that. It returns what was sent.
func (w *town) outage(middle func()) map[string][]int {
	w.t.Helper()
	const perTick, tick = 20, 10 * time.Millisecond
	sent := map[string][]int{}
	p := newPublisher(w.t, w.broker)
	began := time.Now()
	n := 0
	at := []struct {
		after time.Duration
		do    func()
	}{
		{5 * time.Second, w.nats.Stop},
		{15 * time.Second, middle},
		{25 * time.Second, func() {
			if err := w.nats.Start(); err != nil {
				w.t.Error(err)
			}
		}},
	}
	var running sync.WaitGroup
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for time.Since(began) < 30*time.Second {
		<-ticker.C
		for len(at) > 0 && time.Since(began) >= at[0].after {
			if at[0].do != nil {
				running.Go(at[0].do)
			}
			at = at[1:]
		}
		for range perTick {
			bin := n % w.bins
			p.send(good(bin, n))
			sent[binID(bin)] = append(sent[binID(bin)], n%10000)
			n++
		}
	}
	running.Wait()
	p.flush(w.t)
	w.t.Logf("%d messages sent in %v", n, time.Since(began).Round(time.Millisecond))
	return sent
}

func total(sent map[string][]int) int {
	n := 0
	for _, distances := range sent {
		n += len(distances)
	}
	return n
}

func TestNothingIsLostWhenNATSIsAway(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 40 s")
	}
	broker := gatewaytest.StartMosquitto(t, "") // as it comes: 20 in flight, 1,000 queued
	w := newTown(t, broker.Address(), 200, "")
	w.nats.Stop() // absent at the start
	gateway := w.start()
	gatewaytest.WaitFor(t, 10*time.Second, "the source to be ready", func() bool {
		_, body := w.get("/readyz")
		return strings.Contains(body, "nats") && sourceReady(body)
	})
	if code, _ := w.get("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d without NATS, want 503", code)
	}
	if err := w.nats.Start(); err != nil {
		t.Fatal(err)
	}
	w.waitReady()
	sent := w.outage(nil)
	began := time.Now()
	w.waitStored(uint64(total(sent)), time.Minute)
	t.Logf("drained %v after the last message", time.Since(began).Round(time.Millisecond))
	got := w.read(total(sent))
	t.Logf("drained and read %v after the last message", time.Since(began).Round(time.Millisecond))
	got.checkOnceAndInOrder(t, sent)
	gateway.stop(t)
	w.checkLedger(t, got.ids)
}

func TestNothingIsLostWhenTheGatewayIsKilledWhileNATSIsAway(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 40 s")
	}
	// What a broker drops while nobody listens is not ours: its queue is raised for this one.
	broker := gatewaytest.StartMosquitto(t, "max_queued_messages 100000\n")
	w := newTown(t, broker.Address(), 200, "")
	gateway := w.start()
	w.waitReady()
	sent := w.outage(func() {
		gateway.kill()
		gateway = w.start()
	})
	got := w.read(total(sent))
	got.checkOnceAndInOrder(t, sent)
	gateway.stop(t)
	w.checkLedger(t, got.ids)
}

func sourceReady(readyz string) bool { return partReady(readyz, "source radio") }

// partReady says whether an answer of /readyz has a part as ready.
func partReady(readyz, name string) bool {
	var body struct {
		Parts []struct {
			Name  string
			Ready bool
		}
	}
	if json.Unmarshal([]byte(readyz), &body) != nil {
		return false
	}
	for _, part := range body.Parts {
		if part.Name == name {
			return part.Ready
		}
	}
	return false
}

// residentMemory is the memory of a process in bytes, as Linux counts it.
func residentMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no VmRSS in /proc/PID/status")
	return 0
}
