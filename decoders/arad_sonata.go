package decoders

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Arad Sonata, an ultrasonic water meter, and the Arad meters that send the same messages. Port 1, big-endian; the first byte
// is the kind. A volume is a whole number and the power of ten it is multiplied with.
//
// Kinds: data_log (06: the volume at the last record and the differences to the records before it; 20 to 210 bytes), standard
// (9d) and alarm_burst (9b; 11 bytes each), wt_log (80: the volume now, at the last five midnights a week apart, and what
// went through in the last six full hours; 50 bytes).
//
//	volume                         L    one sample for each record of a log; the newest comes last
//	hour_volume                    L    wt_log: channel 1 is the last full hour by the meter's clock, 6 the oldest
//	battery_level                  V    data_log and wt_log
//	device_type_id, device_type    1    the type as a text where it is known
//	time_from_last_record          min  data_log: between the last record and sending
//	time_between_records           min  data_log
//	fw_version, rssi               dBm  wt_log
//	tamper, comm_failure_cut_wire, back_flow, leak, poor_rf, low_battery, field_prog, system, low_temperature, tilt, qmax,
//	burst_pipe, empty_pipe, slave_low_battery, slave_invalid_read, smart
//	                                    always true or false
//	reset_watch_dog, hw_reset, reset_on_power, hw_failure, box_switch_open, charging_failure, power_monitor_failure,
//	low_pressure, high_pressure         standard and alarm_burst
//	fault                               system or hw_failure; a log knows the first only and says this only when it is true
//
// The lowest bit of the extended alarms is taken for reset_watch_dog, for which the maker's decoder looks at that of hw_reset.
//
// A record that a data log marks as empty counts as one without consumption, with a warning. At a difference that did not fit
// or a meter that was not read the volumes before are not known: they are left out, with a warning. The times of a data log
// count back from when it was received; without that it has the newest volume only.

func init() { register("arad-sonata", decodeSonata) }

const (
	sonataPort = 1

	sonataDataLog    = 0x06
	sonataWTLog      = 0x80
	sonataAlarmBurst = 0x9b
	sonataStandard   = 0x9d

	sonataLogHead   = 18
	sonataMinLog    = 20
	sonataMaxLog    = 210
	sonataAlarms    = 11 // bytes of a standard message and of an alarm burst
	sonataWTLength  = 50
	sonataHours     = 6
	sonataWeeks     = 5
	sonataWeek      = 7 * 24 * time.Hour
	sonataUnitScale = 7 // the exponent that stands for litres
	sonataFlags     = 17
)

// What may stand in the place of a difference. Weekly volumes of 4 bytes use the first two, shifted.
const (
	sonataEmpty = 0x8000 + iota
	sonataOverflow
	sonataReadError
	sonataDigitError
)

var (
	sonataAlarmNames = [16]string{
		"tamper", "comm_failure_cut_wire", "back_flow", "leak", "poor_rf", "low_battery", "field_prog", "system",
		"low_temperature", "tilt", "qmax", "burst_pipe", "empty_pipe", "slave_low_battery", "slave_invalid_read", "smart",
	}
	sonataExtendedNames = [9]string{
		"reset_watch_dog", "hw_reset", "reset_on_power", "hw_failure", "box_switch_open", "charging_failure",
		"power_monitor_failure", "low_pressure", "high_pressure",
	}
)

const (
	sonataSystem    = 1 << 7 // of the alarms
	sonataHWFailure = 1 << 3 // of the extended alarms
)

func decodeSonata(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if uplink.Port != sonataPort {
		return Output{}, fmt.Errorf("%w: port %d, a Sonata sends on %d", ErrUnknownKind, uplink.Port, sonataPort)
	}
	if len(payload) == 0 {
		return Output{}, fmt.Errorf("%w: empty", ErrMalformed)
	}
	switch payload[0] {
	case sonataDataLog:
		return sonataLog(uplink)
	case sonataStandard:
		return sonataStatus("standard", payload)
	case sonataAlarmBurst:
		return sonataStatus("alarm_burst", payload)
	case sonataWTLog:
		return sonataWeeklyLog(payload)
	default:
		return Output{}, fmt.Errorf("%w: message type %02x (there are 06, 80, 9b and 9d)", ErrUnknownKind, payload[0])
	}
}

// sonataScaled multiplies with the power of ten that the low half of a byte stands for.
func sonataScaled(number uint32, exponent byte) float64 {
	return sonataPower(float64(number), int(exponent&0x0f)-sonataUnitScale)
}

// sonataPower multiplies with a power of ten such that the result is the float nearest to the decimal number.
func sonataPower(number float64, exponent int) float64 {
	if exponent < 0 {
		return number / math.Pow10(-exponent)
	}
	return number * math.Pow10(exponent)
}

func sonataLog(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if len(payload) < sonataMinLog || len(payload) > sonataMaxLog {
		return Output{}, fmt.Errorf("%w: %d bytes, a data log has %d to %d", ErrMalformed, len(payload), sonataMinLog, sonataMaxLog)
	}
	sinceLast, between := binary.BigEndian.Uint16(payload[9:]), binary.BigEndian.Uint16(payload[11:])
	output := Output{Kind: "data_log"}
	count := (len(payload) - sonataLogHead) / 2
	if len(payload)%2 != 0 {
		output.Warnings = append(output.Warnings, "the last byte is half a record")
	}
	fields := make([]Field, 0, count+sonataFlags+6)
	var read time.Time
	if !uplink.Received.IsZero() {
		read = uplink.Received.UTC().Add(-time.Duration(sinceLast) * time.Minute)
		output.Samples = make([]Sample, 0, count+1)
		fields = sonataHistory(&output, fields, payload, read, time.Duration(between)*time.Minute)
	}

	first := len(fields)
	alarms := binary.BigEndian.Uint16(payload[13:])
	fields = append(fields,
		Field{Name: "volume", Unit: "L", Value: Number(sonataScaled(binary.BigEndian.Uint32(payload[4:]), payload[8]))},
		Field{Name: "battery_level", Unit: "V", Value: Number(float64(binary.BigEndian.Uint16(payload[15:])) / 1000)},
		Field{Name: "time_from_last_record", Unit: "min", Value: Number(sinceLast)},
		Field{Name: "time_between_records", Unit: "min", Value: Number(between)})
	fields = sonataDevice(fields, payload[3])
	fields = sonataAlarmFields(fields, alarms)
	output.Samples = append(output.Samples, Sample{Time: read, Fields: fields[first:]})
	return output, nil
}

// sonataHistory adds the volumes of the records before the last one, oldest first. It counts in the finer of the two scales,
// in whole numbers.
func sonataHistory(output *Output, fields []Field, payload []byte, read time.Time, between time.Duration) []Field {
	volumeScale, deltaScale := int(payload[8]&0x0f), int(payload[17]&0x0f)
	scale := min(volumeScale, deltaScale)
	volume := float64(binary.BigEndian.Uint32(payload[4:])) * math.Pow10(volumeScale-scale)
	factor := math.Pow10(deltaScale - scale)
	deltas := payload[sonataLogHead:]
	count, empty := len(deltas)/2, 0
	for i := range count {
		delta := binary.BigEndian.Uint16(deltas[2*i:])
		if delta == sonataEmpty {
			empty++
			continue
		}
		volume -= float64(delta) * factor
		if delta > sonataEmpty && delta <= sonataDigitError || volume < 0 || between == 0 {
			output.Warnings = append(output.Warnings, fmt.Sprintf("left out %d records: the difference of one is not known (%04x) or cannot be", count-i, delta))
			break
		}
		fields = append(fields, Field{Name: "volume", Unit: "L", Value: Number(sonataPower(volume, scale-sonataUnitScale))})
		at := read.Add(-time.Duration(i+1) * between)
		output.Samples = append(output.Samples, Sample{Time: at, Fields: fields[len(fields)-1 : len(fields) : len(fields)]})
	}
	if empty > 0 {
		output.Warnings = append(output.Warnings, strconv.Itoa(empty)+" records are empty, taken as without consumption")
	}
	for i, j := 0, len(output.Samples)-1; i < j; i, j = i+1, j-1 {
		output.Samples[i], output.Samples[j] = output.Samples[j], output.Samples[i]
	}
	return fields
}

func sonataStatus(kind string, payload []byte) (Output, error) {
	if len(payload) != sonataAlarms {
		return Output{}, fmt.Errorf("%w: %d bytes, this kind of message has %d", ErrMalformed, len(payload), sonataAlarms)
	}
	alarms, extended := binary.BigEndian.Uint16(payload[2:]), binary.BigEndian.Uint16(payload[4:])
	output := Output{Kind: kind}
	fields := append(make([]Field, 0, sonataFlags+len(sonataExtendedNames)+3),
		Field{Name: "volume", Unit: "L", Value: Number(sonataScaled(binary.BigEndian.Uint32(payload[6:]), payload[10]))})
	fields = sonataDevice(fields, payload[1])
	fields = sonataFlagFields(fields, sonataAlarmNames[:], alarms)
	fields = sonataFlagFields(fields, sonataExtendedNames[:], extended)
	fields = append(fields, Field{Name: "fault", Value: Bool(alarms&sonataSystem != 0 || extended&sonataHWFailure != 0)})
	if unknown := extended >> len(sonataExtendedNames); unknown != 0 {
		output.Warnings = append(output.Warnings, fmt.Sprintf("extended alarms %04x have bits without a known meaning", extended))
	}
	output.Samples = []Sample{{Fields: fields}}
	return output, nil
}

// sonataWeeklyLog reads the volume and its time, hours and weeks. That the weekly values are volumes and the hours are full
// ones follows from the maker's example frames, in which they add up.
func sonataWeeklyLog(payload []byte) (Output, error) {
	if len(payload) != sonataWTLength {
		return Output{}, fmt.Errorf("%w: %d bytes, a WT log has %d", ErrMalformed, len(payload), sonataWTLength)
	}
	at := time.Unix(int64(binary.BigEndian.Uint32(payload[5:])), 0).UTC()
	midnight := at.Truncate(24 * time.Hour)
	exponent := payload[13]
	output := Output{Kind: "wt_log", Samples: make([]Sample, 0, sonataWeeks+1)}
	fields := make([]Field, 0, sonataWeeks+sonataHours+sonataFlags+6)
	for week := sonataWeeks - 1; week >= 0; week-- {
		volume := binary.BigEndian.Uint32(payload[30+4*week:])
		switch volume {
		case sonataEmpty << 16:
			continue
		case sonataEmpty<<16 | 1:
			output.Warnings = append(output.Warnings, "the volume of "+strconv.Itoa(week)+" weeks ago did not fit")
			continue
		}
		fields = append(fields, Field{Name: "volume", Unit: "L", Value: Number(sonataScaled(volume, exponent))})
		output.Samples = append(output.Samples, Sample{
			Time: midnight.Add(-time.Duration(week) * sonataWeek), Fields: fields[len(fields)-1 : len(fields) : len(fields)],
		})
	}

	first := len(fields)
	fields = append(fields, Field{Name: "volume", Unit: "L", Value: Number(sonataScaled(binary.BigEndian.Uint32(payload[9:]), exponent))})
	for hour := range sonataHours {
		delta := binary.BigEndian.Uint16(payload[18+2*hour:])
		if delta >= sonataEmpty && delta <= sonataDigitError {
			if delta != sonataEmpty {
				output.Warnings = append(output.Warnings, fmt.Sprintf("hour %d is not known (%04x)", hour+1, delta))
			}
			continue
		}
		fields = append(fields, Field{Name: "hour_volume", Channel: hour + 1, Unit: "L", Value: Number(sonataScaled(uint32(delta), exponent))})
	}
	fields = append(fields,
		Field{Name: "battery_level", Unit: "V", Value: Number(float64(binary.BigEndian.Uint16(payload[16:])) / 1000)},
		Field{Name: "fw_version", Value: Text(strconv.Itoa(int(payload[2])) + "." + strconv.Itoa(int(payload[3])))},
		Field{Name: "rssi", Unit: "dBm", Value: Number(int8(payload[4]))})
	fields = sonataDevice(fields, payload[1])
	fields = sonataAlarmFields(fields, binary.BigEndian.Uint16(payload[14:]))
	output.Samples = append(output.Samples, Sample{Time: at, Fields: fields[first:]})
	return output, nil
}

func sonataDevice(fields []Field, id byte) []Field {
	fields = append(fields, Field{Name: "device_type_id", Unit: "1", Value: Number(id)})
	if name := sonataDeviceType(id); name != "" {
		fields = append(fields, Field{Name: "device_type", Value: Text(name)})
	}
	return fields
}

func sonataDeviceType(id byte) string {
	switch id {
	case 0x52:
		return "Arad LoRa 9xx XTR (Wall mount)"
	case 0x54:
		return "Arad LoRa Glatt"
	case 0x56:
		return "Arad LoRa Sonata 1"
	case 0x57:
		return "Arad LoRa Sonata 2"
	case 0x59:
		return "Arad LoRa/OMS 8xx Sonata 1"
	case 0x5a:
		return "Arad LoRa/OMS 8xx XTR(Wall mount)"
	case 0x5c:
		return "Arad LoRa Interpreter"
	default:
		return ""
	}
}

// sonataAlarmFields adds the alarms of a log, which has no extended ones.
func sonataAlarmFields(fields []Field, alarms uint16) []Field {
	fields = sonataFlagFields(fields, sonataAlarmNames[:], alarms)
	if alarms&sonataSystem != 0 {
		fields = append(fields, Field{Name: "fault", Value: Bool(true)})
	}
	return fields
}

// sonataFlagFields adds one flag a name, the lowest bit first.
func sonataFlagFields(fields []Field, names []string, bits uint16) []Field {
	for i, name := range names {
		fields = append(fields, Field{Name: name, Value: Bool(bits>>i&1 != 0)})
	}
	return fields
}
