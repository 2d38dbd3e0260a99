package decoders

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// Adeunis Pulse, a counter of the pulses of two meters: versions 3 and 4, and what version 2 has in common with them. Everything
// comes on port 1, big-endian: frame code, status, content. Channel 1 is the maker's A, channel 2 his B.
//
// Kinds: data (0x46), history (0x48, version 2; 0x5a channel A, 0x5b channel B), alarm (0x47, a flow above its threshold),
// keep_alive (0x30, daily), configuration (0x10, 0x11, 0x12), network_configuration (0x20), register_answer (0x33).
//
//	frame_counter               1
//	low_battery, hardware_error, configuration_done, configuration_inconsistency
//	timestamp                        of version 4, by its clock, whose zone is not stated; such a frame tells no hardware_error
//	counter_value               1    pulses of a channel; _t_minus_1 and so on the value one sampling period before
//	delta_value_1 ..            1    pulses of one period in a history of version 2, numbered in the frame; frame_index (1)
//	flow_value                  1/h  of each channel when the alarm came
//	overflow                         some channel's flow is above its threshold
//	flow_alarm, tamper_alarm, leakage_alarm; flow_last_24h_min, flow_last_24h_max (1/h)
//
// Configuration: product_mode; number_of_historization_before_sending, redundant_samples (1); sampling_period,
// calculated_sending_period (s), transmission_period, flow_calculation_period (s or min); historic_mode; for each channel state,
// type, debouncing_period (ms), leakage_overflow_alarm_trigger_threshold, leakage_threshold (1/h), leakage_daily_periods (1),
// tamper_activated, tamper_sample_period (s), tamper_threshold (1). Network: lora_adr, lora_provisioning_mode, lora_dutycycle,
// lora_class_mode. Answer: request_status, register_id.

func init() { register("adeunis-pulse", decodeAdeunisPulse) }

const (
	pulsePort      = 1
	pulseHead      = 2 // frame code and status
	pulseTimestamp = 4 // bytes at the end, in version 4

	pulseEpoch     = 1356998400 // 2013-01-01
	pulseClockSet  = 1546300800 // 2019-01-01: version 4 did not exist before
	pulseTimedFlag = 0x04       // a hardware error in versions 2 and 3
)

func decodeAdeunisPulse(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if err := checkRadioLength(payload); err != nil {
		return Output{}, err
	}
	if uplink.Port != pulsePort {
		return Output{}, fmt.Errorf("%w: port %d, a Pulse sends on %d", ErrUnknownKind, uplink.Port, pulsePort)
	}
	if len(payload) < pulseHead {
		return Output{}, fmt.Errorf("%w: %d bytes, frame code and status are %d", ErrMalformed, len(payload), pulseHead)
	}
	frame := &pulseFrame{code: payload[0], status: payload[1], content: payload[pulseHead:]}
	switch frame.code {
	case 0x46:
		return frame.data()
	case 0x47:
		return frame.alarm()
	case 0x48:
		return frame.history2()
	case 0x5a:
		return frame.history(1)
	case 0x5b:
		return frame.history(2)
	case 0x30:
		return frame.keepAlive()
	case 0x10, 0x11, 0x12:
		return frame.configuration()
	case 0x20:
		return frame.network()
	case 0x33:
		return frame.registerAnswer()
	default:
		return Output{}, fmt.Errorf("%w: frame code 0x%02x", ErrUnknownKind, frame.code)
	}
}

// pulseFrame collects what one message says.
type pulseFrame struct {
	code, status byte
	content      []byte // after the status, without a time stamp
	timestamp    []byte // nil: none
	fields       []Field
	warnings     []string
}

func (f *pulseFrame) number(name string, channel int, unit string, value float64) {
	f.fields = append(f.fields, Field{Name: name, Channel: channel, Unit: unit, Value: Number(value)})
}

func (f *pulseFrame) flag(name string, channel int, value bool) {
	f.fields = append(f.fields, Field{Name: name, Channel: channel, Value: Bool(value)})
}

func (f *pulseFrame) text(name string, channel int, value string) {
	f.fields = append(f.fields, Field{Name: name, Channel: channel, Value: Text(value)})
}

func (f *pulseFrame) uint16(at int) float64 { return float64(binary.BigEndian.Uint16(f.content[at:])) }
func (f *pulseFrame) uint32(at int) float64 { return float64(binary.BigEndian.Uint32(f.content[at:])) }

func (f *pulseFrame) output(kind string) (Output, error) {
	return Output{Kind: kind, Samples: []Sample{{Fields: f.fields}}, Warnings: f.warnings}, nil
}

func (f *pulseFrame) wrongLength() error {
	return fmt.Errorf("%w: %d bytes do not make a frame of code 0x%02x", ErrMalformed, pulseHead+len(f.content), f.code)
}

// timed takes the time stamp off a content that is fixed bytes long without it.
func (f *pulseFrame) timed(fixed int) error {
	if len(f.content) == fixed+pulseTimestamp && f.status&pulseTimedFlag != 0 {
		f.cutTimestamp()
	}
	if len(f.content) != fixed {
		return f.wrongLength()
	}
	return nil
}

func (f *pulseFrame) cutTimestamp() {
	end := len(f.content) - pulseTimestamp
	f.timestamp, f.content = f.content[end:], f.content[:end]
}

// head adds the status and the time stamp, with room for count more fields.
func (f *pulseFrame) head(count int) {
	f.fields = make([]Field, 0, 5+count)
	f.number("frame_counter", 0, "1", float64(f.status>>5))
	f.flag("low_battery", 0, f.status&0x02 != 0)
	f.flag("configuration_done", 0, f.status&0x01 != 0)
	f.flag("configuration_inconsistency", 0, f.status&0x08 != 0)
	if f.timestamp == nil {
		f.flag("hardware_error", 0, f.status&pulseTimedFlag != 0)
		return
	}
	at := time.Unix(int64(binary.BigEndian.Uint32(f.timestamp))+pulseEpoch, 0).UTC()
	f.text("timestamp", 0, at.Format("2006-01-02T15:04:05"))
}

func (f *pulseFrame) data() (Output, error) {
	if err := f.timed(8); err != nil {
		return Output{}, err
	}
	f.head(2)
	f.number("counter_value", 1, "1", f.uint32(0))
	f.number("counter_value", 2, "1", f.uint32(4))
	return f.output("data")
}

func (f *pulseFrame) alarm() (Output, error) {
	if err := f.timed(4); err != nil {
		return Output{}, err
	}
	f.head(3)
	f.flag("overflow", 0, true) // the frame is sent for nothing else
	f.number("flow_value", 1, "1/h", f.uint16(0))
	f.number("flow_value", 2, "1/h", f.uint16(2))
	return f.output("alarm")
}

func (f *pulseFrame) keepAlive() (Output, error) {
	if err := f.timed(9); err != nil {
		return Output{}, err
	}
	f.head(11)
	alarms := f.content[0]
	f.flag("overflow", 0, alarms&0x03 != 0)
	for channel := 1; channel <= 2; channel++ {
		bits, at := alarms>>(channel-1), 2*channel-1
		f.flag("flow_alarm", channel, bits&0x01 != 0)
		f.number("flow_last_24h_min", channel, "1/h", f.uint16(at+4))
		f.number("flow_last_24h_max", channel, "1/h", f.uint16(at))
		f.flag("tamper_alarm", channel, bits&0x04 != 0)
		f.flag("leakage_alarm", channel, bits&0x10 != 0)
	}
	return f.output("keep_alive")
}

// pulsePast and pulseDeltas are the names of older values, made once.
var pulsePast, pulseDeltas = func() (past, deltas [maxRadioBytes / 2]string) {
	for i := range past {
		past[i] = "counter_value_t_minus_" + strconv.Itoa(i+1)
		deltas[i] = "delta_value_" + strconv.Itoa(i+1)
	}
	return past, deltas
}()

// history reads the counter and by how much it rose in each period before, newest first. The flag of a time stamp means a
// hardware error in version 3, where a history may have any length; so the stamp must be one.
func (f *pulseFrame) history(channel int) (Output, error) {
	if len(f.content) < 4 || len(f.content)%2 != 0 {
		return Output{}, f.wrongLength()
	}
	if f.status&pulseTimedFlag != 0 && len(f.content) >= 4+pulseTimestamp &&
		f.uint32(len(f.content)-pulseTimestamp)+pulseEpoch >= pulseClockSet {
		f.cutTimestamp()
	}
	deltas := f.content[4:]
	f.head(1 + len(deltas)/2)
	value := f.uint32(0)
	f.number("counter_value", channel, "1", value)
	for i := 0; i < len(deltas); i += 2 {
		delta := f.uint16(4 + i)
		if delta > value {
			f.warnings = []string{fmt.Sprintf("left out %d older values, they would be below 0", (len(deltas)-i)/2)}
			break
		}
		value -= delta
		f.number(pulsePast[i/2], channel, "1", value)
	}
	return f.output("history")
}

// history2 reads one of several frames of version 2: both counters, in the first, and pairs of differences.
func (f *pulseFrame) history2() (Output, error) {
	if len(f.content) < 1 {
		return Output{}, f.wrongLength()
	}
	at := 1
	if f.content[0] == 0 {
		at += 8
	}
	if rest := len(f.content) - at; rest < 0 || rest%4 != 0 || at == 1 && rest == 0 {
		return Output{}, f.wrongLength()
	}
	f.head(3 + (len(f.content)-at)/2)
	f.number("frame_index", 0, "1", float64(f.content[0]))
	if f.content[0] == 0 {
		f.number("counter_value", 1, "1", f.uint32(1))
		f.number("counter_value", 2, "1", f.uint32(5))
	}
	for i := 0; at < len(f.content); i, at = i+1, at+4 {
		f.number(pulseDeltas[i], 1, "1", f.uint16(at))
		f.number(pulseDeltas[i], 2, "1", f.uint16(at+2))
	}
	return f.output("history")
}
