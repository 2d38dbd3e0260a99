package decoders

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// Pepperl+Fuchs WILSEN.sonic.level (and .distance), an ultrasonic level sensor. Big-endian, on any port: data packages of length,
// 16-bit identifier and value, one after the other.
//
// Kinds: measurement, configuration (the answer to a command, see pepperl_fuchs_wilsen_configuration.go), information (serial
// number and counters).
//
//	proxx, proxx_mm                          cm, mm  from the sensor to the content; a sensor sends one of the two
//	distance                                 mm      whichever of the two it was
//	fillinglvl                               %
//	amplitude                                1
//	temp                                     Cel
//	latitude, longitude                      deg
//	battery_vol                              V
//	serial_nr
//	lora_count, gps_count, us_sensor_count   1       transmissions, searches for a position, measurements

func init() { register("pepperl-fuchs-wilsen-sonic-level", decodeWILSEN) }

// wilsen collects what a message says.
type wilsen struct {
	rank     wilsenRank
	fields   []Field
	warnings []string
}

// wilsenRank orders the kinds: a message is of the highest one that a package in it has. The battery comes with every kind.
type wilsenRank uint8

const (
	wilsenInformation wilsenRank = iota
	wilsenConfiguration
	wilsenMeasurement
)

func (r wilsenRank) String() string {
	return [...]string{"information", "configuration", "measurement"}[r]
}

func decodeWILSEN(uplink Uplink) (Output, error) {
	if err := checkRadioLength(uplink.Payload); err != nil {
		return Output{}, err
	}
	if len(uplink.Payload) < 3 {
		return Output{}, fmt.Errorf("%w: %d bytes, a data package has at least 3", ErrMalformed, len(uplink.Payload))
	}
	m := wilsen{fields: make([]Field, 0, 8)}
	r := reader{payload: uplink.Payload, part: "data package"}
	for r.more() {
		length := int(r.uint8())
		data := r.take(length)
		if r.err != nil {
			return Output{}, r.err
		}
		if length < 2 {
			return Output{}, fmt.Errorf("%w: data package of %d bytes, its identifier alone has 2", ErrMalformed, length)
		}
		if err := m.read(binary.BigEndian.Uint16(data), data[2:]); err != nil {
			return Output{}, err
		}
	}
	m.addDistance()
	return Output{Kind: m.rank.String(), Samples: []Sample{{Fields: m.fields}}, Warnings: m.warnings}, nil
}

// set adds a field, or replaces the one of the same name.
func (m *wilsen) set(rank wilsenRank, name, unit string, value Value) {
	m.rank = max(m.rank, rank)
	for i := range m.fields {
		if m.fields[i].Name == name {
			m.fields[i].Unit, m.fields[i].Value = unit, value
			return
		}
	}
	m.fields = append(m.fields, Field{Name: name, Unit: unit, Value: value})
}

func (m *wilsen) find(name string) (Value, bool) {
	for i := range m.fields {
		if m.fields[i].Name == name {
			return m.fields[i].Value, true
		}
	}
	return Value{}, false
}

func (m *wilsen) addDistance() {
	if distance, ok := m.find("proxx_mm"); ok {
		m.set(m.rank, "distance", "mm", distance)
	} else if distance, ok := m.find("proxx"); ok {
		m.set(m.rank, "distance", "mm", Number(10*distance.Number()))
	}
}

// read takes one data package. The identifier says how long its value is.
func (m *wilsen) read(id uint16, value []byte) error {
	size, ok := wilsenSize(id)
	if !ok {
		return fmt.Errorf("%w: data package %04x", ErrUnknownKind, id)
	}
	if len(value) != size && !(id == wilsenSpreadingFactor && len(value) == size+1) {
		return fmt.Errorf("%w: data package %04x with a value of %d bytes, it has %d", ErrMalformed, id, len(value), size)
	}
	if id >= wilsenFirstSetting {
		m.setting(id, value)
		return nil
	}
	switch id {
	case 0x0201:
		m.temperature(value)
	case 0x0b01:
		m.set(wilsenMeasurement, "proxx", "cm", wilsenNumber(value))
	case 0x0b02:
		m.set(wilsenMeasurement, "proxx_mm", "mm", wilsenNumber(value))
	case 0x0b06:
		m.set(wilsenMeasurement, "fillinglvl", "%", wilsenNumber(value))
	case 0x0b07:
		m.set(wilsenMeasurement, "amplitude", "1", wilsenNumber(value))
	case 0x2a25:
		m.text(wilsenInformation, "serial_nr", value)
	case 0x3101:
		m.set(wilsenInformation, "lora_count", "1", wilsenNumber(value))
	case 0x3102:
		m.set(wilsenInformation, "gps_count", "1", wilsenNumber(value))
	case 0x3103:
		m.set(wilsenInformation, "us_sensor_count", "1", wilsenNumber(value))
	case 0x5001:
		m.set(wilsenMeasurement, "latitude", "deg", wilsenDegrees(value))
	case 0x5002:
		m.set(wilsenMeasurement, "longitude", "deg", wilsenDegrees(value))
	case 0x5101:
		m.set(wilsenInformation, "battery_vol", "V", Number(float64(value[0])/10))
	}
	return nil
}

// wilsenSize says how many bytes the value of a data package has; false for one that is not known.
func wilsenSize(id uint16) (int, bool) {
	switch id {
	case 0x0b06, 0x0b07, 0x5101:
		return 1, true
	case 0x0b01, 0x0b02, 0x3101, 0x3102:
		return 2, true
	case 0x0201, 0x3103, 0x5001, 0x5002:
		return 4, true
	case 0x2a25:
		return 14, true
	default:
		return wilsenSettingSize(id)
	}
}

func (m *wilsen) temperature(value []byte) {
	degrees := math.Float32frombits(binary.BigEndian.Uint32(value))
	if temperature := Number(math.Round(float64(degrees)*10) / 10); temperature.Kind() == KindNumber {
		m.set(wilsenMeasurement, "temp", "Cel", temperature)
		return
	}
	m.rank = wilsenMeasurement
	m.warnings = append(m.warnings, "the temperature is not a number")
}

// text sets a field to a text that ends at its first zero byte; an empty one is left out.
func (m *wilsen) text(rank wilsenRank, name string, value []byte) {
	m.rank = max(m.rank, rank)
	if end := bytes.IndexByte(value, 0); end >= 0 {
		value = value[:end]
	}
	if len(value) > 0 {
		m.set(rank, name, "", Text(strings.ToValidUTF8(string(value), "\ufffd")))
	}
}

// wilsenNumber reads an unsigned number of up to 4 bytes.
func wilsenNumber(value []byte) Value {
	var number uint32
	for _, b := range value {
		number = number<<8 | uint32(b)
	}
	return Number(number)
}

func wilsenDegrees(value []byte) Value {
	return Number(float64(int32(binary.BigEndian.Uint32(value))) / 1e6)
}
