package decoders

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// Dingtek DF702, an ultrasonic level sensor in the lid of a waste container. Everything comes on port 3, big-endian (floats
// little-endian): 80, 00, device type 01, data type, length of the message, content, 81.
//
// Kinds: heartbeat (data type 1) and alarm (2), both of 17 bytes or, with a position, 25; parameters (3, 25 bytes; also the
// answer to a command).
//
//	level                       mm   from the lid down to the content
//	latitude, longitude         deg  only with a fix
//	temperature                 Cel
//	angle, inclination          deg  angle has the sign the sensor gives it, inclination has none
//	full, fire, tilt, battery        the sensor's own alarms; battery means low
//	frame_counter               1
//
// Parameters: firmware_version, upload_interval (h), detection_interval (min), full_threshold (cm), fire_threshold (Cel),
// tilt_threshold (deg), tilt_enabled, ultrasonic_range (mm).

func init() { register("dingtek-df702", decodeDF702) }

const (
	df702Port     = 3
	df702Type     = 0x01
	df702Short    = 17
	df702Long     = 25
	df702Position = 8 // bytes
)

func decodeDF702(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if uplink.Port != df702Port {
		return Output{}, fmt.Errorf("%w: port %d, a DF702 sends on %d", ErrUnknownKind, uplink.Port, df702Port)
	}
	if len(payload) != df702Short && len(payload) != df702Long {
		return Output{}, fmt.Errorf("%w: %d bytes, a data packet has %d or %d, a parameter packet %d", ErrMalformed, len(payload), df702Short, df702Long, df702Long)
	}
	if payload[0] != 0x80 || payload[1] != 0x00 || payload[len(payload)-1] != 0x81 {
		return Output{}, fmt.Errorf("%w: begins with %x and ends with %x, not with 8000 and 81", ErrMalformed, payload[:2], payload[len(payload)-1:])
	}
	if int(payload[4]) != len(payload) {
		return Output{}, fmt.Errorf("%w: %d bytes, its length byte says %d", ErrMalformed, len(payload), payload[4])
	}
	if payload[2] != df702Type {
		return Output{}, fmt.Errorf("%w: device type %d, a DF702 is %d", ErrUnknownKind, payload[2], df702Type)
	}
	switch kind := payload[3]; {
	case kind == 1:
		return df702Data("heartbeat", payload)
	case kind == 2:
		return df702Data("alarm", payload)
	case kind == 3 && len(payload) == df702Long:
		return df702Parameters(payload), nil
	default:
		return Output{}, fmt.Errorf("%w: data type %d in %d bytes (there are 1 and 2 in %d or %d, 3 in %d)", ErrUnknownKind, kind, len(payload), df702Short, df702Long, df702Long)
	}
}

func df702Data(kind string, payload []byte) (Output, error) {
	fields := append(make([]Field, 0, 11), Field{Name: "level", Unit: "mm", Value: Number(binary.BigEndian.Uint16(payload[5:]))})
	tail := payload[8:]
	if len(payload) == df702Long {
		if hasFix := payload[7] != 0; hasFix {
			longitude, latitude := df702Degrees(tail), df702Degrees(tail[4:])
			if longitude.Kind() == KindNone || latitude.Kind() == KindNone {
				return Output{}, fmt.Errorf("%w: the position %x is not a number", ErrMalformed, tail[:df702Position])
			}
			fields = append(fields,
				Field{Name: "longitude", Unit: "deg", Value: longitude},
				Field{Name: "latitude", Unit: "deg", Value: latitude})
		}
		tail = tail[df702Position:]
	}
	// Two's complement: the sensor is made for -20 to 70 °C, and -5 is not a fire of 251.
	temperature, inclination := int8(tail[0]), int(tail[2])
	angle := inclination
	if negative := tail[1]&0x0f != 0; negative {
		angle = -angle
	}
	fields = append(fields,
		Field{Name: "temperature", Unit: "Cel", Value: Number(temperature)},
		Field{Name: "angle", Unit: "deg", Value: Number(angle)},
		Field{Name: "inclination", Unit: "deg", Value: Number(inclination)},
		Field{Name: "full", Value: Bool(tail[3]>>4 != 0)},
		Field{Name: "fire", Value: Bool(tail[3]&0x0f != 0)},
		Field{Name: "tilt", Value: Bool(tail[4]>>4 != 0)},
		Field{Name: "battery", Value: Bool(tail[4]&0x0f != 0)},
		Field{Name: "frame_counter", Unit: "1", Value: Number(binary.BigEndian.Uint16(tail[5:]))})
	return Output{Kind: kind, Samples: []Sample{{Fields: fields}}}, nil
}

// df702Degrees reads a 32-bit float and cuts what it cannot resolve; the zero Value when it is no number.
func df702Degrees(b []byte) Value {
	degrees := float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	return Number(math.Round(degrees*1e6) / 1e6)
}

func df702Parameters(payload []byte) Output {
	ultrasonicRange := 2000
	if payload[13] != 0 {
		ultrasonicRange = 5000
	}
	return Output{Kind: "parameters", Samples: []Sample{{Fields: []Field{
		{Name: "firmware_version", Value: Text(strconv.Itoa(int(payload[5])) + "." + strconv.Itoa(int(payload[6])))},
		{Name: "upload_interval", Unit: "h", Value: Number(payload[7])},
		{Name: "detection_interval", Unit: "min", Value: Number(payload[8])},
		{Name: "full_threshold", Unit: "cm", Value: Number(payload[9])},
		{Name: "fire_threshold", Unit: "Cel", Value: Number(payload[10])},
		{Name: "tilt_threshold", Unit: "deg", Value: Number(payload[11])},
		{Name: "tilt_enabled", Value: Bool(payload[12] != 0)},
		{Name: "ultrasonic_range", Unit: "mm", Value: Number(ultrasonicRange)},
	}}}}
}
