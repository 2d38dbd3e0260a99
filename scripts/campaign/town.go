package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The town of a scene has sensors of three kinds, which are told from each other by the models below.
const (
	named = iota // messages have an id of their own and a time
	plain        // messages have a time, and a running number only the campaign knows the meaning of
	equal        // all messages are the same: only their number can be compared
	sensorKinds
)

const (
	streamName = "TOWN"
	sourceName = "meters"
	sensorID   = "M-%03d"
)

// sensorKind says of which kind the i-th sensor is.
func sensorKind(i int) int { return [...]int{named, plain, named, plain, equal}[i%5] }

// kindModels are the models of the kinds, in the configuration's form.
var kindModels = [sensorKinds]string{
	named: "campaign-named", plain: "campaign-plain", equal: "campaign-equal",
}

func modelFile(kind int) string {
	var known string
	switch kind {
	case named:
		known = "\n  time: {path: ts, format: rfc3339}\n  id: id"
	case plain:
		known = "\n  time: {path: ts, format: rfc3339}"
	}
	return fmt.Sprintf(`model: %s
maker: any
product: A meter whose volume is a running number
kind: water_meter
service: water
interval: 24h
decoder: json
json:%s
  fields:
    - {name: volume, path: n, unit: L, required: true}
    - {name: flow, path: check, unit: L/h, required: true}
    - {name: leak, path: leak}
measurements:
  water_volume: volume
  water_flow: flow
alarms:
  water_leak: leak
`, kindModels[kind], known)
}

// townSettings are what differs from one scene to another in what the gateway is told.
type townSettings struct {
	dir         string // configuration
	data        string // buffer
	broker      string
	nats        string
	status      string
	sensors     int
	hold        time.Duration
	commitDelay time.Duration
}

// writeTown writes a configuration folder.
func writeTown(s townSettings) error {
	files := map[string]string{"belfry.yaml": fmt.Sprintf(`gateway: box
town: {name: Belfry-sur-Seine, commune: "99001", owner: "219900016"}
sources:
  - {name: %s, kind: mqtt, server: %q, topics: [{topic: "meters/{sensor}/state", payload: json}]}
nats: {servers: [%q], stream: %s}
buffer: {dir: %q, max_size: 128MiB, hold: %s, commit_delay: %s}
status: {listen: %q}
`, sourceName, s.broker, s.nats, streamName, s.data, s.hold, s.commitDelay, s.status)}
	for kind := range sensorKinds {
		files["models/"+kindModels[kind]+".yaml"] = modelFile(kind)
	}
	var sheet strings.Builder
	sheet.WriteString("id,device,model\n")
	for i := range s.sensors {
		fmt.Fprintf(&sheet, sensorID+",m%d,%s\n", i, i, kindModels[sensorKind(i)])
	}
	files["sensors/meters.csv"] = sheet.String()
	for name, content := range files {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// The leak of a meter begins and ends every few messages, each time with an alarm.

const leakPeriod = 9

// leaks says whether the n-th message of a sensor has the leak; those that send the same for ever have none.
func leaks(sensor, n int) bool {
	return sensorKind(sensor) != equal && (n+sensor)%(2*leakPeriod) >= leakPeriod
}

// checkOf is a second value that follows from the number, so that a wrong one shows.
func checkOf(sensor, n int) int { return (n*7919 + sensor*104729) % 10007 }

// payload is the n-th message of a sensor.
func payload(sensor, n int, at time.Time) string {
	if sensorKind(sensor) == equal {
		n = 1
	}
	text := fmt.Sprintf(`{"n": %d, "check": %d, "leak": %t`, n, checkOf(sensor, n), leaks(sensor, n))
	switch sensorKind(sensor) {
	case named:
		text += fmt.Sprintf(`, "id": "m%d-%d", "ts": %q`, sensor, n, at.Format(stamp))
	case plain:
		text += fmt.Sprintf(`, "ts": %q`, at.Format(stamp))
	}
	return text + "}"
}

const stamp = "2006-01-02T15:04:05.000Z07:00"

// spoilt is a message that cannot be decoded.
func spoilt(n int) string { return fmt.Sprintf(`{"spoilt": %d, `, n) }
