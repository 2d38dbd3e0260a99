package decoders

import (
	"encoding/binary"
	"fmt"
)

// Dragino LDDS75, an ultrasonic distance sensor. Big-endian, on port 2: battery, distance, interrupt, temperature and sensor
// flag, 8 bytes in all; old firmware ends after the interrupt (5 bytes).
//
// One kind: data.
//
//	bat                V
//	distance           mm   as sent; 0 means no ultrasonic sensor, up to 20 that the reading is not valid
//	valid_distance     mm   the distance when it is one
//	interrupt_flag     1    1 when the interrupt pin caused the message
//	temp_ds18b20       Cel  as sent; 0 too when the optional probe is not there
//	probe_temperature  Cel  the same when it can come from a probe: not 0, and in the range of a DS18B20
//	sensor_flag        1    1 when the ultrasonic sensor was found

func init() { register("dragino-ldds75", decodeLDDS75) }

const (
	ldds75Port     = 2
	ldds75Old      = 5
	ldds75Full     = 8
	ldds75Battery  = 0x3fff
	ldds75Invalid  = 20  // mm
	ldds75Nearest  = 280 // mm, the specified range is 280 to 7500
	ldds75ProbeMin = -550
	ldds75ProbeMax = 1250 // 0.1 degrees
)

func decodeLDDS75(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if uplink.Port != ldds75Port {
		return Output{}, fmt.Errorf("%w: port %d, an LDDS75 sends on %d", ErrUnknownKind, uplink.Port, ldds75Port)
	}
	if len(payload) != ldds75Full && len(payload) != ldds75Old {
		return Output{}, fmt.Errorf("%w: %d bytes, a message has %d (with old firmware %d)", ErrMalformed, len(payload), ldds75Full, ldds75Old)
	}
	distance := binary.BigEndian.Uint16(payload[2:])
	fields := append(make([]Field, 0, 7),
		Field{Name: "bat", Unit: "V", Value: Number(float64(binary.BigEndian.Uint16(payload)&ldds75Battery) / 1000)},
		Field{Name: "distance", Unit: "mm", Value: Number(distance)})
	var warnings []string
	noSensor := distance == 0 || len(payload) == ldds75Full && payload[7] == 0
	switch {
	case noSensor:
		warnings = append(warnings, "no ultrasonic sensor found")
	case distance <= ldds75Invalid:
		warnings = append(warnings, "the distance is not valid")
	default:
		if distance < ldds75Nearest {
			warnings = append(warnings, "the distance is below the range of the sensor")
		}
		fields = append(fields, Field{Name: "valid_distance", Unit: "mm", Value: Number(distance)})
	}
	fields = append(fields, Field{Name: "interrupt_flag", Unit: "1", Value: Number(payload[4])})
	if len(payload) == ldds75Full {
		temperature := int16(binary.BigEndian.Uint16(payload[5:]))
		value := Number(float64(temperature) / 10)
		fields = append(fields, Field{Name: "temp_ds18b20", Unit: "Cel", Value: value})
		if temperature != 0 && temperature >= ldds75ProbeMin && temperature <= ldds75ProbeMax {
			fields = append(fields, Field{Name: "probe_temperature", Unit: "Cel", Value: value})
		}
		fields = append(fields, Field{Name: "sensor_flag", Unit: "1", Value: Number(payload[7])})
	}
	return Output{Kind: "data", Samples: []Sample{{Fields: fields}}, Warnings: warnings}, nil
}
