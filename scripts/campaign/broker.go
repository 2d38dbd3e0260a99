package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

const mosquittoProgram = "/usr/sbin/mosquitto"

// noBroker says why there is no broker to send through, "" when there is one. The broker of the demo will not do: what it
// has to repeat it repeats out of order, and under numbers that it gives to others meanwhile.
func noBroker() string {
	if _, err := os.Stat(mosquittoProgram); err != nil {
		return "it needs Mosquitto, a broker that drops nothing: " + err.Error()
	}
	return ""
}

// broker is Mosquitto, told to drop nothing.
type broker struct {
	address string
	process *process
}

// startBroker starts a broker that lets a client have so many messages in flight.
func startBroker(dir string, inFlight int) (*broker, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	// It gives up root by itself, and would then not reach the folder.
	conf := fmt.Sprintf("user root\nlistener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages %d\n", port, inFlight)
	path := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	p, err := startProcess(filepath.Join(dir, "mosquitto.log"), mosquittoProgram, "-c", path)
	if err != nil {
		return nil, err
	}
	b := &broker{address: fmt.Sprintf("tcp://127.0.0.1:%d", port), process: p}
	if err := waitForPort(port, p); err != nil {
		b.close()
		return nil, fmt.Errorf("start mosquitto: %w", err)
	}
	return b, nil
}

func (b *broker) close() {
	if b != nil {
		b.process.kill()
	}
}

const startLimit = 30 * time.Second

// waitForPort waits until a process that was started listens.
func waitForPort(port int, p *process) error {
	var err error
	for late := time.Now().Add(startLimit); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		var connection net.Conn
		if connection, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return connection.Close()
		}
		if !p.running() {
			return fmt.Errorf("it ended: %s", p.command.ProcessState)
		}
	}
	return fmt.Errorf("it does not listen: %w", err)
}
