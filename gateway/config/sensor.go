package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"belfry/gateway"
	"belfry/gateway/event"
)

const maxText = 128 // bytes of a device's name, an id, an asset

// rawKinds are the kinds of source that bring frames as the radio gateways heard them.
var rawKinds = []string{"semtech-udp", "basicstation", "gateway-bridge"}

// lorawanKinds are the kinds of source that know devices by their DevEUI only.
var lorawanKinds = append([]string{"chirpstack", "ttn"}, rawKinds...)

// readSensor checks the current line and keeps its sensor.
func (s *sensorSheet) readSensor() {
	here := s.here()
	sensor := gateway.Sensor{
		Event:    event.Sensor{ID: s.id(here), Kind: s.cell("kind"), Location: s.location()},
		Source:   s.source(),
		Service:  s.cell("service"),
		Asset:    s.printable("asset"),
		Interval: s.interval(),
	}
	sensor.Token = s.token(sensor.Event.ID, here)
	sensor.Event.Device = s.device(sensor.Source, here)
	s.applyModel(&sensor)
	if sensor.Service != "" && !slices.Contains(s.services, sensor.Service) {
		s.wrong("service", fmt.Sprintf("no service %q", sensor.Service), choices(sensor.Service, s.services))
	}
	if sensor.Event.Kind != "" && !kindName.MatchString(sensor.Event.Kind) {
		s.wrong("kind", fmt.Sprintf("%q is not a kind of thing", sensor.Event.Kind), "streetlight, water_meter, waste_container, ...")
	}
	s.readRadio(&sensor, here)
	s.sensors = append(s.sensors, sensor)
}

// id returns the sensor's id, which no other sensor has.
func (s *sensorSheet) id(here line) string {
	id := s.printable("id")
	if id == "" {
		s.wrong("id", "the sensor has no id", "the name that the town knows it by")
		return ""
	}
	if first, ok := s.ids[id]; ok {
		s.wrong("id", fmt.Sprintf("a second sensor %q", id), "the first is in "+first.in(s.file))
	} else {
		s.ids[id] = here
	}
	return id
}

// in names a line for a reader of a file.
func (l line) in(file string) string {
	if l.file == file {
		return fmt.Sprintf("line %d", l.number)
	}
	return fmt.Sprintf("%s:%d", l.file, l.number)
}

// token returns the sensor's token of NATS subjects, which no other sensor has: "a b" and "a_20b" would have the same.
func (s *sensorSheet) token(id string, here line) string {
	if id == "" || s.ids[id] != here {
		return "" // reported by id
	}
	token, err := event.Token(id)
	if err != nil {
		s.wrong("id", err.Error(), "")
		return ""
	}
	first, taken := s.tokens[token]
	if token == id {
		token = id // one copy of it is enough
	} else if !taken {
		first, taken = s.ids[token]
		s.tokens[token] = here
	}
	if taken {
		s.wrong("id", fmt.Sprintf("sensor %q has the NATS subject of another, with %q", id, token), "the first is in "+first.in(s.file))
	}
	return token
}

// printable returns a cell that has nothing in it that could not be shown.
func (s *sensorSheet) printable(name string) string {
	text := s.cell(name)
	switch {
	case len(text) > maxText:
		s.wrong(name, fmt.Sprintf("%s of %d bytes", name, len(text)), fmt.Sprintf("at most %d", maxText))
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		s.wrong(name, fmt.Sprintf("%s %q has characters that cannot be printed", name, text), "")
	}
	return text
}

func (s *sensorSheet) source() string {
	name := s.cell("source")
	if _, ok := s.kinds[name]; !ok && name != "" && len(s.kinds) > 0 && !s.unnamed {
		s.wrong("source", fmt.Sprintf("no source %q in %s", name, mainFile), choices(name, slices.Sorted(maps.Keys(s.kinds))))
	}
	return name
}

// device returns the address of the sensor, which no other sensor of the same source has. A DevEUI becomes lower case; what
// a source that is named and knows devices by other names calls them is its own affair.
func (s *sensorSheet) device(source string, here line) string {
	device := s.printable("device")
	if device == "" {
		s.wrong("device", "the sensor has no device", "its DevEUI, or its name in the topic")
		return ""
	}
	eui, err := parseEUI(device)
	if err != nil && s.mayBeEUI(source) && roundedForm.MatchString(device) {
		s.wrong("device", fmt.Sprintf("%q is a number that a spreadsheet rounded", device),
			"format the column as text and enter the DevEUI again")
		return ""
	}
	if s.needsEUI(source) || source == "" && s.meansEUI(device) {
		if err != nil {
			s.wrong("device", err.Error(), s.euiHint(source))
			return ""
		}
		device = eui
	}
	if err == nil {
		s.claim("", eui, here) // a DevEUI is the only one in the world
	} else {
		s.claim(source, device, here)
	}
	return device
}

// mayBeEUI says whether sensors of a source ("" for any) may be known by their DevEUI.
func (s *sensorSheet) mayBeEUI(source string) bool { return source == "" || s.needsEUI(source) }

// meansEUI says whether the device of a sensor without a source was meant to be a DevEUI. Where there is LoRaWAN, more is
// taken for one: a town with other sources can name the source.
func (s *sensorSheet) meansEUI(device string) bool {
	if s.hasLoRaWAN() {
		return looksLikeEUI(device, euiDigits-4, euiDigits+2)
	}
	return looksLikeEUI(device, euiDigits-1, euiDigits+1)
}

// euiHint says what to do with a device that is no DevEUI, where it need not be one.
func (s *sensorSheet) euiHint(source string) string {
	if s.needsEUI(source) || len(s.kinds) == 0 {
		return ""
	}
	return "name the source if it is not a DevEUI"
}

func (s *sensorSheet) hasLoRaWAN() bool {
	for _, kind := range s.kinds {
		if slices.Contains(lorawanKinds, kind) {
			return true
		}
	}
	return false
}

// needsEUI says whether sensors of a source ("" for any) can only be known by their DevEUI.
func (s *sensorSheet) needsEUI(source string) bool {
	if source != "" {
		return slices.Contains(lorawanKinds, s.kinds[source])
	}
	for _, kind := range s.kinds {
		if !slices.Contains(lorawanKinds, kind) {
			return false
		}
	}
	return len(s.kinds) > 0
}

// claim notes whose device this is. Without a source it is the sensor's on all of them.
func (s *sensorSheet) claim(source, device string, here line) {
	first, taken := s.devices[[2]string{source, device}]
	if !taken {
		first, taken = s.devices[[2]string{"", device}]
	}
	if !taken && source == "" {
		first, taken = s.first[device]
	}
	if taken {
		s.wrong("device", fmt.Sprintf("a second sensor with device %q", device), "the first is in "+first.in(s.file))
		return
	}
	s.devices[[2]string{source, device}] = here
	if _, ok := s.first[device]; !ok {
		s.first[device] = here
	}
}

// applyModel finds the model, and takes from it what the line leaves open.
func (s *sensorSheet) applyModel(sensor *gateway.Sensor) {
	name := s.cell("model")
	model, ok := s.config.Models[name]
	if !ok {
		if name == "" {
			s.wrong("model", "the sensor has no model", choices("", s.known))
		} else if !slices.Contains(s.known, name) { // a model with mistakes is known; they are reported where they are
			s.wrong("model", fmt.Sprintf("no model %q", name), s.modelHint(name))
		}
		return
	}
	sensor.Model, sensor.Event.Model = model, model.Name
	if sensor.Service == "" {
		sensor.Service = model.Service
	}
	if sensor.Event.Kind == "" {
		sensor.Event.Kind = model.Kind
	}
	if sensor.Interval == 0 {
		sensor.Interval = model.Interval
	}
}

// modelHint is worked out once for each wrong name: a whole sheet may have it.
func (s *sensorSheet) modelHint(name string) string {
	hint, ok := s.hints[name]
	if !ok {
		hint = modelChoices(name, s.known)
		s.hints[name] = hint
	}
	return hint
}

func (s *sensorSheet) interval() time.Duration {
	text := s.cell("interval")
	if text == "" {
		return 0
	}
	interval, err := parseDuration(text)
	if err != nil {
		s.wrong("interval", err.Error(), "")
	}
	return interval
}

// location returns the place of the sensor, nil when the line does not say it.
func (s *sensorSheet) location() *event.Point {
	lat, lon := s.cell("lat"), s.cell("lon")
	switch {
	case lat == "" && lon == "":
		return nil
	case lat == "" || lon == "":
		missing := "lat"
		if lon == "" {
			missing = "lon"
		}
		if _, ok := s.header[missing]; !ok {
			s.problem(0, "no column "+missing, "lat and lon go together")
			return nil
		}
		s.wrong(missing, "no "+missing, "lat and lon go together")
		return nil
	}
	return &event.Point{Longitude: s.degrees("lon", lon, 180), Latitude: s.degrees("lat", lat, 90)}
}

// degrees reads a decimal number, in sheets without separating commas also with a decimal comma.
func (s *sensorSheet) degrees(name, text string, limit float64) float64 {
	decimal := text
	if s.reader.Comma != ',' {
		decimal = strings.Replace(text, ",", ".", 1)
	}
	number, err := strconv.ParseFloat(decimal, 64)
	if err != nil || strings.Trim(decimal, "+-.0123456789") != "" {
		s.wrong(name, fmt.Sprintf("%s %q is not a number", name, text), "degrees: 48.9105")
	} else if number < -limit || number > limit {
		s.wrong(name, fmt.Sprintf("%s %s is out of range", name, text), fmt.Sprintf("-%g to %g", limit, limit))
	}
	return number
}
