package decoders

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// Milesight EM400, bin and level sensors: MUD (ultrasonic), TLD (time of flight) and UDL (ultrasonic, long). Little-endian, on any
// port (85 as delivered): elements of channel, type and value, one after the other. Where an element occurs twice, the later one
// counts.
//
// Kinds, the first that fits: alarm (a threshold was crossed, or the sensor was taken off), report, information (after a join),
// configuration (the answer to a command).
//
//	battery                             %
//	temperature                         Cel
//	distance                            mm
//	position                                 "normal", "tilt"
//	temperature_alarm, distance_alarm        "threshold_alarm", "threshold_alarm_release"
//	disassembly_alarm                        "device_abnormal_movement"
//
// Information: ipso_version, hardware_version, firmware_version, tsl_version, sn, lorawan_class, reset_event, device_status. The
// fields of a configuration stand in milesight_em400_configuration.go.

func init() { register("milesight-em400", decodeEM400) }

const (
	em400Information = 0xff
	em400Answer      = 0xfe
)

// em400 collects what a message says.
type em400 struct {
	reader
	rank     em400Rank
	fields   []Field
	warnings []string
}

// em400Rank orders the kinds: a message is of the highest one that an element in it has.
type em400Rank uint8

const (
	em400RankConfiguration em400Rank = iota
	em400RankInformation
	em400RankReport
	em400RankAlarm
)

func (r em400Rank) String() string {
	return [...]string{"configuration", "information", "report", "alarm"}[r]
}

func decodeEM400(uplink Uplink) (Output, error) {
	if err := checkRadioLength(uplink.Payload); err != nil {
		return Output{}, err
	}
	if len(uplink.Payload) == 0 {
		return Output{}, fmt.Errorf("%w: no byte, a message has at least one element of 3", ErrMalformed)
	}
	m := em400{reader: reader{payload: uplink.Payload, part: "element"}, fields: make([]Field, 0, 8)}
	for m.more() {
		channel, kind := m.uint8(), m.uint8()
		if m.err != nil {
			break
		}
		if !m.reading(channel, kind) && !m.information(channel, kind) && !m.configuration(channel, kind) {
			m.fail(fmt.Errorf("%w: element %02x %02x", ErrUnknownKind, channel, kind))
		}
	}
	if m.err != nil {
		return Output{}, m.err
	}
	return Output{Kind: m.rank.String(), Samples: []Sample{{Fields: m.fields}}, Warnings: m.warnings}, nil
}

// set adds a field, or replaces the one of the same name.
func (m *em400) set(rank em400Rank, name, unit string, value Value) {
	m.rank = max(m.rank, rank)
	for i := range m.fields {
		if m.fields[i].Name == name {
			m.fields[i].Value = value
			return
		}
	}
	m.fields = append(m.fields, Field{Name: name, Unit: unit, Value: value})
}

func (m *em400) text(rank em400Rank, name, text string) { m.set(rank, name, "", Text(text)) }

// state sets a field whose value has a name; one without is left out with a warning, because alarms rest on these.
func (m *em400) state(rank em400Rank, name string, value byte, names ...string) {
	if int(value) < len(names) && names[value] != "" {
		m.text(rank, name, names[value])
		return
	}
	m.rank = max(m.rank, rank)
	m.warnings = append(m.warnings, fmt.Sprintf("%s %d has no known meaning", name, value))
}

func (m *em400) temperature(rank em400Rank) {
	m.set(rank, "temperature", "Cel", Number(float64(int16(m.uint16()))/10))
}

func (m *em400) distance(rank em400Rank) { m.set(rank, "distance", "mm", Number(m.uint16())) }

func (m *em400) threshold(name string) {
	m.state(em400RankAlarm, name, m.uint8(), "threshold_alarm_release", "threshold_alarm")
}

func (m *em400) reading(channel, kind byte) bool {
	switch uint16(channel)<<8 | uint16(kind) {
	case 0x0175:
		m.set(em400RankReport, "battery", "%", Number(m.uint8()))
	case 0x0367:
		m.temperature(em400RankReport)
	case 0x0482:
		m.distance(em400RankReport)
	case 0x0500:
		m.state(em400RankReport, "position", m.uint8(), "normal", "tilt")
	case 0x8367:
		m.temperature(em400RankAlarm)
		m.threshold("temperature_alarm")
	case 0x8482:
		m.distance(em400RankAlarm)
		m.threshold("distance_alarm")
	case 0x8800:
		m.state(em400RankAlarm, "disassembly_alarm", m.uint8(), "", "device_abnormal_movement")
	default:
		return false
	}
	return true
}

func (m *em400) information(channel, kind byte) bool {
	if channel != em400Information {
		return false
	}
	const rank = em400RankInformation
	switch kind {
	case 0x01:
		version := m.uint8()
		m.text(rank, "ipso_version", em400Version(version>>4, version&0x0f, 10))
	case 0x09:
		major, minor := m.uint8(), m.uint8()
		m.text(rank, "hardware_version", "v"+strconv.FormatUint(uint64(major), 16)+"."+strconv.Itoa(int(minor>>4)))
	case 0x0a:
		major, minor := m.uint8(), m.uint8()
		m.text(rank, "firmware_version", em400Version(major, minor, 16))
	case 0x0b:
		m.uint8()
		m.text(rank, "device_status", "on")
	case 0x0f:
		m.state(rank, "lorawan_class", m.uint8(), "Class A", "Class B", "Class C", "Class CtoB")
	case 0x16:
		if number := m.take(8); number != nil {
			m.text(rank, "sn", hex.EncodeToString(number))
		}
	case 0xfe:
		m.uint8()
		m.text(rank, "reset_event", "reset")
	case 0xff:
		major, minor := m.uint8(), m.uint8()
		m.text(rank, "tsl_version", em400Version(major, minor, 10))
	default:
		return false
	}
	return true
}

func em400Version(major, minor byte, base int) string {
	return "v" + strconv.FormatUint(uint64(major), base) + "." + strconv.FormatUint(uint64(minor), base)
}
