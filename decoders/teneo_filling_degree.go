package decoders

import (
	"encoding/binary"
	"fmt"
)

// Teneo IoT Filling Degree Sensor, a laser distance sensor in the lid of a waste container. Big-endian; the first byte is always
// the battery voltage above 2 V, in steps of 0.1 V.
//
// Kinds: distance (port 1: distance, in 4 or 8 bytes a status after it, in 7 or 8 bytes temperature and humidity at the end),
// status (port 2: there is no distance), charging (port 3).
//
//	battery               V
//	charging
//	valid                      whether the sensor stands by what it measured; not while charging
//	distance              cm   from the lid down to the content; only when valid
//	errorcode             1    why the measurement failed; what the numbers mean is not published
//	measurement_failed         true with an errorcode; not while charging
//	temperature           Cel
//	relative_humidity     %
//
// Status 0 is good, 4 is valid without a distance. The maker's decoder gives -1 as the distance of status 4, and beside an errorcode
// whatever stands there; neither is a distance.

func init() { register("teneo-filling-degree", decodeTeneoFillingDegree) }

const (
	teneoPortDistance = 1
	teneoPortStatus   = 2
	teneoPortCharging = 3

	teneoGood       = 0
	teneoNoDistance = 4
)

func decodeTeneoFillingDegree(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if err := checkRadioLength(payload); err != nil {
		return Output{}, err
	}
	switch uplink.Port {
	case teneoPortDistance:
		return teneoDistance(payload)
	case teneoPortStatus:
		if len(payload) != 2 {
			return Output{}, fmt.Errorf("%w: %d bytes, a status message has 2", ErrMalformed, len(payload))
		}
		// On this port even 0 is no success: a measurement would have come on the other.
		code := payload[1]
		return teneoOutput("status", teneoStatus(teneoBattery(payload[0], false), code, code == teneoNoDistance)), nil
	case teneoPortCharging:
		if len(payload) == 0 {
			return Output{}, fmt.Errorf("%w: no bytes, a charging message has at least the battery", ErrMalformed)
		}
		return teneoOutput("charging", append(teneoBattery(payload[0], true), Field{Name: "valid", Value: Bool(false)})), nil
	default:
		return Output{}, fmt.Errorf("%w: port %d, a filling degree sensor sends on %d to %d", ErrUnknownKind, uplink.Port, teneoPortDistance, teneoPortCharging)
	}
}

func teneoDistance(payload []byte) (Output, error) {
	hasStatus, hasClimate := false, false
	switch len(payload) {
	case 3:
	case 4:
		hasStatus = true
	case 7:
		hasClimate = true
	case 8:
		hasStatus, hasClimate = true, true
	default:
		return Output{}, fmt.Errorf("%w: %d bytes, a distance message has 3, 4, 7 or 8", ErrMalformed, len(payload))
	}
	fields := teneoBattery(payload[0], false)
	code, climate := byte(teneoGood), payload[3:]
	if hasStatus {
		code, climate = payload[3], payload[4:]
	}
	if code == teneoGood {
		fields = append(fields, Field{Name: "distance", Unit: "cm", Value: Number(binary.BigEndian.Uint16(payload[1:]))})
	}
	fields = teneoStatus(fields, code, code == teneoGood || code == teneoNoDistance)
	if hasClimate {
		fields = append(fields,
			Field{Name: "temperature", Unit: "Cel", Value: Number(float64(int16(binary.BigEndian.Uint16(climate))) / 100)},
			Field{Name: "relative_humidity", Unit: "%", Value: Number(float64(binary.BigEndian.Uint16(climate[2:])) / 100)})
	}
	return teneoOutput("distance", fields), nil
}

func teneoBattery(raw byte, charging bool) []Field {
	return append(make([]Field, 0, 8),
		Field{Name: "battery", Unit: "V", Value: Number(float64(20+int(raw)) / 10)},
		Field{Name: "charging", Value: Bool(charging)})
}

func teneoStatus(fields []Field, code byte, valid bool) []Field {
	fields = append(fields, Field{Name: "valid", Value: Bool(valid)}, Field{Name: "measurement_failed", Value: Bool(!valid)})
	if !valid {
		fields = append(fields, Field{Name: "errorcode", Unit: "1", Value: Number(code)})
	}
	return fields
}

func teneoOutput(kind string, fields []Field) Output {
	return Output{Kind: kind, Samples: []Sample{{Fields: fields}}}
}
