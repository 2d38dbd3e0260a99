package decoders

import (
	"encoding/binary"
	"fmt"
)

// Terabee LoRa Level Monitoring XL, a time-of-flight level sensor above a silo, tank or container. Big-endian, one kind of
// message (level) of 6 bytes: distance, level, battery voltage, errors.
//
//	distance          mm   down to the content
//	distance_state         instead of it: TARGET_TOO_CLOSE, INVALID_READING or TARGET_TOO_FAR
//	level_percentage  %    as the sensor works it out from its settings
//	level_state            instead of it: LEVEL_ERROR
//	battery_voltage   mV
//	system_reset_error, sleep_error, battery_error, distance_sensor_error  bits of the last byte, always true or false
//	error                  any of these
//
// Beside an error the maker's decoder gives no reading; neither does this one.

func init() { register("terabee-level-monitoring-xl", decodeLevelMonitoringXL) }

const (
	terabeeLength = 6

	terabeeTooClose   = 0
	terabeeInvalid    = 1
	terabeeTooFar     = 0xffff
	terabeeLevelError = 0xff

	terabeeErrors = 0x0f // the bits with a meaning
)

func decodeLevelMonitoringXL(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if len(payload) != terabeeLength {
		return Output{}, fmt.Errorf("%w: %d bytes, a level message has %d", ErrMalformed, len(payload), terabeeLength)
	}
	fields := make([]Field, 0, 8)
	errors := payload[5]
	if errors&terabeeErrors == 0 {
		fields = append(fields,
			terabeeDistance(binary.BigEndian.Uint16(payload)),
			terabeeLevel(payload[2]),
			Field{Name: "battery_voltage", Unit: "mV", Value: Number(binary.BigEndian.Uint16(payload[3:]))})
	}
	fields = append(fields,
		Field{Name: "system_reset_error", Value: Bool(errors&0x01 != 0)},
		Field{Name: "sleep_error", Value: Bool(errors&0x02 != 0)},
		Field{Name: "battery_error", Value: Bool(errors&0x04 != 0)},
		Field{Name: "distance_sensor_error", Value: Bool(errors&0x08 != 0)},
		Field{Name: "error", Value: Bool(errors&terabeeErrors != 0)})
	output := Output{Kind: "level", Samples: []Sample{{Fields: fields}}}
	if errors&^terabeeErrors != 0 {
		output.Warnings = []string{fmt.Sprintf("errors 0x%02x have bits without a known meaning", errors)}
	}
	return output, nil
}

func terabeeDistance(distance uint16) Field {
	switch distance {
	case terabeeTooClose:
		return Field{Name: "distance_state", Value: Text("TARGET_TOO_CLOSE")}
	case terabeeInvalid:
		return Field{Name: "distance_state", Value: Text("INVALID_READING")}
	case terabeeTooFar:
		return Field{Name: "distance_state", Value: Text("TARGET_TOO_FAR")}
	default:
		return Field{Name: "distance", Unit: "mm", Value: Number(distance)}
	}
}

func terabeeLevel(level byte) Field {
	if level == terabeeLevelError {
		return Field{Name: "level_state", Value: Text("LEVEL_ERROR")}
	}
	return Field{Name: "level_percentage", Unit: "%", Value: Number(level)}
}
