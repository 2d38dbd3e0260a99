package decoders

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// notification reads what a UL20xx sends on port 61 when something happens.
//
//	dig_input     dig_input_on, dig_input_event_counter (1)
//	ldr_input     ldr_input_on, ldr_input
//	driver_alert  the flags of each driver
//	metering_alert  lamp_error_alert, over_current_alert, under_voltage_alert, over_voltage_alert, low_power_factor_alert;
//	              active_power, mains_voltage, power_factor
//	light_sensor  active_dim_step
//	location      location_status, latitude, longitude (deg), fix_time (which may be long ago)
func (f *nasFrame) notification() (Output, error) {
	kind, second := f.uint8(), f.uint8()
	if f.err != nil {
		return Output{}, f.err
	}
	length := second >> 4
	switch kind {
	case 0x80:
		return f.digitalInput(second)
	case 0x81:
		if length != 2 {
			return Output{}, fmt.Errorf("%w: an LDR notification says it has %d bytes, not 2", ErrMalformed, length)
		}
		f.part = "LDR notification"
		f.flag("ldr_input_on", 1, f.uint8()&1 != 0)
		f.number("ldr_input", 1, "1", float64(f.uint8()))
		return f.output("ldr_input")
	case 0x83:
		return f.driverAlert()
	case 0x84:
		return f.meteringAlert(second)
	case 0x85:
		f.number("active_dim_step", 1, "1", float64(second))
		return f.output("light_sensor")
	case 0x86:
		return f.location(second)
	default:
		return Output{}, fmt.Errorf("%w: notification 0x%02x on port 61", ErrUnknownKind, kind)
	}
}

func (f *nasFrame) digitalInput(second byte) (Output, error) {
	f.part = "digital input notification"
	switch length := second >> 4; length {
	case 2:
		f.number("dig_input_event_counter", 1, "1", float64(f.uint16()))
	case 4:
		f.flag("dig_input_on", 1, second&1 != 0)
		f.number("dig_input_event_counter", 1, "1", float64(f.uint32()))
	default:
		return Output{}, fmt.Errorf("%w: a digital input notification says it has %d bytes, not 2 or 4", ErrMalformed, length)
	}
	return f.output("dig_input")
}

func (f *nasFrame) driverAlert() (Output, error) {
	f.part = "driver"
	f.reserve(f.left() / 2 * 8)
	f.drivers()
	return f.output("driver_alert")
}

// drivers reads one or more pairs of address and status.
func (f *nasFrame) drivers() {
	for first := true; first || f.more(); first = false {
		address, status := f.uint8(), f.uint8()
		if channel, ok := f.channel(address); ok {
			f.daliStatus(channel, status)
		}
	}
}

func (f *nasFrame) meteringAlert(condition byte) (Output, error) {
	f.part = "metering alert"
	f.reserve(8)
	f.flag("lamp_error_alert", 1, condition&0x01 != 0)
	f.flag("over_current_alert", 1, condition&0x02 != 0)
	f.flag("under_voltage_alert", 1, condition&0x04 != 0)
	f.flag("over_voltage_alert", 1, condition&0x08 != 0)
	f.flag("low_power_factor_alert", 1, condition&0x10 != 0)
	f.number("active_power", 1, "W", float64(f.uint16()))
	f.number("mains_voltage", 1, "V", float64(f.uint16()))
	f.powerFactor(1)
	return f.output("metering_alert")
}

func (f *nasFrame) location(status byte) (Output, error) {
	f.part = "location"
	switch status {
	case 0:
		f.text("location_status", 1, "good_fix")
		latitude, longitude := nasDegrees(f.float32()), nasDegrees(f.float32())
		if latitude.Kind() == KindNone || longitude.Kind() == KindNone {
			return Output{}, fmt.Errorf("%w: the position is not a number", ErrMalformed)
		}
		f.fields = append(f.fields,
			Field{Name: "latitude", Channel: 1, Unit: "deg", Value: latitude},
			Field{Name: "longitude", Channel: 1, Unit: "deg", Value: longitude})
		f.text("fix_time", 1, time.Unix(int64(f.uint32()), 0).UTC().Format(time.RFC3339))
	case 1:
		f.text("location_status", 1, "no_fix")
	case 2, 0xff:
		f.text("location_status", 1, "internal_error")
	default:
		return Output{}, fmt.Errorf("%w: location status %d (there are 0, 1, 2 and 255)", ErrMalformed, status)
	}
	return f.output("location")
}

func nasDegrees(degrees float32) Value { return Number(math.Round(float64(degrees)*1e6) / 1e6) }

// system reads port 99: boot and the refusal of a downlink.
func (f *nasFrame) system() (Output, error) {
	switch kind := f.uint8(); {
	case f.err != nil:
		return Output{}, f.err
	case kind == 0x00:
		return f.boot()
	case kind == 0x13:
		f.part = "refusal of a downlink"
		f.number("downlink_port", 1, "1", float64(f.uint8()))
		f.text("downlink_error", 1, nasRefusal(f.uint8()))
		return f.output("downlink_refused")
	default:
		return Output{}, fmt.Errorf("%w: message 0x%02x on port 99 (there are 0x00 and 0x13)", ErrUnknownKind, kind)
	}
}

var nasDeviceTypes = [...]string{"dali", "dali_nc", "dali_no", "analog_nc", "analog_no", "dali_analog_nc", "dali_analog_no", "dali_analog_nc_no"}

// boot reads what a controller says of itself after a start; the reset reason is not in every firmware's message.
//
//	device_serial, firmware_version, device_config, has_dig_input, has_ldr_input, has_open_drain_output, has_metering,
//	dali_supply (V) or dali_supply_state, dali_supply_external, dali_drivers (1), dali_unaddressed_driver, reset_reason
func (f *nasFrame) boot() (Output, error) {
	f.part = "boot message"
	f.reserve(12)
	f.text("device_serial", 1, fmt.Sprintf("%08X", f.uint32()))
	if version := f.take(3); version != nil {
		f.text("firmware_version", 1, strconv.Itoa(int(version[0]))+"."+strconv.Itoa(int(version[1]))+"."+strconv.Itoa(int(version[2])))
	}
	f.clock()
	device, features, supply, drivers := f.uint8(), f.uint8(), f.uint8(), f.uint8()
	if int(device) < len(nasDeviceTypes) {
		f.text("device_config", 1, nasDeviceTypes[device])
	} else {
		f.warn("device configuration %d is not known", device)
	}
	f.flag("has_dig_input", 1, features&0x04 != 0)
	f.flag("has_ldr_input", 1, features&0x08 != 0)
	f.flag("has_open_drain_output", 1, features&0x10 != 0)
	f.flag("has_metering", 1, features&0x20 != 0)
	switch volts := supply & 0x7f; {
	case volts < 0x70:
		f.number("dali_supply", 1, "V", float64(volts))
	case volts == 0x7e:
		f.text("dali_supply_state", 1, "bus_high")
	case volts == 0x7f:
		f.text("dali_supply_state", 1, "bus_error")
	}
	f.flag("dali_supply_external", 1, supply&0x80 != 0)
	f.number("dali_drivers", 1, "1", float64(drivers&0x7f))
	f.flag("dali_unaddressed_driver", 1, drivers&0x80 != 0)
	if f.more() {
		f.text("reset_reason", 1, nasResetReason(f.uint8()))
	}
	return f.output("boot")
}

func nasResetReason(bits byte) string {
	var reasons []string
	for i := range 8 {
		switch {
		case bits>>i&1 == 0:
		case i == 1:
			reasons = append(reasons, "watchdog_reset")
		case i == 2:
			reasons = append(reasons, "soft_reset")
		default:
			reasons = append(reasons, "reset_"+strconv.Itoa(i))
		}
	}
	if reasons == nil {
		return "none"
	}
	return strings.Join(reasons, " ")
}

func nasRefusal(code byte) string {
	texts := [...]string{"", "", "unknown_fport", "packet_size_short", "packet_size_long", "value_error", "protocol_parse_error",
		"reserved_flag_set", "invalid_flag_combination", "unavailable_feature_request", "unsupported_header",
		"unreachable_hw_request", "address_not_available", "internal_error", "packet_size_error"}
	profiles := [...]string{"profile_id_seq_error", "profile_destination_error", "profile_days_error", "profile_step_count_error",
		"profile_step_value_error", "profile_step_unsorted_error"}
	switch {
	case code >= 2 && int(code) < len(texts):
		return texts[code]
	case code > 0x80 && int(code-0x81) < len(profiles):
		return profiles[code-0x81]
	}
	return "error_" + strconv.Itoa(int(code))
}
