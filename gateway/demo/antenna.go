package demo

import (
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// antenna is the station of a sensor whose frames the town's radio gateways hear.
type antenna struct{ device *device }

// putOnAir gives a sensor to the radio, instead of the town's ChirpStack.
func (t *Town) putOnAir(m *member) {
	d := newDevice(t.seed, m.sensor)
	if d.activation == abp10 {
		m.sensor.Address = fmt.Sprintf("%08x", d.address)
		d.personalise(d.random.Uint32N(20000))
	}
	d.sensor = m.sensor
	m.station = &antenna{d}
}

// onAir lists the devices of the town whose frames radio gateways hear.
func (t *Town) onAir() []*device {
	var devices []*device
	for _, m := range t.members {
		if radio, ok := m.station.(*antenna); ok {
			devices = append(devices, radio.device)
		}
	}
	return devices
}

func (a *antenna) wrap(r *report, _ moment) Message {
	return Message{
		Uplink: &RadioUplink{device: a.device, port: r.port, payload: r.payload},
		Expect: Expect{Observations: r.observations},
	}
}

// WriteKeys writes the keys of the sensors on air to secrets/lorawan-keys.csv below dir, for nobody else to read.
func (t *Town) WriteKeys(dir string) error {
	dir = filepath.Join(dir, "secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, "lorawan-keys.csv")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err // an older file keeps its mode when it is written to
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := csv.NewWriter(file)
	err = w.Write([]string{"device", "app_key", "nwk_key", "nwk_s_key", "app_s_key"})
	for _, d := range t.onAir() {
		if err == nil {
			err = w.Write(d.keyCells())
		}
	}
	w.Flush()
	if err == nil {
		err = w.Error()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func (d *device) keyCells() []string {
	app, net := hex.EncodeToString(d.app[:]), hex.EncodeToString(d.net[:])
	switch d.activation {
	case otaa10:
		return []string{d.sensor.Device, app, "", "", ""}
	case otaa11:
		return []string{d.sensor.Device, app, net, "", ""}
	}
	return []string{d.sensor.Device, "", "", net, app}
}
