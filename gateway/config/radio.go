package config

import (
	"fmt"
	"slices"
	"strings"

	"belfry/gateway"
)

// maxSameAddr is how many sensors may have one dev_addr: the keys of each are tried on every frame that has it.
const maxSameAddr = 16

// radio is what the radio network must know of a sensor beside its keys.
type radio struct {
	sensor  int // index
	addr    string
	relaxed bool
	here    line
	keys    int  // line of the key file; 0 for none
	spoilt  bool // has a mistake that is reported
}

// readRadio reads the columns of the current line that are for sensors known by their DevEUI.
func (s *sensorSheet) readRadio(sensor *gateway.Sensor, here line) {
	known := radio{sensor: len(s.sensors), addr: s.devAddr(), relaxed: s.cell("counter") == "relaxed", here: here}
	known.spoilt = known.addr == "" && s.cell("dev_addr") != ""
	if counter := s.cell("counter"); counter != "" && counter != "strict" && counter != "relaxed" {
		s.wrong("counter", fmt.Sprintf("counter %q", counter), "strict, or relaxed for a device whose frame counter begins anew when it restarts")
	}
	switch eui, err := parseEUI(sensor.Event.Device); {
	case sensor.Event.Device == "": // reported
	case err == nil && eui == sensor.Event.Device && s.mayBeEUI(sensor.Source):
		s.radios = append(s.radios, known)
	default:
		for _, name := range []string{"dev_addr", "counter"} {
			if s.cell(name) != "" {
				s.wrong(name, name+" is for a sensor that is known by its DevEUI", "leave it empty")
			}
		}
	}
}

// devAddr returns the address of an ABP device as 8 hexadecimal digits in lower case, "" when there is none. What is wrong is
// not shown: it may be a key.
func (s *sensorSheet) devAddr() string {
	written := s.cell("dev_addr")
	addr := strings.ToLower(separators.Replace(written))
	const hint = "8 hexadecimal digits: 26011f3a"
	switch {
	case written == "":
		return ""
	case strings.ContainsFunc(addr, func(r rune) bool { return !isHex(r) }) && roundedForm.MatchString(written):
		s.wrong("dev_addr", "dev_addr is a number that a spreadsheet rounded", "format the column as text and enter it again")
		return ""
	case strings.ContainsFunc(addr, func(r rune) bool { return !isHex(r) }):
		s.wrong("dev_addr", "dev_addr has characters that are no hexadecimal digits", hint)
		return ""
	case len(addr) != addrDigits:
		s.wrong("dev_addr", fmt.Sprintf("dev_addr has %d digits, want %d", len(addr), addrDigits), hint)
		return ""
	}
	s.addrs[addr]++
	if s.addrs[addr] > maxSameAddr {
		s.wrong("dev_addr", fmt.Sprintf("more than %d sensors with this dev_addr", maxSameAddr), "give the device another one")
	}
	return addr
}

// onlyRaw says whether frames of a source ("" for any) can come from nowhere but radio gateways, so that they need keys here.
func (l *loader) onlyRaw(source string) bool {
	if source != "" {
		return slices.Contains(rawKinds, l.kinds[source])
	}
	raw := false
	for _, kind := range l.kinds {
		if slices.Contains(rawKinds, kind) {
			raw = true
		} else if slices.Contains(lorawanKinds, kind) {
			return false
		}
	}
	return raw
}
