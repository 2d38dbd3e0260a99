package decoders

import (
	"fmt"
	"time"
)

// NAS UL20xx, a luminaire controller (DALI or 0-10 V), firmware 1.0 and 1.1. Little-endian. The port says what it is:
// 23 status (1.1), 24 status (1.0), 25 usage (1.0), 26 usage (1.1), 50 configuration, 60 answers to commands, 61 alerts and
// notifications, 99 boot and refused downlinks.
//
// Channels are the same in every message: 1 is the controller itself, its own meter, a DALI broadcast or the 0-10 V output;
// n+2 is DALI short address n (2..65); g+66 is DALI group g (66..81). What concerns an address that does not exist is left out
// with a warning. light_sensor has channel 1 for the controller's own and 2 for one on the DALI bus.
//
//	status   dali_connection_error, dali_error_external, metering_com_error, hardware_error (a fault of the controller itself),
//	         ext_rtc_warning, ldr_input_on, dig_input_on, internal_relay_closed, open_drain_output_on, lumalink_connected,
//	         lumalink_connected_after_boot; downlink_rssi (dBm), downlink_snr (dB), mcu_temperature (Cel); voltage_alert_in_24h,
//	         lamp_error_alert_in_24h, power_alert_in_24h, power_factor_alert_in_24h; ldr_input, light_sensor (lx), tilt (deg)
//	driver   dimming_level (%), dimming_reason; driver_error, lamp_failure, lamp_on, limit_error, fade_running, reset_state,
//	         missing_short_address, power_failure; in firmware 1.0 profile_id, profile_version, active_days
//	usage    active_energy (W.h), active_power (W), load_side_energy (W.h), load_side_power (W), power_factor (1),
//	         mains_voltage (V), driver_operating_time (s), lamp_on_time (s)
//
// What an alert raises (lamp_error_alert, over_current_alert, under_voltage_alert, over_voltage_alert,
// low_power_factor_alert) a status clears: no such alert within 24 h means none now.

func init() { register("nas-ul20xx", decodeUL20xx) }

const (
	nasNotSet       = 0xff
	nasAllAddresses = 0xff // where a message may name it
	nasGroups       = 66   // channel of DALI group 0
	nasClockSet     = 1420070400
)

func decodeUL20xx(uplink Uplink) (Output, error) {
	if err := checkRadioLength(uplink.Payload); err != nil {
		return Output{}, err
	}
	f := &nasFrame{reader: reader{payload: uplink.Payload, part: "type of message"}}
	switch uplink.Port {
	case 23:
		return f.status11()
	case 24:
		return f.status10()
	case 25:
		return f.usage()
	case 26:
		if version := f.uint8(); f.err == nil && version != 0 {
			return Output{}, fmt.Errorf("%w: version %d of the usage message, only 0 is known", ErrUnknownKind, version)
		}
		return f.usage()
	case 50:
		return f.configuration()
	case 60:
		return f.answer()
	case 61:
		return f.notification()
	case 99:
		return f.system()
	default:
		return Output{}, fmt.Errorf("%w: port %d, a UL20xx sends on 23 to 26, 50, 60, 61 and 99", ErrUnknownKind, uplink.Port)
	}
}

// nasFrame collects what one message says.
type nasFrame struct {
	reader
	fields   []Field
	warnings []string
	time     time.Time
}

func (f *nasFrame) reserve(fields int) { f.fields = make([]Field, 0, fields) }

func (f *nasFrame) number(name string, channel int, unit string, value float64) {
	f.fields = append(f.fields, Field{Name: name, Channel: channel, Unit: unit, Value: Number(value)})
}

func (f *nasFrame) flag(name string, channel int, value bool) {
	f.fields = append(f.fields, Field{Name: name, Channel: channel, Value: Bool(value)})
}

func (f *nasFrame) text(name string, channel int, value string) {
	f.fields = append(f.fields, Field{Name: name, Channel: channel, Value: Text(value)})
}

func (f *nasFrame) warn(format string, arguments ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf(format, arguments...))
}

func (f *nasFrame) output(kind string) (Output, error) {
	if err := f.end(kind); err != nil {
		return Output{}, err
	}
	return Output{Kind: kind, Samples: []Sample{{Time: f.time, Fields: f.fields}}, Warnings: f.warnings}, nil
}

// clock reads the controller's time. Before it is set it counts from the year 2000.
func (f *nasFrame) clock() {
	epoch := f.uint32()
	if f.err == nil && epoch < nasClockSet {
		f.warn("clock of the controller is not set")
		return
	}
	f.time = time.Unix(int64(epoch), 0).UTC()
}

// channel returns the channel of an address; false, with a warning, if there is no such address.
func (f *nasFrame) channel(address byte) (int, bool) {
	switch {
	case address == 0x01 || address == 0xfe: // 0-10 V, broadcast
		return 1, true
	case address&1 == 0 && address < 0x80:
		return int(address>>1) + 2, true
	case address&1 == 0 && address < 0xa0:
		return int(address>>1&0x0f) + nasGroups, true
	}
	if f.err == nil {
		f.warn("address 0x%02x does not exist", address)
	}
	return 0, false
}

// ownChannel is channel where a message may also name the controller itself or all addresses.
func (f *nasFrame) ownChannel(address byte) (int, bool) {
	if address == nasAllAddresses {
		return 1, true
	}
	return f.channel(address)
}

func (f *nasFrame) usage() (Output, error) {
	f.part = "consumption"
	f.reserve(max(0, f.left()) / 3)
	if f.err == nil && !f.more() {
		return Output{}, fmt.Errorf("%w: %d bytes, a usage message has at least one consumption", ErrMalformed, len(f.payload))
	}
	for f.more() {
		f.consumption()
	}
	return f.output("usage")
}

func (f *nasFrame) consumption() {
	address, present := f.uint8(), f.uint8()
	channel, ok := f.ownChannel(address)
	before := len(f.fields)
	if present&0x01 != 0 {
		f.number("active_energy", channel, "W.h", float64(f.uint32()))
	}
	if present&0x02 != 0 {
		f.number("active_power", channel, "W", float64(f.uint16()))
	}
	if present&0x04 != 0 {
		f.number("load_side_energy", channel, "W.h", float64(f.uint32()))
	}
	if present&0x08 != 0 {
		f.number("load_side_power", channel, "W", float64(f.uint16()))
	}
	if present&0x10 != 0 {
		f.powerFactor(channel)
	}
	if present&0x20 != 0 {
		f.number("mains_voltage", channel, "V", float64(f.uint8()))
	}
	if present&0x40 != 0 {
		f.number("driver_operating_time", channel, "s", float64(f.uint32()))
	}
	if present&0x80 != 0 {
		f.number("lamp_on_time", channel, "s", float64(f.uint32()))
	}
	if !ok {
		f.fields = f.fields[:before]
	}
}

func (f *nasFrame) powerFactor(channel int) {
	if percent := f.uint8(); percent != nasNotSet {
		f.number("power_factor", channel, "1", float64(percent)/100)
	}
}
