package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"belfry/gateway/gatewaytest"
)

// manager is the end of systemd that services notify.
type manager struct {
	t      testing.TB
	socket string

	mu   sync.Mutex
	told []string    // without watchdog messages, guarded by mu
	fed  []time.Time // guarded by mu
}

func newManager(t testing.TB) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "n") // the names of tests are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, socket: filepath.Join(dir, "s")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var listening sync.WaitGroup
	listening.Go(func() { m.listen(conn) })
	t.Cleanup(func() {
		conn.Close()
		listening.Wait()
		os.RemoveAll(dir)
		if t.Failed() {
			t.Logf("told:\n%s", strings.Join(m.heard(), "\n"))
		}
	})
	return m
}

func (m *manager) listen(conn *net.UnixConn) {
	var message [4096]byte
	for {
		n, err := conn.Read(message[:])
		if err != nil {
			return
		}
		m.mu.Lock()
		if text := string(message[:n]); text == "WATCHDOG=1" {
			m.fed = append(m.fed, time.Now())
		} else {
			m.told = append(m.told, text)
		}
		m.mu.Unlock()
	}
}

// environment is what a service gets.
func (m *manager) environment(watchdog time.Duration) []string {
	return []string{"NOTIFY_SOCKET=" + m.socket, "WATCHDOG_USEC=" + strconv.FormatInt(watchdog.Microseconds(), 10)}
}

func (m *manager) heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.told)
}

func (m *manager) feedings() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.fed)
}

// silence says for how long the watchdog was not fed.
func (m *manager) silence() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.fed) == 0 {
		return 0
	}
	return time.Since(m.fed[len(m.fed)-1])
}

// longestSilence is between two feedings.
func (m *manager) longestSilence() (longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 1; i < len(m.fed); i++ {
		longest = max(longest, m.fed[i].Sub(m.fed[i-1]))
	}
	return longest
}

func (m *manager) waitFor(what string) {
	m.t.Helper()
	gatewaytest.WaitFor(m.t, 20*time.Second, "systemd to hear "+what, func() bool {
		return slices.ContainsFunc(m.heard(), func(message string) bool { return strings.Contains(message, what) })
	})
}

const watchdog = 600 * time.Millisecond

func TestSystemdHearsThatItIsReadyWhatIsMissingAndTheEnd(t *testing.T) {
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 2, "")
	w.nats.Stop()
	m := newManager(t)
	p := w.start(m.environment(watchdog)...)
	m.waitFor("READY=1") // without NATS
	m.waitFor("; nats: nats.servers")
	publisher := newPublisher(t, broker.Address())
	gatewaytest.WaitFor(t, 20*time.Second, "the source to be ready", func() bool {
		_, body := w.get("/readyz")
		return sourceReady(body)
	})
	publisher.send(good(0, 1))
	publisher.flush(t)
	if err := w.nats.Start(); err != nil {
		t.Fatal(err)
	}
	m.waitFor("all connected")
	fed := m.feedings()
	gatewaytest.WaitFor(t, 20*time.Second, "the watchdog to be fed", func() bool { return m.feedings() > fed+3 })
	p.stop(t)
	told := m.heard()
	if told[0] != "READY=1" || told[len(told)-1] != "STOPPING=1" {
		t.Errorf("told %q first and %q at the end", told[0], told[len(told)-1])
	}
	for _, message := range told {
		if strings.Contains(message, "\n") || len(message) > 500 {
			t.Errorf("not one line: %q", message)
		}
	}
}

func TestSystemdHearsNothingWhenTheFolderIsInUse(t *testing.T) { // F48
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 1, "")
	first := w.start()
	w.waitReady()
	m := newManager(t)
	began := time.Now()
	second := w.start(m.environment(watchdog)...)
	err := <-second.exited
	second.exited <- err
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if code := second.command.ProcessState.ExitCode(); code != exitInUse || !strings.Contains(second.log.String(), "in use by another process") {
		t.Errorf("exit code %d, %s; want %d", code, second.log, exitInUse)
	}
	if told := m.heard(); len(told) > 0 {
		t.Errorf("told %q", told)
	}
	publisher := newPublisher(t, broker.Address())
	publisher.send(good(0, 7))
	publisher.flush(t)
	got := w.read(1) // the first one is as it was
	got.checkOnceAndInOrder(t, map[string][]int{binID(0): {7}})
	first.stop(t)
}

// hang is a child whose part hangs after SIGUSR1.
func hang(t *testing.T, mode string) (*town, *manager, *gatewayProcess) {
	t.Helper()
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 1, "")
	m := newManager(t)
	p := w.child(mode, m.environment(watchdog)...)
	w.waitReady()
	gatewaytest.WaitFor(t, 20*time.Second, "the watchdog to be fed", func() bool { return m.feedings() > 3 })
	if err := p.command.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	return w, m, p
}

func TestWatchdogIsNotFedWhenTheWriterOrForwardingHangs(t *testing.T) {
	t.Parallel()
	for mode, part := range map[string]string{childWriterHangs: "the writer of the buffer", childForwardHangs: "forwarding"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w, m, p := hang(t, mode)
			gatewaytest.WaitFor(t, 30*time.Second, "the watchdog to go hungry", func() bool { return m.silence() > 4*watchdog })
			m.waitFor(part + " has not moved")
			if code, body := w.get("/healthz"); code != 503 || !strings.Contains(body, part) {
				t.Errorf("/healthz answers %d %s", code, body)
			}
			if !strings.Contains(p.log.String(), part+" has not moved") {
				t.Error("the log does not name what hangs")
			}
			p.stop(t) // in time, with exit code 0
			if !strings.Contains(p.log.String(), "stopped without waiting") {
				t.Error("the log does not say that the stop did not wait")
			}
		})
	}
}

func TestWatchdogIsFedWhileACommitIsSlow(t *testing.T) {
	t.Parallel()
	_, m, p := hang(t, childSlowCommit)
	gatewaytest.WaitFor(t, 30*time.Second, "the slow commit", func() bool { return strings.Contains(p.log.String(), slowCommitDone) })
	if silence := m.longestSilence(); silence > watchdog {
		t.Errorf("the watchdog was not fed for %v", silence)
	}
	p.stop(t)
}

func TestPanicOfTheWriterEndsTheProcessWithOneLineAndNoPayload(t *testing.T) { // F88
	t.Parallel()
	w, _, p := hang(t, childWriterPanics)
	select {
	case err := <-p.exited:
		p.exited <- err
	case <-time.After(20 * time.Second):
		t.Fatal("it still runs")
	}
	if code := p.command.ProcessState.ExitCode(); code != exitFault {
		t.Errorf("exit code %d, want %d", code, exitFault)
	}
	checkFaultLine(t, p.log.String(), "part=buffer")
	again := w.start()
	w.waitReady()
	again.stop(t)
	got := w.read(0)
	w.checkLedger(t, got.ids)
}

func TestPanicOfForwardingIsSurvived(t *testing.T) {
	t.Parallel()
	w, _, p := hang(t, childForwardPanics)
	gatewaytest.WaitFor(t, 20*time.Second, "the panic", func() bool { return strings.Contains(p.log.String(), "fault in this program") })
	checkFaultLine(t, p.log.String(), "part=nats")
	publisher := newPublisher(t, w.broker)
	publisher.send(good(0, 7))
	publisher.flush(t)
	got := w.read(1)
	got.checkOnceAndInOrder(t, map[string][]int{binID(0): {7}})
	p.stop(t)
}

// checkFaultLine wants one line about a panic, without what it was about.
func checkFaultLine(t *testing.T, log, part string) {
	t.Helper()
	if strings.Contains(log, payload) || strings.Contains(log, "goroutine ") {
		t.Errorf("the log shows the value of the panic, or a trace:\n%s", tail(log, 3000))
	}
	faults := regexp.MustCompile(`(?m)^.*fault in this program.*$`).FindAllString(log, -1)
	if len(faults) != 1 || !strings.Contains(faults[0], part) || !strings.Contains(faults[0], ".go:") {
		t.Errorf("lines about the fault: %q, want one with %s", faults, part)
	}
}

func TestUnitOfSystemdIsValidAndHardened(t *testing.T) {
	unit, err := os.ReadFile("../../../configs/belfry.service")
	if err != nil {
		t.Fatal(err)
	}
	if seconds := unitSeconds(t, string(unit), "TimeoutStopSec"); seconds <= stopLimit {
		t.Errorf("TimeoutStopSec is %v, the program takes up to %v", seconds, stopLimit)
	}
	if seconds := unitSeconds(t, string(unit), "WatchdogSec"); seconds < 3*statusInterval {
		t.Errorf("WatchdogSec is %v, the watchdog is fed every %v at the most", seconds, statusInterval)
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skipf("no systemd-analyze: %v", err)
	}
	path := filepath.Join(t.TempDir(), "belfry.service")
	program, err := exec.LookPath("true") // one that is there, and root instead of a user who is not
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("/usr/local/bin/belfry", program, "User=belfry", "User=root", "Group=belfry", "Group=root").Replace(string(unit))
	if err := os.WriteFile(path, []byte(here), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=15", "../../../configs/belfry.service").CombinedOutput()
	if strings.Contains(string(out), "unrecognized option") {
		t.Skip("this systemd-analyze cannot look at a file")
	}
	if err != nil {
		t.Errorf("exposed by more than 1.5: %v\n%s", err, tail(string(out), 300))
	}
}

func unitSeconds(t *testing.T, unit, key string) time.Duration {
	t.Helper()
	value := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(unit)
	if value == nil {
		t.Fatalf("no %s", key)
	}
	duration, err := time.ParseDuration(value[1])
	if err != nil {
		t.Fatal(err)
	}
	return duration
}
