package demo

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Sensor is one line of the town's inventory.
type Sensor struct {
	ID      string
	Device  string // DevEUI, or the name in the topic
	Model   string
	Service string
	Kind    string
	Lat     float64
	Lon     float64
	Asset   string
	Address string // DevAddr of a LoRaWAN sensor that was activated in its factory, "" for the others
}

// settle fills the town with sensors.
func (t *Town) settle(options TownOptions) {
	for i := range options.Lights {
		s := t.place(Sensor{ID: fmt.Sprintf("EP-%04d", i+1), Model: "nas-ul20xx", Service: "lighting", Kind: "streetlight"})
		s.Device, s.Asset = eui(1, i), fmt.Sprintf("MAT-%05d", 2000+7*i)
		t.join(s, newLight(t.random))
	}
	for i := range options.Meters {
		s := t.place(Sensor{ID: fmt.Sprintf("CE-%04d", i+1), Model: "axioma-qalcosonic-w1", Service: "water", Kind: "water_meter"})
		s.Device, s.Asset = eui(2, i), fmt.Sprintf("BR-%05d", 11000+3*i)
		t.join(s, newMeter(t.random, t.started))
	}
	for i := range options.Bins {
		s := t.place(Sensor{ID: fmt.Sprintf("BAC-%04d", i+1), Model: "dingtek-df702", Service: "waste", Kind: "waste_container"})
		s.Device, s.Asset = eui(3, i), fmt.Sprintf("PAV-%03d", 1+i/2)
		t.join(s, &dingtekBin{bin: newBin(t.random)})
	}
	for i := range options.JSONBins {
		s := t.place(Sensor{ID: fmt.Sprintf("COR-%04d", i+1), Model: "generic-bin-json", Service: "waste", Kind: "waste_container"})
		s.Device, s.Asset = fmt.Sprintf("cor-%04d", i+1), fmt.Sprintf("SQ-%02d", 1+i/5)
		topic := &topicStation{sensor: s}
		t.members = append(t.members, &member{sensor: s, life: &jsonBin{bin: newBin(t.random), name: s.Device}, station: topic})
	}
}

// join adds a LoRaWAN sensor; one in eight speaks to a network server that writes protobuf.
func (t *Town) join(s Sensor, l life) {
	number := len(t.members)
	radio := t.network.newRadio(s, number%8 == 5)
	_, radio.battery = l.(battery)
	m := &member{sensor: s, life: l, station: radio}
	if int(float64(number+1)*t.radio) > int(float64(number)*t.radio) {
		t.putOnAir(m)
	}
	t.members = append(t.members, m)
}

// battery marks lives that run on one, whose state the network server asks for.
type battery interface{ onBattery() }

// place puts a sensor somewhere in Belfry-sur-Seine.
func (t *Town) place(s Sensor) Sensor {
	round := func(degrees float64) float64 { return float64(int(degrees*1e5)) / 1e5 }
	s.Lat = round(48.91 + (t.random.Float64()-0.5)*0.03)
	s.Lon = round(2.37 + (t.random.Float64()-0.5)*0.045)
	return s
}

// eui makes a locally administered DevEUI, which no maker can have given out.
func eui(kind, number int) string { return fmt.Sprintf("02be1f%02x%08x", kind, number+1) }

// Sensors lists the inventory.
func (t *Town) Sensors() []Sensor {
	sensors := make([]Sensor, len(t.members))
	for i, m := range t.members {
		sensors[i] = m.sensor
	}
	return sensors
}

// WriteInventory writes sensors/<service>.csv below dir, one file for each service.
func (t *Town) WriteInventory(dir string) error {
	dir = filepath.Join(dir, "sensors")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	services := map[string][][]string{}
	for _, s := range t.Sensors() {
		services[s.Service] = append(services[s.Service], s.cells())
	}
	for service, lines := range services {
		if err := writeCSV(filepath.Join(dir, service+".csv"), lines); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sensor) cells() []string {
	degrees := func(f float64) string { return strconv.FormatFloat(f, 'f', 5, 64) }
	return []string{s.ID, s.Device, s.Model, s.Service, s.Kind, degrees(s.Lat), degrees(s.Lon), s.Asset, s.Address}
}

func writeCSV(path string, lines [][]string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := csv.NewWriter(file)
	header := []string{"id", "device", "model", "service", "kind", "lat", "lon", "asset", "dev_addr"}
	if !slices.ContainsFunc(lines, func(cells []string) bool { return cells[len(cells)-1] != "" }) {
		header = header[:len(header)-1] // nothing to say there
		for i := range lines {
			lines[i] = lines[i][:len(header)]
		}
	}
	err = w.Write(header)
	if err == nil {
		err = w.WriteAll(lines)
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
