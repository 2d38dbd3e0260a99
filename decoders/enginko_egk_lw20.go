package decoders

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Enginko EGK-LW20W00 (waste) and EGK-LW20L00 (liquids), level sensors. Little-endian, on any port; the first byte is the kind
// of message. The clock is taken as UTC; a date that is none (clock not set) is left out.
//
// Kinds: time_sync (01, the sensor asks for the time), io (0A), level (14, layouts 0 to 3, 254 and 255).
//
//	type                         1    layout of a level message
//	adc                          mV
//	height, distance1            mm   of the content; from the sensor to it; both missing when there was no echo
//	fill_level                   %    layouts 1, 3, 254, 255
//	amplitude, gain              1    layouts 254, 255
//	temperature                  Cel  layouts 1, 2, 3, 254
//	humidity, pressure           %, hPa  layouts 2, 3, 254
//	battery                      %
//
// io: input_status, output_status, input_trigger (1, a bit each). time_sync: sync_id, sync_version, application_type, rfu (digits
// in hexadecimal; version and rfu may be missing).

func init() { register("enginko-egk-lw20", decodeEGKLW20) }

const (
	egkTimeSync = 0x01
	egkIO       = 0x0a
	egkLevel    = 0x14

	egkIOLength     = 17
	egkLevelHead    = 6 // kind, layout, date
	egkMaxDistance  = 60000
	egkMaxFillLevel = 100
)

// egkLayout says what a level message has after its distance, in this order, before the battery.
type egkLayout struct {
	length                                     int
	fillLevel, echo, temperature, airCondition bool
}

func egkLayoutOf(number byte) (egkLayout, bool) {
	switch number {
	case 0:
		return egkLayout{length: 13}, true
	case 1:
		return egkLayout{length: 16, fillLevel: true, temperature: true}, true
	case 2:
		return egkLayout{length: 19, temperature: true, airCondition: true}, true
	case 3:
		return egkLayout{length: 20, fillLevel: true, temperature: true, airCondition: true}, true
	case 254:
		return egkLayout{length: 24, fillLevel: true, echo: true, temperature: true, airCondition: true}, true
	case 255:
		return egkLayout{length: 18, fillLevel: true, echo: true}, true
	default:
		return egkLayout{}, false
	}
}

func decodeEGKLW20(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if err := checkRadioLength(payload); err != nil {
		return Output{}, err
	}
	if len(payload) == 0 {
		return Output{}, fmt.Errorf("%w: no byte, the first one is the kind of message", ErrMalformed)
	}
	switch payload[0] {
	case egkTimeSync:
		return egkReadTimeSync(payload)
	case egkIO:
		return egkReadIO(payload)
	case egkLevel:
		return egkReadLevel(payload)
	default:
		return Output{}, fmt.Errorf("%w: 0x%02x, there are 0x%02x, 0x%02x and 0x%02x", ErrUnknownKind, payload[0], egkTimeSync, egkIO, egkLevel)
	}
}

// egkReadTimeSync reads id, version, application type and reserved bytes; the oldest sensors leave the version out.
func egkReadTimeSync(payload []byte) (Output, error) {
	if len(payload) < 7 || len(payload) == 9 {
		return Output{}, fmt.Errorf("%w: %d bytes, a request for the time has 7 or 8, with a version 10 or more", ErrMalformed, len(payload))
	}
	digits := func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }
	fields := append(make([]Field, 0, 4), Field{Name: "sync_id", Value: Text(digits(payload[1:5]))})
	rest := payload[5:]
	if len(payload) >= 10 {
		version := digits(rest[:3])
		fields = append(fields, Field{Name: "sync_version", Value: Text(version[:2] + "." + version[2:4] + "." + version[4:])})
		rest = rest[3:]
	}
	fields = append(fields, Field{Name: "application_type", Value: Text(digits(rest[:2]))})
	if len(rest) > 2 {
		fields = append(fields, Field{Name: "rfu", Value: Text(digits(rest[2:]))})
	}
	return Output{Kind: "time_sync", Samples: []Sample{{Fields: fields}}}, nil
}

// egkReadIO reads three masks of 32 bits, of which this product uses the first eight.
func egkReadIO(payload []byte) (Output, error) {
	if len(payload) != egkIOLength {
		return Output{}, fmt.Errorf("%w: %d bytes, an io message has %d", ErrMalformed, len(payload), egkIOLength)
	}
	r := reader{payload: payload, at: 1, part: "io message"}
	at := egkTime(r.uint32())
	inputs, outputs, triggers := r.uint32(), r.uint32(), r.uint32()
	var warnings []string
	if (inputs|outputs|triggers)>>8 != 0 {
		warnings = append(warnings, "more than eight inputs or outputs; only the first eight are given")
	}
	return Output{Kind: "io", Samples: []Sample{{Time: at, Fields: []Field{
		{Name: "input_status", Unit: "1", Value: Number(byte(inputs))},
		{Name: "output_status", Unit: "1", Value: Number(byte(outputs))},
		{Name: "input_trigger", Unit: "1", Value: Number(byte(triggers))},
	}}}, Warnings: warnings}, nil
}

func egkReadLevel(payload []byte) (Output, error) {
	if len(payload) < egkLevelHead {
		return Output{}, fmt.Errorf("%w: %d bytes, a level message has at least 13", ErrMalformed, len(payload))
	}
	layout, ok := egkLayoutOf(payload[1])
	if !ok {
		return Output{}, fmt.Errorf("%w: level message of layout %d (there are 0 to 3, 254, 255)", ErrUnknownKind, payload[1])
	}
	if len(payload) != layout.length {
		return Output{}, fmt.Errorf("%w: %d bytes, a level message of layout %d has %d", ErrMalformed, len(payload), payload[1], layout.length)
	}
	r := reader{payload: payload, at: 2, part: "level message"}
	var warnings []string
	at := egkTime(r.uint32())
	fields := append(make([]Field, 0, 11),
		Field{Name: "type", Unit: "1", Value: Number(payload[1])},
		Field{Name: "adc", Unit: "mV", Value: Number(r.uint16())})
	height, distance := r.uint16(), r.uint16()
	if distance <= egkMaxDistance {
		fields = append(fields,
			Field{Name: "height", Unit: "mm", Value: Number(height)},
			Field{Name: "distance1", Unit: "mm", Value: Number(distance)})
	} else {
		warnings = append(warnings, fmt.Sprintf("distance error %d", distance))
	}
	if layout.fillLevel {
		if fillLevel := r.uint8(); fillLevel <= egkMaxFillLevel {
			fields = append(fields, Field{Name: "fill_level", Unit: "%", Value: Number(fillLevel)})
		} else {
			warnings = append(warnings, fmt.Sprintf("fill level error %d", fillLevel))
		}
	}
	if layout.echo {
		fields = append(fields,
			Field{Name: "amplitude", Unit: "1", Value: Number(r.uint16())},
			Field{Name: "gain", Unit: "1", Value: Number(r.uint16())})
	}
	if layout.temperature {
		fields = append(fields, Field{Name: "temperature", Unit: "Cel", Value: Number(float64(int16(r.uint16())) / 100)})
	}
	if layout.airCondition {
		fields = append(fields, Field{Name: "humidity", Unit: "%", Value: Number(float64(r.uint8()) / 2)})
		pressure := uint32(r.uint16())
		pressure |= uint32(r.uint8()) << 16
		fields = append(fields, Field{Name: "pressure", Unit: "hPa", Value: Number(float64(pressure) / 100)})
	}
	fields = append(fields, Field{Name: "battery", Unit: "%", Value: Number(r.uint8())})
	if err := r.end("level"); err != nil {
		return Output{}, err
	}
	return Output{Kind: "level", Samples: []Sample{{Time: at, Fields: fields}}, Warnings: warnings}, nil
}

// egkTime reads years since 2000 (7 bits), month (4), day (5), hour (5), minute (6) and half the second (5); the zero time when
// they are no date.
func egkTime(packed uint32) time.Time {
	year, month, day := 2000+int(packed>>25), time.Month(packed>>21&0x0f), int(packed>>16&0x1f)
	hour, minute, second := int(packed>>11&0x1f), int(packed>>5&0x3f), int(packed&0x1f)*2
	at := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	if at.Month() != month || at.Day() != day || at.Hour() != hour || at.Minute() != minute || at.Second() != second {
		return time.Time{}
	}
	return at
}
