package decoders

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// AstraLED SmartLine, a luminaire with air quality sensors, protocol versions 0.02 and 0.03. A message is a list of parameters:
// length of the value (low six bits), number of the parameter, value, little-endian. The port says nothing. A parameter may be
// longer than what is known of it; one that is not known is left out with a warning. There is one kind of message, parameters.
//
//	temperature               Cel    humidity  %    voc, co2, eco2  [ppm]    pm1_0, pm2_5, pm4_0, pm10  ug/m3
//	device_temperature        Cel    inside the luminaire
//	act_pwr, raw_pwr          W      energy, raw_energy  kW.h
//	light_state               1      0 to 255; what a value means is not published
//	light_set_lux, sensor_ambient_light  lx    light_set_cct, sensor_cct  K    light_light_level  1
//	altitude  m    latitude, longitude  deg
//	error                     1      32 bits, 0 when there is none
//	protocol_version, app_version, lora_stack_version, lora_version
//	msg_cycle_time            1      channel n: of message n
//	msg_nr, cmd               1      channel n+1: command byte n
//	param_addr, param_dat, group_address, serial_number, nb_of_groups, and the iaq_ settings of the air quality display
//
// Temperatures are signed, though the maker's decoder reads them as they would be without a sign.

func init() { register("astraled-smartline", decodeSmartLine) }

const (
	astraLengthBits = 0x3f // of the first byte; what the upper two are for is not published

	astraMessageCycle = 6 // number of the message, time
)

// astraType is how a value stands in a parameter.
type astraType uint8

const (
	astraUint8 astraType = iota
	astraInt8
	astraUint16
	astraInt16
	astraUint32
	astraFloat32
	astraVersion2 // minor, major
	astraVersion3 // patch, minor, major
	astraVersionP // the same, written with a p
)

// astraSize is how many bytes a value of each type has.
var astraSize = [...]int{1, 1, 2, 2, 4, 4, 2, 3, 3}

// astraValue is one value of a parameter.
type astraValue struct {
	name    string
	channel int
	at      int // byte of the parameter where it begins
	kind    astraType
	divisor float64 // 0: none
	unit    string
}

func astraOne(name string, kind astraType, unit string) []astraValue {
	return []astraValue{{name: name, kind: kind, unit: unit}}
}

// astraBytes are values of one byte each, one after the other.
func astraBytes(names ...string) []astraValue {
	values := make([]astraValue, len(names))
	for i, name := range names {
		values[i] = astraValue{name: name, at: i, unit: "1"}
	}
	return values
}

func astraColour(prefix string) []astraValue {
	return astraBytes(prefix+"_red", prefix+"_green", prefix+"_blue")
}

func astraThreshold(quality string) []astraValue {
	return []astraValue{
		{name: "iaq_threshold_co2_" + quality, kind: astraUint16, unit: "[ppm]"},
		{name: "iaq_threshold_voc_" + quality, at: 2, kind: astraUint16, unit: "[ppm]"},
	}
}

// astraParameters holds the values of each parameter, by its number; read only.
var astraParameters = [...][]astraValue{
	1: astraOne("protocol_version", astraVersion2, ""),
	2: astraOne("app_version", astraVersionP, ""),
	3: astraOne("lora_stack_version", astraVersion3, ""),
	4: astraOne("lora_version", astraVersion3, ""),
	5: {
		{name: "msg_nr", unit: "1"},
		{name: "cmd", channel: 1, at: 1, unit: "1"}, {name: "cmd", channel: 2, at: 2, unit: "1"},
		{name: "cmd", channel: 3, at: 3, unit: "1"}, {name: "cmd", channel: 4, at: 4, unit: "1"},
		{name: "cmd", channel: 5, at: 5, unit: "1"}, {name: "cmd", channel: 6, at: 6, unit: "1"},
		{name: "cmd", channel: 7, at: 7, unit: "1"}, {name: "cmd", channel: 8, at: 8, unit: "1"},
	},
	astraMessageCycle: {{name: "msg_cycle_time", at: 1, kind: astraUint16, unit: "1"}},

	7:  astraBytes("group_address"),
	8:  astraOne("serial_number", astraUint32, "1"),
	9:  {{name: "temperature", kind: astraInt16, divisor: 100, unit: "Cel"}},
	10: {{name: "humidity", kind: astraUint16, divisor: 10, unit: "%"}},
	11: astraOne("voc", astraUint16, "[ppm]"),
	12: astraOne("co2", astraUint16, "[ppm]"),
	13: astraOne("eco2", astraUint16, "[ppm]"),
	14: astraBytes("iaq_state_int"),
	15: astraBytes("iaq_state_ext"),
	16: astraOne("pm1_0", astraFloat32, "ug/m3"),
	17: astraOne("pm2_5", astraFloat32, "ug/m3"),
	18: astraOne("pm4_0", astraFloat32, "ug/m3"),
	19: astraOne("pm10", astraFloat32, "ug/m3"),
	20: astraOne("iaq_particel_typ_size", astraFloat32, "1"),
	21: astraThreshold("good"),
	22: astraThreshold("still_ok"),
	23: astraThreshold("bad"),
	24: astraBytes("iaq_filter_time", "iaq_hysteresis_co2", "iaq_hysteresis_voc"),
	25: astraColour("iaq_rgbw_good"),
	26: astraColour("iaq_rgbw_still_ok"),
	27: astraColour("iaq_rgbw_bad"),
	28: astraColour("iaq_rgbw_deadly"),
	29: astraColour("iaq_rgbw_warmup"),
	30: astraBytes("iaq_rgbw_dimming"),
	31: astraBytes("iaq_visualisation"),
	32: astraOne("altitude", astraInt16, "m"),
	33: astraOne("latitude", astraFloat32, "deg"),
	34: astraOne("longitude", astraFloat32, "deg"),
	35: astraBytes("light_state"),
	37: astraOne("light_set_cct", astraUint16, "K"),
	38: astraOne("light_set_lux", astraUint16, "lx"),
	39: astraOne("light_light_level", astraUint16, "1"),
	40: astraOne("device_temperature", astraInt8, "Cel"),
	41: astraOne("error", astraUint32, "1"),
	42: astraOne("act_pwr", astraFloat32, "W"),
	43: astraOne("energy", astraFloat32, "kW.h"),
	44: astraOne("sensor_ambient_light", astraUint16, "lx"),
	45: astraOne("sensor_cct", astraUint16, "K"),
	46: {{name: "param_addr", at: 5, kind: astraUint16, unit: "1"}, {name: "param_dat", at: 7, kind: astraUint32, unit: "1"}},
	48: {{name: "iaq_tempature_comp_off", kind: astraInt16, unit: "1"}, {name: "iaq_tempature_comp_on", at: 2, kind: astraInt16, unit: "1"}},
	50: astraBytes("nb_of_groups"),
	51: astraColour("iaq_rgb"),
	52: astraBytes("iaq_asc"),
	53: astraOne("raw_pwr", astraFloat32, "W"),
	54: astraOne("raw_energy", astraFloat32, "kW.h"),
}

func decodeSmartLine(uplink Uplink) (Output, error) {
	if err := checkRadioLength(uplink.Payload); err != nil {
		return Output{}, err
	}
	f := &astraFrame{reader: reader{payload: uplink.Payload}, fields: make([]Field, 0, astraCount(uplink.Payload))}
	known := false
	for first := true; first || f.more(); first = false {
		f.part = "length and number of a parameter"
		length, number := int(f.uint8()&astraLengthBits), f.uint8()
		f.part = "value of the parameter"
		content := f.take(length)
		switch {
		case f.err != nil:
		case astraValues(number) != nil:
			known = true
			f.parameter(number, content)
		default:
			f.warn("parameter %d is not known", number)
		}
	}
	if f.err == nil && !known {
		f.fail(fmt.Errorf("%w: no parameter that is known", ErrUnknownKind))
	}
	if f.err != nil {
		return Output{}, f.err
	}
	return Output{Kind: "parameters", Samples: []Sample{{Fields: f.fields}}, Warnings: f.warnings}, nil
}

// astraValues returns the values of a parameter, nil when it is not known.
func astraValues(number byte) []astraValue {
	if int(number) < len(astraParameters) {
		return astraParameters[number]
	}
	return nil
}

// astraCount says how many values a message has at most.
func astraCount(payload []byte) int {
	count := 0
	for at := 0; at+1 < len(payload); at += 2 + int(payload[at]&astraLengthBits) {
		count += len(astraValues(payload[at+1]))
	}
	return count
}

// astraFrame collects what one message says.
type astraFrame struct {
	reader
	fields   []Field
	warnings []string
}

func (f *astraFrame) warn(format string, arguments ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf(format, arguments...))
}

func (f *astraFrame) parameter(number byte, content []byte) {
	values := astraValues(number)
	for i := range values {
		value := &values[i]
		if end := value.at + astraSize[value.kind]; len(content) < end {
			f.fail(fmt.Errorf("%w: parameter %d has %d bytes, its %s ends after %d", ErrMalformed, number, len(content), value.name, end))
			return
		}
		channel := value.channel
		if number == astraMessageCycle {
			if channel = int(content[0]); channel < 1 || channel > 8 {
				f.warn("left out the cycle time of message %d (there are 1 to 8)", channel)
				return
			}
		}
		decoded := value.read(content[value.at:])
		if decoded.Kind() == KindNone {
			f.warn("left out %s, which is not a number", value.name)
			continue
		}
		f.fields = append(f.fields, Field{Name: value.name, Channel: channel, Unit: value.unit, Value: decoded})
	}
}

// read returns the value at the beginning of b, the zero Value when it is no number.
func (v *astraValue) read(b []byte) Value {
	var number float64
	switch v.kind {
	case astraUint8:
		number = float64(b[0])
	case astraInt8:
		number = float64(int8(b[0]))
	case astraUint16:
		number = float64(binary.LittleEndian.Uint16(b))
	case astraInt16:
		number = float64(int16(binary.LittleEndian.Uint16(b)))
	case astraUint32:
		number = float64(binary.LittleEndian.Uint32(b))
	case astraFloat32:
		number = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case astraVersion2:
		return Text("V:" + strconv.Itoa(int(b[1])) + "." + strconv.Itoa(int(b[0])))
	case astraVersion3:
		return Text("V:" + strconv.Itoa(int(b[2])) + "." + strconv.Itoa(int(b[1])) + "." + strconv.Itoa(int(b[0])))
	case astraVersionP:
		return Text("V:" + strconv.Itoa(int(b[2])) + "." + strconv.Itoa(int(b[1])) + "p" + strconv.Itoa(int(b[0])))
	}
	if v.divisor != 0 {
		number /= v.divisor
	}
	return Number(number)
}
