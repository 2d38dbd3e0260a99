package demo

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"belfry/configs"
)

const (
	streamName    = "TOWN"
	brokerDefault = "tcp://127.0.0.1:1883"
	natsDefault   = "nats://127.0.0.1:4222"
	statusDefault = "127.0.0.1:9469"
	radioDefault  = "127.0.0.1:1700"
)

// addresses are where the parts of a demo listen.
type addresses struct{ broker, nats, status, radio string }

// writeFolder writes the built-in configuration of the demo into dir, with other addresses and the given town's inventory.
func writeFolder(dir string, town *Town, a addresses) error {
	const name = "belfry.yaml"
	built, err := configs.Files.ReadFile("demo/" + name)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", name, err)
	}
	text := string(built)
	for _, r := range [][2]string{{brokerDefault, a.broker}, {natsDefault, a.nats}, {statusDefault, a.status}, {radioDefault, a.radio}} {
		if !strings.Contains(text, r[0]) {
			return fmt.Errorf("prepare %s: there is no %s in it to put %s for", name, r[0], r[1])
		}
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		return err // names the path
	}
	return errors.Join(town.WriteInventory(dir), town.WriteKeys(dir))
}

// radioAddress is a free UDP port.
func radioAddress() (string, error) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("no free UDP port for the radio: %w", err)
	}
	defer socket.Close()
	return socket.LocalAddr().String(), nil
}

// statusAddress is the usual one when it is free, else any.
func statusAddress() (string, error) {
	for _, address := range []string{statusDefault, "127.0.0.1:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		defer listener.Close()
		return listener.Addr().String(), nil
	}
	return "", fmt.Errorf("no free port for the status server on 127.0.0.1")
}
