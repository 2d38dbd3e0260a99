package decoders

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Axioma Qalcosonic W1, an ultrasonic water meter. Little-endian; all times are UTC by the meter's clock.
//
// Kinds: log (port 100: the current volume, an older one, and the differences from hour to hour since), enhanced (port 100,
// 51 bytes), alarm (port 103), configuration (port 101: what a log is made of).
//
//	volume                                            L  one sample for each hour of the log; the current one comes last
//	low_battery, permanent_error, temporary_error        in the current sample, always true or false
//	dry, leakage, backflow, low_temperature, burst       what the temporary error is
//
// A log value dated after the meter's own clock has not been measured yet and is left out, with a warning. A log does not say
// its unit; meters set to fluid ounces (they say so on port 101 only) are not what this decoder is for.

func init() { register("axioma-qalcosonic-w1", decodeQalcosonicW1) }

const (
	w1PortLog           = 100
	w1PortConfiguration = 101
	w1PortAlarm         = 103

	w1LogHead   = 17
	w1MaxDeltas = 16
	w1Padding   = 0x2f // M-Bus filler
	w1NoDelta   = 0xffff
	w1Flags     = 8

	w1Enhanced           = 51
	w1EnhancedHead       = 10
	w1EnhancedDeltas     = 23
	w1EnhancedDeltaBits  = 14
	w1EnhancedMultiplier = w1EnhancedDeltas * w1EnhancedDeltaBits // bit after the last delta
)

func decodeQalcosonicW1(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	switch {
	case uplink.Port == w1PortLog && len(payload) == w1Enhanced:
		return w1EnhancedLog(payload)
	case uplink.Port == w1PortLog:
		return w1Log(payload)
	case uplink.Port == w1PortConfiguration:
		return w1Configuration(payload)
	case uplink.Port == w1PortAlarm:
		return w1Alarm(payload)
	default:
		return Output{}, fmt.Errorf("%w: port %d, a W1 sends on %d, %d and %d", ErrUnknownKind, uplink.Port, w1PortLog, w1PortConfiguration, w1PortAlarm)
	}
}

func w1Time(b []byte) time.Time { return time.Unix(int64(binary.LittleEndian.Uint32(b)), 0).UTC() }

// w1Log reads time, status, volume, time of the oldest log value, that value, and up to 16 differences of 2 bytes.
func w1Log(payload []byte) (Output, error) {
	length := len(payload)
	if length > w1LogHead && length%2 == 0 && payload[length-1] == w1Padding {
		length--
	}
	if length < w1LogHead || length > w1LogHead+2*w1MaxDeltas || length%2 == 0 {
		return Output{}, fmt.Errorf("%w: %d bytes, a log has %d and 2 for each of up to %d differences, an enhanced log %d",
			ErrMalformed, len(payload), w1LogHead, w1MaxDeltas, w1Enhanced)
	}
	now := w1Time(payload)
	deltas := payload[w1LogHead:length]
	count := 2 + len(deltas)/2
	output := Output{Kind: "log", Samples: make([]Sample, 0, count)}
	fields := make([]Field, 0, count+w1Flags)

	at, volume := w1Time(payload[9:]), uint64(binary.LittleEndian.Uint32(payload[13:]))
	for i := 0; !at.After(now); i += 2 {
		fields = append(fields, Field{Name: "volume", Unit: "L", Value: Number(volume)})
		output.Samples = append(output.Samples, Sample{Time: at, Fields: fields[len(fields)-1 : len(fields) : len(fields)]})
		if i == len(deltas) {
			break
		}
		delta := binary.LittleEndian.Uint16(deltas[i:])
		if delta == w1NoDelta { // EN 13757-3, compact profile: no valid value; all later ones would rest on it
			break
		}
		at, volume = at.Add(time.Hour), volume+uint64(delta)
	}
	if missing := count - 1 - len(output.Samples); missing > 0 {
		output.Warnings = append(output.Warnings, fmt.Sprintf("left out %d log values that are after the meter's own time or not valid", missing))
	}

	first := len(fields)
	fields = append(fields, Field{Name: "volume", Unit: "L", Value: Number(binary.LittleEndian.Uint32(payload[5:]))})
	fields, output.Warnings = w1Status(fields, output.Warnings, payload[4])
	output.Samples = append(output.Samples, Sample{Time: now, Fields: fields[first:]})
	return output, nil
}

// w1EnhancedLog reads version, time, status, the volume 23 differences ago and these, packed into 14 bits each. Which hours
// they belong to is not published, so only their sum is used: the volume at the time of the message.
func w1EnhancedLog(payload []byte) (Output, error) {
	if payload[0] != 1 {
		return Output{}, fmt.Errorf("%w: version %d of the enhanced log, only 1 is known", ErrUnknownKind, payload[0])
	}
	packed := payload[w1EnhancedHead:]
	if multiplier := packed[w1EnhancedMultiplier/8] >> (w1EnhancedMultiplier % 8); multiplier != 0 {
		return Output{}, fmt.Errorf("%w: multiplier %d of the differences, only 0 is known", ErrMalformed, multiplier)
	}
	volume := uint64(binary.LittleEndian.Uint32(payload[6:]))
	for bit := 0; bit < w1EnhancedMultiplier; bit += w1EnhancedDeltaBits {
		volume += uint64(w1Bits(packed, bit))
	}
	fields := append(make([]Field, 0, 1+w1Flags), Field{Name: "volume", Unit: "L", Value: Number(volume)})
	fields, warnings := w1Status(fields, nil, payload[5])
	return Output{Kind: "enhanced", Samples: []Sample{{Time: w1Time(payload[1:]), Fields: fields}}, Warnings: warnings}, nil
}

// w1Bits returns the 14 bits from a bit on; the low bits of a byte come first.
func w1Bits(packed []byte, bit int) uint32 {
	from := bit / 8
	window := uint32(packed[from]) | uint32(packed[from+1])<<8 | uint32(packed[from+2])<<16
	return window >> (bit % 8) & (1<<w1EnhancedDeltaBits - 1)
}

func w1Alarm(payload []byte) (Output, error) {
	if len(payload) != 5 {
		return Output{}, fmt.Errorf("%w: %d bytes, an alarm has 5", ErrMalformed, len(payload))
	}
	const known = 0x04 | 0x08 | 0x10
	status := payload[4]
	if status != 0 && status&known == 0 {
		return Output{}, fmt.Errorf("%w: alarm code 0x%02x means nothing", ErrMalformed, status)
	}
	fields, warnings := w1Status(make([]Field, 0, w1Flags), nil, status)
	return Output{Kind: "alarm", Samples: []Sample{{Time: w1Time(payload), Fields: fields}}, Warnings: warnings}, nil
}

// w1Status appends the flags of a status byte: three bits, and in the upper three what the temporary error is.
func w1Status(fields []Field, warnings []string, status byte) ([]Field, []string) {
	temporary, cause := status&0x10 != 0, status>>5
	is := func(c byte) Value { return Bool(temporary && cause == c) }
	fields = append(fields,
		Field{Name: "low_battery", Value: Bool(status&0x04 != 0)},
		Field{Name: "permanent_error", Value: Bool(status&0x08 != 0)},
		Field{Name: "temporary_error", Value: Bool(temporary)},
		Field{Name: "dry", Value: is(0)},
		Field{Name: "leakage", Value: is(1)},
		Field{Name: "backflow", Value: is(3)},
		Field{Name: "low_temperature", Value: is(4)},
		Field{Name: "burst", Value: is(5)})
	unknownCause := temporary && (cause == 2 || cause > 5) || !temporary && cause != 0
	if unknownCause || status&0x03 != 0 {
		warnings = append(warnings, fmt.Sprintf("status 0x%02x has bits without a known meaning", status))
	}
	return fields, warnings
}
