package decoders

import (
	"fmt"
	"time"
)

// Cayenne LPP, a format that many devices of no particular maker send: records of channel, type and value, big-endian, in any order
// and on any port. The channel becomes that of the field; 0 is the main one, as is 1.
//
// Kind: report. Fields, by type:
//
//	digital_input, digital_output (0, 1)      1
//	analog_input, analog_output (2, 3)        1
//	generic (100)                             1
//	luminosity (101)                          lx
//	presence (102), switch (142)                   true or false
//	temperature (103)                         Cel
//	humidity (104), percentage (120)          %
//	acceleration_x, _y, _z (113)              [g]
//	pressure (115)                            hPa
//	voltage (116), current (117)              V, A
//	frequency (118)                           Hz
//	altitude (121), distance (130)            m
//	concentration (125)                       [ppm]
//	power (128), energy (131)                 W, kW.h
//	direction (132)                           deg
//	rotation_x, _y, _z (134)                  deg/s
//	colour (135)                                   "#rrggbb"
//	latitude, longitude, gps_altitude (136)   deg, deg, m
//
// A time (133, seconds since 1970) is that of the sample; the first counts. A polyline (240) is left out, with a warning. The length of
// a record of another type is not known: the message is refused.

func init() { register("cayenne", decodeCayenne) }

// cayenneValue is one number of a record: value = number / divisor, which is exact to the last decimal.
type cayenneValue struct {
	name    string
	unit    string
	bytes   int
	signed  bool
	divisor float64 // 0: a flag
}

const (
	cayenneTime     = 133
	cayenneColour   = 135
	cayennePolyline = 240

	cayennePolylineHead = 8 // its size byte, a factor and a position
)

var cayenneTypes = [256][]cayenneValue{
	0:   {{"digital_input", "1", 1, false, 1}},
	1:   {{"digital_output", "1", 1, false, 1}},
	2:   {{"analog_input", "1", 2, true, 100}},
	3:   {{"analog_output", "1", 2, true, 100}},
	100: {{"generic", "1", 4, false, 1}},
	101: {{"luminosity", "lx", 2, false, 1}},
	102: {{"presence", "", 1, false, 0}},
	103: {{"temperature", "Cel", 2, true, 10}},
	104: {{"humidity", "%", 1, false, 2}},
	113: {{"acceleration_x", "[g]", 2, true, 1000}, {"acceleration_y", "[g]", 2, true, 1000}, {"acceleration_z", "[g]", 2, true, 1000}},
	115: {{"pressure", "hPa", 2, false, 10}},
	116: {{"voltage", "V", 2, false, 100}},
	117: {{"current", "A", 2, false, 1000}},
	118: {{"frequency", "Hz", 4, false, 1}},
	120: {{"percentage", "%", 1, false, 1}},
	121: {{"altitude", "m", 2, true, 1}},
	125: {{"concentration", "[ppm]", 2, false, 1}},
	128: {{"power", "W", 2, false, 1}},
	130: {{"distance", "m", 4, false, 1000}},
	131: {{"energy", "kW.h", 4, false, 1000}},
	132: {{"direction", "deg", 2, false, 1}},
	134: {{"rotation_x", "deg/s", 2, true, 100}, {"rotation_y", "deg/s", 2, true, 100}, {"rotation_z", "deg/s", 2, true, 100}},
	136: {{"latitude", "deg", 3, true, 10000}, {"longitude", "deg", 3, true, 10000}, {"gps_altitude", "m", 3, true, 100}},
	142: {{"switch", "", 1, false, 0}},
}

func decodeCayenne(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if err := checkRadioLength(payload); err != nil {
		return Output{}, err
	}
	if len(payload) == 0 {
		return Output{}, fmt.Errorf("%w: empty", ErrMalformed)
	}
	r := reader{payload: payload}
	const shortest = 3 // bytes of a record
	fields := make([]Field, 0, len(payload)/shortest)
	var moment time.Time
	var warnings []string
	for r.more() {
		r.part = "record"
		channel, kind := int(r.uint8()), r.uint8()
		values := cayenneTypes[kind]
		switch {
		case r.err != nil:
		case values != nil:
			for i := range values {
				fields = r.cayenneField(fields, &values[i], channel)
			}
		case kind == cayenneTime:
			r.part = "time"
			if seconds := bigEndian(r.take(4)); r.err == nil && moment.IsZero() {
				moment = time.Unix(int64(seconds), 0).UTC()
			}
		case kind == cayenneColour:
			r.part = "colour"
			if colour := r.take(3); colour != nil {
				fields = append(fields, Field{Name: "colour", Channel: channel, Value: Text(fmt.Sprintf("#%x", colour))})
			}
		case kind == cayennePolyline:
			r.cayennePolyline()
			warnings = append(warnings, fmt.Sprintf("the polyline of channel %d is left out", channel))
		default:
			r.fail(fmt.Errorf("%w: type %d of channel %d", ErrUnknownKind, kind, channel))
		}
	}
	if r.err != nil {
		return Output{}, r.err
	}
	return Output{Kind: "report", Samples: []Sample{{Time: moment, Fields: fields}}, Warnings: warnings}, nil
}

func (r *reader) cayenneField(fields []Field, value *cayenneValue, channel int) []Field {
	r.part = value.name
	bytes := r.take(value.bytes)
	if bytes == nil {
		return fields
	}
	raw := int64(bigEndian(bytes))
	if bits := value.bytes * 8; value.signed {
		raw = raw << (64 - bits) >> (64 - bits)
	}
	field := Field{Name: value.name, Channel: channel, Unit: value.unit}
	if value.divisor == 0 {
		field.Value = Bool(raw != 0)
	} else {
		field.Value = Number(float64(raw) / value.divisor)
	}
	return append(fields, field)
}

func (r *reader) cayennePolyline() {
	r.part = "polyline"
	size := int(r.uint8())
	if r.err == nil && size < cayennePolylineHead {
		r.fail(fmt.Errorf("%w: a polyline of %d bytes, it has at least %d", ErrMalformed, size, cayennePolylineHead))
	}
	r.take(max(size-1, 0))
}

// bigEndian returns a number of up to 4 bytes.
func bigEndian(bytes []byte) uint32 {
	var number uint32
	for _, b := range bytes {
		number = number<<8 | uint32(b)
	}
	return number
}
