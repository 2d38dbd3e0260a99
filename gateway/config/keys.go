package config

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"belfry/gateway/lorawan"
	"belfry/gateway/secret"
)

const defaultKeyFile = "secrets/lorawan-keys.csv"

// keyColumns are those of the file of keys.
var keyColumns = columns{
	names:    []string{"device", "app_key", "nwk_key", "nwk_s_key", "app_s_key", "s_nwk_s_int_key", "nwk_s_enc_key", "payload_key", "meter_address", "note"},
	required: 1,
	secret:   true,
	spelled: map[string]string{
		"deveui": "device", "deviceeui": "device",
		"appkey": "app_key", "applicationkey": "app_key",
		"nwkkey": "nwk_key", "networkkey": "nwk_key",
		"nwkskey": "nwk_s_key", "networksessionkey": "nwk_s_key", "fnwksintkey": "nwk_s_key",
		"appskey": "app_s_key", "applicationsessionkey": "app_s_key",
		"snwksintkey": "s_nwk_s_int_key", "nwksenckey": "nwk_s_enc_key",
		"payloadkey": "payload_key", "meterkey": "payload_key", "dek": "payload_key", "meteraddress": "meter_address",
	},
}

// keyFile is the file of keys, as belfry.yaml names it.
type keyFile struct {
	name string
	text []byte // until it is read
	is   bool   // it can be read
	lost bool   // it should be there and cannot be used, which is reported
}

// readKeys reads the file of keys, whose lines are checked when the sensors are known.
func (l *loader) readKeys(d *document, name string) {
	l.keys.name = name
	if name == "" {
		l.keys.name = defaultKeyFile
	}
	if d.isFaulty("lorawan.keys") {
		l.keys.lost = true
		return
	}
	text, err := secret.ReadTable(l.path(l.keys.name))
	switch {
	case err == nil:
		l.keys.text, l.keys.is = checkText(l.keys.name, text, l.report)
		l.keys.lost = !l.keys.is
	case name != "":
		l.keys.lost = true
		d.tolerate("lorawan.keys", err, secretHint(err))
	case !errors.Is(err, fs.ErrNotExist):
		l.keys.lost = true
		message := strings.TrimPrefix(err.Error(), l.path(l.keys.name)+": ")
		l.report.add(Problem{File: l.keys.name, Message: message, Tolerable: !errors.Is(err, secret.ErrExposed)})
	}
}

// keySheet is the file of keys while it is read. None of its messages may show a cell that could have a key in it.
type keySheet struct {
	*inventory
	*sheet
	radios   map[string]*radio // by DevEUI
	unknown  map[string]int    // lines, by DevEUI, of devices that no sensor has
	payloads map[string]int    // lines, by device, that have nothing but a key for payloads
	strays   []string          // the first of these
	sessions map[session]int
	sharing  sharing
}

// session is what no two devices may have alike: no frame could tell them apart.
type session struct {
	addr string
	key  lorawan.Key
}

// loadKeys gives the radio network the devices that there are keys for.
func (v *inventory) loadKeys() {
	if v.keys.is {
		s := &keySheet{
			inventory: v, sheet: newSheet(v.keys.name, v.keys.text, v.report), radios: v.radiosByEUI(),
			unknown: map[string]int{}, payloads: map[string]int{}, sessions: map[session]int{}, sharing: newSharing(),
		}
		v.keys.text = nil
		if !s.readHeader(keyColumns) {
			v.keys.lost = true
			return
		}
		for s.nextRow() {
			s.readDevice()
		}
		s.finish()
	}
	v.checkKeyless()
}

func (v *inventory) radiosByEUI() map[string]*radio {
	radios := make(map[string]*radio, len(v.radios))
	for i := range v.radios {
		radios[v.sensors[v.radios[i].sensor].Event.Device] = &v.radios[i]
	}
	return radios
}

// finish hands over the devices and reports what only the whole file tells.
func (s *keySheet) finish() {
	for _, device := range s.radioDevices {
		if device.Activated() {
			s.config.Keys.ABP++
		} else {
			s.config.Keys.OTAA++
		}
	}
	if s.config.Network != nil {
		s.config.Network.SetDevices(s.radioDevices)
	}
	if len(s.unknown) > 0 {
		s.report.add(Problem{File: s.file, Tolerable: true, Hint: "add them to " + sensorsFolder + "/*.csv, or take their keys out",
			Message: some(len(s.unknown), "device that no sensor has", "devices that no sensor has", s.strays)})
	}
	for _, problem := range s.sharing.problems(s.file) {
		s.report.add(problem)
	}
}

// readDevice checks the current line and keeps its device.
func (s *keySheet) readDevice() {
	if s.onlyPayload() {
		s.readPayloadLine()
		return
	}
	eui, err := parseEUI(s.cell("device"))
	if err != nil {
		s.wrong("device", "not a DevEUI", "16 hexadecimal digits"+asText(s.cell("device"), euiDigits))
		return
	}
	number := s.here().number
	known, ok := s.radios[eui]
	if first := s.first(eui, known); first > 0 {
		s.wrong("device", fmt.Sprintf("a second line for device %q", eui), fmt.Sprintf("the first is line %d", first))
		return
	}
	device := lorawan.Device{DevEUI: eui}
	good := s.readCells(&device, number)
	payload := s.readPayload(eui)
	if !ok {
		s.unknown[eui] = number
		if len(s.strays) < maxExamples {
			s.strays = append(s.strays, eui)
		}
		return
	}
	known.keys = number
	s.sensors[known.sensor].Payload = payload
	if good && !known.spoilt && s.fits(&device, known) {
		device.DevEUI, device.DevAddr, device.Relaxed = s.sensors[known.sensor].Event.Device, known.addr, known.relaxed
		s.radioDevices = append(s.radioDevices, device)
	}
}

// first returns the line that a device has had already, 0 when it had none.
func (s *keySheet) first(eui string, known *radio) int {
	if number, ok := s.payloads[eui]; ok {
		return number
	}
	if known != nil {
		return known.keys
	}
	return s.unknown[eui]
}

// readCells sets the keys of a device, and says whether these are good and complete.
func (s *keySheet) readCells(device *lorawan.Device, number int) bool {
	good := true
	for _, cell := range []struct {
		name string
		key  **lorawan.Key
	}{
		{"app_key", &device.AppKey}, {"nwk_key", &device.NwkKey},
		{"nwk_s_key", &device.NwkSKey}, {"app_s_key", &device.AppSKey},
		{"s_nwk_s_int_key", &device.SNwkSIntKey}, {"nwk_s_enc_key", &device.NwkSEncKey},
	} {
		written := s.cell(cell.name)
		if written == "" {
			continue
		}
		*cell.key = &lorawan.Key{} // there is one, whatever is wrong with it
		if message, hint := s.readKey(*cell.key, written, device.DevEUI); message != "" {
			s.wrong(cell.name, cell.name+": "+message, hint)
			good = false
			continue
		}
		s.sharing.add(**cell.key, cell.name, number)
	}
	if message, hint := wrongForm(device); message != "" {
		s.problem(0, message, hint)
		return false
	}
	return good
}

const newKey = "give the device a key of its own, from: openssl rand -hex 16"

// readKey reads a key, or says what is wrong with it and what to do.
func (s *keySheet) readKey(key *lorawan.Key, written, eui string) (message, hint string) {
	parsed, err := lorawan.ParseKey(written)
	switch {
	case err != nil && roundedForm.MatchString(written) || strings.HasSuffix(written, roundedDigits) && roundedKey.MatchString(written):
		return "a number that a spreadsheet rounded", "format the column as text and enter the key again"
	case err != nil && strings.Trim(separators.Replace(written), "0") == "":
		return err.Error(), newKey
	case err != nil:
		return err.Error(), "copy it again, as the maker gives it" + asText(written, keyDigits)
	}
	if by := published(parsed, eui); by != "" {
		return "everybody knows this key: " + by, newKey
	}
	*key = parsed
	return "", ""
}

// roundedKey is a long decimal number as a spreadsheet keeps it: 15 digits, the others are zeros.
var roundedKey = regexp.MustCompile(`^[1-9]\d{0,14}` + roundedDigits + `$`)

const roundedDigits = "00000000000000000"

// asText is the rest of a hint for digits that a spreadsheet may have taken for a number, which has no zeros in front.
func asText(written string, want int) string {
	if written != "" && len(written) < want && strings.Trim(written, "0123456789") == "" {
		return "; format the column as text, a number loses its zeros in front"
	}
	return ""
}

// wrongForm says what is missing, or too much, for one of the ways to activate a device.
func wrongForm(device *lorawan.Device) (message, hint string) {
	join := device.AppKey != nil || device.NwkKey != nil
	session := device.NwkSKey != nil || device.AppSKey != nil
	half := (device.SNwkSIntKey != nil) != (device.NwkSEncKey != nil)
	extra := device.SNwkSIntKey != nil || device.NwkSEncKey != nil
	switch {
	case !join && !session && !extra:
		return "the device has no key", "app_key to join; nwk_s_key and app_s_key for ABP"
	case join && (session || extra):
		return "the device has keys to join and keys for ABP", "keep app_key (and nwk_key), or those of the session"
	case join && device.AppKey == nil:
		return "the device has nwk_key and no app_key", "LoRaWAN 1.0 has app_key only, which ChirpStack calls nwk_key; 1.1 has both"
	case !join && device.NwkSKey == nil:
		return "the device has no nwk_s_key", "ABP needs nwk_s_key and app_s_key"
	case !join && device.AppSKey == nil:
		return "the device has no app_s_key", "ABP needs nwk_s_key and app_s_key"
	case half:
		return "the device has one of s_nwk_s_int_key and nwk_s_enc_key", "LoRaWAN 1.1 has both, 1.0 none"
	}
	return "", ""
}

// fits says whether the keys of a device are those that its sensor needs.
func (s *keySheet) fits(device *lorawan.Device, known *radio) bool {
	id := s.sensors[known.sensor].Event.ID
	switch {
	case device.NwkSKey != nil && known.addr == "":
		s.wrong("nwk_s_key", fmt.Sprintf("nwk_s_key is for ABP, and sensor %q has no dev_addr", id), known.here.in(s.file)+" needs one, in the column dev_addr")
		return false
	case device.NwkSKey == nil && known.addr != "":
		s.wrong("app_key", fmt.Sprintf("app_key is to join, and sensor %q has a dev_addr", id), "take it out of "+known.here.in(s.file)+", or give nwk_s_key and app_s_key")
		return false
	case device.NwkSKey == nil:
		return true
	}
	alike := session{known.addr, *device.NwkSKey}
	if first, ok := s.sessions[alike]; ok {
		s.wrong("nwk_s_key", "another device has this dev_addr and this nwk_s_key", fmt.Sprintf("it is in line %d", first))
		return false
	}
	s.sessions[alike] = known.keys
	return true
}

// checkKeyless reports the sensors that have no keys and need them.
func (v *inventory) checkKeyless() {
	var ids []string
	count := 0
	none := v.keys.name == "" || v.keys.lost // nothing is known of the keys
	for i := range v.radios {
		known := &v.radios[i]
		sensor := &v.sensors[known.sensor]
		switch {
		case known.keys > 0 || none || known.spoilt:
		case known.addr != "" && v.keys.is:
			v.report.add(Problem{File: known.here.file, Line: known.here.number,
				Message: fmt.Sprintf("sensor %q has a dev_addr and no keys", sensor.Event.ID), Hint: "nwk_s_key and app_s_key, in " + v.keys.name})
		case known.addr != "" || v.onlyRaw(sensor.Source):
			count++
			if len(ids) < maxExamples {
				ids = append(ids, sensor.Event.ID)
			}
		}
	}
	if count == 0 {
		return
	}
	hint := "nobody can read their frames; a line for each, with device and app_key"
	if !v.keys.is {
		hint = "nobody can read their frames; make the file with mode 0600"
	}
	v.report.add(Problem{File: v.keys.name, Tolerable: true, Message: some(count, "sensor without keys", "sensors without keys", ids), Hint: hint})
}

const maxExamples = 3 // named in a problem that is one for many

// some prints "1 sensor without keys: a", "12 sensors without keys: a, b, c, ...".
func some(count int, one, many string, examples []string) string {
	list := strings.Join(examples, ", ")
	if count > len(examples) {
		list += ", ..."
	}
	if count == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s: %s", count, many, list)
}
