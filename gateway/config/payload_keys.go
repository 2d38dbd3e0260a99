package config

import (
	"encoding/hex"
	"fmt"

	"belfry/decoders"
	"belfry/gateway"
	"belfry/gateway/lorawan"
)

// radioKeyColumns are those with keys of LoRaWAN.
var radioKeyColumns = []string{"app_key", "nwk_key", "nwk_s_key", "app_s_key", "s_nwk_s_int_key", "nwk_s_enc_key"}

// onlyPayload says whether the current line has a key for payloads and none of LoRaWAN.
func (s *keySheet) onlyPayload() bool {
	for _, name := range radioKeyColumns {
		if s.cell(name) != "" {
			return false
		}
	}
	return s.cell("payload_key") != "" || s.cell("meter_address") != ""
}

// readPayloadLine gives the key of the current line to the sensors with its device, which need not be a DevEUI.
func (s *keySheet) readPayloadLine() {
	device, err := parseEUI(s.cell("device"))
	if err != nil {
		device = s.cell("device")
	}
	number := s.here().number
	if first := s.first(device, s.radios[device]); first > 0 {
		s.wrong("device", "a second line for this device", fmt.Sprintf("the first is line %d", first))
		return
	}
	s.payloads[device] = number
	payload := s.readPayload(device)
	found := false
	for i := range s.sensors {
		if s.sensors[i].Event.Device == device || err == nil && s.sensors[i].Event.Device == s.cell("device") {
			s.sensors[i].Payload, found = payload, true
		}
	}
	if !found {
		s.report.add(Problem{File: s.file, Line: number, Tolerable: true, Message: "a payload_key for a device that no sensor has",
			Hint: "the DevEUI, or the device as it is written in " + sensorsFolder + "/*.csv"})
	}
}

// readPayload reads the cells of the current line for encrypted payloads, nil when there are none or they are wrong.
func (s *keySheet) readPayload(device string) *gateway.PayloadKey {
	written, address := s.cell("payload_key"), s.cell("meter_address")
	if written == "" {
		if address != "" {
			s.wrong("meter_address", "a meter_address without a payload_key", "give both, or leave it empty")
		}
		return nil
	}
	key, err := lorawan.ParseKey(written)
	if err != nil {
		message, hint := s.readKey(&key, written, device)
		s.wrong("payload_key", "payload_key: "+message, hint)
		return nil
	}
	number := s.here().number
	if by := published(key, device); by != "" { // a meter's key can seldom be changed: better a reading than none
		s.report.add(Problem{File: s.file, Line: number, Tolerable: true, Message: "payload_key: everybody knows this key: " + by,
			Hint: "ask the maker for meters with keys of their own"})
	}
	s.sharing.add(key, "payload_key", number)
	payload := &gateway.PayloadKey{Key: key}
	if address != "" {
		meter, err := hex.DecodeString(separators.Replace(address))
		if err != nil || len(meter) != decoders.MeterBytes {
			s.wrong("meter_address", "not the address of a meter", fmt.Sprintf("%d hexadecimal digits, as in the meter's installation frame", 2*decoders.MeterBytes))
			return nil
		}
		payload.Meter = meter
	}
	return payload
}
