package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"belfry/configs"
)

// configurationName is the file that belfry run reads.
const configurationName = "belfry.yaml"

// WriteSimulated writes into dir what a gateway must know of the simulated town: its inventory, the keys of all its LoRaWAN
// sensors, and a belfry.yaml when there is none. It changes no file that says something else.
func WriteSimulated(dir string, options SimulateOptions) (written []string, err error) {
	fresh, err := os.MkdirTemp("", "belfry-simulate-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	town := simulatedTown(options.Seed, options.Sensors, 1)
	if err := errors.Join(town.WriteInventory(fresh), town.WriteKeys(fresh), writeSimulatedConfiguration(fresh, options)); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(fresh, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(fresh, path)
		if err != nil {
			return err
		}
		changed, err := place(path, filepath.Join(dir, name), name == configurationName)
		if changed {
			written = append(written, name)
		}
		return err
	})
	return written, err
}

// place copies a file to where there is none. One that is there must be the same, or may stay as it is.
func place(from, to string, mayDiffer bool) (changed bool, err error) {
	text, err := os.ReadFile(from)
	if err != nil {
		return false, err
	}
	there, err := os.ReadFile(to)
	if err == nil {
		if !mayDiffer && !bytes.Equal(there, text) {
			return false, fmt.Errorf("%s: there is another already (choose an empty folder)", to)
		}
		return false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	info, err := os.Stat(from)
	if err != nil {
		return false, err
	}
	mode := fs.FileMode(0o755)
	if info.Mode().Perm() == 0o600 {
		mode = 0o700 // secrets
	}
	if err := os.MkdirAll(filepath.Dir(to), mode); err != nil {
		return false, err
	}
	return true, os.WriteFile(to, text, info.Mode().Perm())
}

// writeSimulatedConfiguration writes the demo's configuration with the addresses of the simulation.
func writeSimulatedConfiguration(dir string, options SimulateOptions) error {
	built, err := configs.Files.ReadFile("demo/" + configurationName)
	if err != nil {
		return err
	}
	_, text, _ := strings.Cut(string(built), "\n") // the first line speaks of the demo
	text = "# The simulated town of \"belfry simulate\". Put your broker and NATS server in.\n" + text
	text = strings.ReplaceAll(text, "gateway: demo\n", "gateway: simulated\n")
	if options.MQTT != "" {
		text = strings.ReplaceAll(text, brokerDefault, options.MQTT)
	}
	if options.Semtech != "" {
		text = strings.ReplaceAll(text, radioDefault, options.Semtech)
	}
	return os.WriteFile(filepath.Join(dir, configurationName), []byte(text), 0o644)
}
