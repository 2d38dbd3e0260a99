package gatewaytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const mosquittoProgram = "/usr/sbin/mosquitto"

// Mosquitto is a real broker on the loopback interface, a child of the test.
type Mosquitto struct {
	t       testing.TB
	port    int
	folder  string
	scheme  string
	command *exec.Cmd // nil when stopped
}

// StartMosquitto starts Mosquitto with lines of configuration in addition to its listener; without any it lets everyone in
// and keeps its other defaults. {dir} in them stands for a folder of the test. The test is skipped where there is none.
func StartMosquitto(t testing.TB, conf string) *Mosquitto {
	t.Helper()
	if _, err := os.Stat(mosquittoProgram); err != nil {
		t.Skipf("no Mosquitto on this machine: %v", err)
	}
	m := &Mosquitto{t: t, port: freePort(t), folder: t.TempDir(), scheme: "tcp"}
	if strings.Contains(conf, "certfile") {
		m.scheme = "ssl"
	}
	if !strings.Contains(conf, "allow_anonymous") {
		conf += "\nallow_anonymous true"
	}
	// Mosquitto gives up root, and would then not reach the folder.
	text := fmt.Sprintf("user root\nlistener %d 127.0.0.1\n%s\n", m.port, strings.ReplaceAll(conf, "{dir}", m.folder))
	if err := os.WriteFile(m.conf(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	return m
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func (m *Mosquitto) conf() string { return filepath.Join(m.folder, "mosquitto.conf") }

// Address returns the URL that clients connect to.
func (m *Mosquitto) Address() string {
	return fmt.Sprintf("%s://127.0.0.1:%d", m.scheme, m.port)
}

// Start starts it again after Stop, and returns when it listens.
func (m *Mosquitto) Start() error {
	output, err := os.OpenFile(filepath.Join(m.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	m.command = exec.Command(mosquittoProgram, "-c", m.conf())
	m.command.Stdout, m.command.Stderr = output, output
	if err := m.command.Start(); err != nil {
		return fmt.Errorf("start mosquitto: %w", err)
	}
	late := time.Now().Add(waitLimit)
	for {
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", m.port))
		if err == nil {
			return connection.Close()
		}
		if time.Now().After(late) {
			return fmt.Errorf("mosquitto does not listen: %w\n%s", err, m.Log())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Stop ends it, which lets it write its persistence file, and waits for that.
func (m *Mosquitto) Stop() {
	if m.command == nil {
		return
	}
	m.signal(syscall.SIGCONT)
	m.signal(syscall.SIGTERM)
	late := time.AfterFunc(waitLimit, func() { m.signal(syscall.SIGKILL) })
	defer late.Stop()
	_ = m.command.Wait() // how it ended does not matter
	m.command = nil
}

// Save has it write its persistence file, which the configuration must have set up in {dir}, and waits for that.
func (m *Mosquitto) Save() {
	m.t.Helper()
	path := filepath.Join(m.folder, "mosquitto.db")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	m.signal(syscall.SIGUSR1)
	WaitFor(m.t, waitLimit, "the broker's file", func() bool { _, err := os.Stat(path); return err == nil })
}

// Kill ends it without a chance to write anything; Start brings it back as its file was.
func (m *Mosquitto) Kill() {
	m.signal(syscall.SIGKILL)
	_ = m.command.Wait() // killed
	m.command = nil
}

// Pause stops it without a word to its clients, as a network that is gone does.
func (m *Mosquitto) Pause() { m.signal(syscall.SIGSTOP) }

// Resume goes on after Pause.
func (m *Mosquitto) Resume() { m.signal(syscall.SIGCONT) }

func (m *Mosquitto) signal(signal syscall.Signal) {
	if err := m.command.Process.Signal(signal); err != nil {
		m.t.Logf("signal mosquitto: %v", err)
	}
}

// Log returns what it has logged.
func (m *Mosquitto) Log() string {
	text, err := os.ReadFile(filepath.Join(m.folder, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}
