package config

import (
	"bytes"
	"fmt"
	"slices"

	"belfry/gateway"
	"belfry/gateway/event"
)

const (
	sensorsFolder = "sensors"
	maxSensors    = 50_000
)

// sensorColumns are those of a file of sensors.
var sensorColumns = columns{
	names: []string{
		"id", "device", "model", "service", "source", "kind", "lat", "lon", "asset", "interval", "dev_addr", "counter", "note",
	},
	required: 3,
}

// line is where a sensor stands.
type line struct {
	file   string
	number int
}

// inventory is what is known of the sensors read so far.
type inventory struct {
	*loader
	sensors []gateway.Sensor
	ids     map[string]line
	tokens  map[string]line    // by token, of the ids that are not their own token
	devices map[[2]string]line // by source and device
	first   map[string]line    // by device, whatever the source
	hints   map[string]string  // for names of models that do not exist
	radios  []radio            // of the sensors that are known by their DevEUI
	addrs   map[string]int     // sensors with each dev_addr

	services []string // that there are
}

// loadSensors reads sensors/*.csv.
func (l *loader) loadSensors() {
	v := &inventory{
		loader: l, ids: map[string]line{}, tokens: map[string]line{}, devices: map[[2]string]line{}, first: map[string]line{}, hints: map[string]string{},
		addrs:    map[string]int{},
		services: event.Services(),
	}
	files := l.list(l.folder, sensorsFolder, ".csv", l.report)
	for _, file := range files {
		if text, ok := readFile(l.folder, file, l.report); ok {
			v.readSheet(file, text)
		}
	}
	faulty := func(file string) bool { return l.report.counts[file] > 0 }
	if len(v.sensors) == 0 && !slices.ContainsFunc(append(files, sensorsFolder), faulty) {
		l.report.add(Problem{File: sensorsFolder, Message: "no sensor", Tolerable: true,
			Hint: "every message would go to quarantine; add " + sensorsFolder + "/*.csv"})
	}
	v.loadKeys()
	l.config.Inventory = gateway.NewInventory(v.sensors)
}

// sensorSheet is one file of sensors while it is read.
type sensorSheet struct {
	*inventory
	*sheet
}

func (v *inventory) readSheet(file string, text []byte) {
	s := &sensorSheet{inventory: v, sheet: newSheet(file, text, v.report)}
	if !s.readHeader(sensorColumns) {
		return
	}
	v.sensors = slices.Grow(v.sensors, min(bytes.Count(text, []byte("\n")), maxSensors-len(v.sensors)))
	for s.nextRow() {
		if len(v.sensors) == maxSensors {
			s.problem(0, fmt.Sprintf("more than %d sensors", maxSensors), "divide the town between gateways")
			return
		}
		s.readSensor()
	}
}
