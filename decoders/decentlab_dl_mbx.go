package decoders

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Decentlab DL-MBX, an ultrasonic distance sensor. Big-endian, on any port: protocol version 2, device id, a mask of the parts
// that follow, the parts: bit 0 distance and number of samples, bit 1 battery.
//
// One kind: data.
//
//	protocol_version, device_id   1
//	distance                      mm  as sent, also when no sample was valid
//	number_of_valid_samples       1   that the distance is the median of
//	valid_distance                mm  the distance, when at least one sample was valid
//	battery_voltage               V

func init() { register("decentlab-dl-mbx", decodeDLMBX) }

const (
	dlMBXVersion  = 2
	dlMBXHead     = 5
	dlMBXDistance = 0x01 // two words
	dlMBXBattery  = 0x02 // one word
)

func decodeDLMBX(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if len(payload) < dlMBXHead {
		return Output{}, fmt.Errorf("%w: %d bytes, a message has at least %d", ErrMalformed, len(payload), dlMBXHead)
	}
	if payload[0] != dlMBXVersion {
		return Output{}, fmt.Errorf("%w: protocol version %d, only %d is known", ErrUnknownKind, payload[0], dlMBXVersion)
	}
	mask := binary.BigEndian.Uint16(payload[3:])
	if mask&^(dlMBXDistance|dlMBXBattery) != 0 {
		return Output{}, fmt.Errorf("%w: parts 0x%04x, a DL-MBX has 0x%04x", ErrUnknownKind, mask, dlMBXDistance|dlMBXBattery)
	}
	words := bits.OnesCount16(mask)
	if mask&dlMBXDistance != 0 {
		words++
	}
	if want := dlMBXHead + 2*words; len(payload) != want {
		return Output{}, fmt.Errorf("%w: %d bytes, with the parts 0x%04x there are %d", ErrMalformed, len(payload), mask, want)
	}

	var warnings []string
	fields := append(make([]Field, 0, 6),
		Field{Name: "protocol_version", Unit: "1", Value: Number(payload[0])},
		Field{Name: "device_id", Unit: "1", Value: Number(binary.BigEndian.Uint16(payload[1:]))})
	rest := payload[dlMBXHead:]
	if mask&dlMBXDistance != 0 {
		distance, samples := binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		fields = append(fields,
			Field{Name: "distance", Unit: "mm", Value: Number(distance)},
			Field{Name: "number_of_valid_samples", Unit: "1", Value: Number(samples)})
		if samples > 0 {
			fields = append(fields, Field{Name: "valid_distance", Unit: "mm", Value: Number(distance)})
		} else {
			warnings = append(warnings, "no sample of the distance was valid")
		}
		rest = rest[4:]
	}
	if mask&dlMBXBattery != 0 {
		fields = append(fields, Field{Name: "battery_voltage", Unit: "V", Value: Number(float64(binary.BigEndian.Uint16(rest)) / 1000)})
	}
	return Output{Kind: "data", Samples: []Sample{{Fields: fields}}, Warnings: warnings}, nil
}
