package decoders

import (
	"fmt"
	"math"
	"strconv"
)

// status11 reads the status of firmware 1.1, in the form up to 1.1.3 (version 0) or since (1).
func (f *nasFrame) status11() (Output, error) {
	version := f.uint8()
	if f.err == nil && version > 1 {
		return Output{}, fmt.Errorf("%w: version %d of the status message, 0 and 1 are known", ErrUnknownKind, version)
	}
	f.part = "status"
	f.reserve(24 + 10*max(0, (f.left()-11)/4))
	f.clock()
	state := f.uint8()
	f.flag("dali_connection_error", 1, state&0x02 != 0)
	if version == 0 {
		f.flag("ldr_input_on", 1, state&0x04 != 0)
		f.flag("dig_input_on", 1, state&0x10 != 0)
	}
	f.flag("metering_com_error", 1, state&0x20 != 0)
	f.flag("hardware_error", 1, state&0x20 != 0)
	f.flag("ext_rtc_warning", 1, state&0x40 != 0)
	f.flag("internal_relay_closed", 1, state&0x80 != 0)
	if version == 1 {
		outputs := f.uint8()
		f.flag("open_drain_output_on", 1, outputs&0x04 != 0)
		f.flag("lumalink_connected", 1, outputs&0x40 != 0)
		f.flag("lumalink_connected_after_boot", 1, outputs&0x80 != 0)
	}
	f.radio()
	if version == 1 {
		f.alertsInDay(f.uint8())
		f.sensors()
	} else {
		present := f.uint8()
		f.flag("open_drain_output_on", 1, present&0x04 != 0)
		if present&0x02 != 0 {
			f.number("ldr_input", 1, "1", float64(f.uint8()))
		}
		if present&0x10 != 0 {
			f.alertsInDay(f.uint8())
		}
	}
	f.part = "dimming source"
	for f.more() {
		f.dimmingSource()
	}
	return f.output("status")
}

// status10 reads the status of firmware 1.0 (not its legacy mode).
func (f *nasFrame) status10() (Output, error) {
	f.part = "status"
	f.reserve(22 + 5*max(0, (f.left()-9)/5))
	f.clock()
	state := f.uint8()
	f.flag("dali_error_external", 1, state&0x01 != 0)
	f.flag("dali_connection_error", 1, state&0x02 != 0)
	f.flag("ldr_input_on", 1, state&0x04 != 0)
	f.flag("dig_input_on", 1, state&0x10 != 0)
	f.flag("hardware_error", 1, state&0x20 != 0)
	f.flag("internal_relay_closed", 1, state&0x80 != 0)
	f.radio()
	present := f.uint8()
	f.flag("open_drain_output_on", 1, present&0x04 != 0)
	f.alertsInDay(present)
	if present&0x02 != 0 {
		f.number("ldr_input", 1, "1", float64(f.uint8()))
	}
	f.part = "profile"
	for f.more() {
		f.activeProfile()
	}
	return f.output("status")
}

func (f *nasFrame) radio() {
	f.number("downlink_rssi", 1, "dBm", 0-float64(f.uint8()))
	f.number("downlink_snr", 1, "dB", float64(int8(f.uint8())))
	f.number("mcu_temperature", 1, "Cel", float64(int8(f.uint8())))
}

// alertsInDay reads the upper four bits: which alerts there were within 24 h. Those that were not cannot be active.
func (f *nasFrame) alertsInDay(bits byte) {
	voltage, lamp, power, factor := bits&0x10 != 0, bits&0x20 != 0, bits&0x40 != 0, bits&0x80 != 0
	f.flag("voltage_alert_in_24h", 1, voltage)
	f.flag("lamp_error_alert_in_24h", 1, lamp)
	f.flag("power_alert_in_24h", 1, power)
	f.flag("power_factor_alert_in_24h", 1, factor)
	if !lamp {
		f.flag("lamp_error_alert", 1, false)
	}
	if !power {
		f.flag("over_current_alert", 1, false)
	}
	if !voltage {
		f.flag("under_voltage_alert", 1, false)
		f.flag("over_voltage_alert", 1, false)
	}
	if !factor {
		f.flag("low_power_factor_alert", 1, false)
	}
}

// sensors reads the list of sensors, which says its length, so that one of a newer firmware can be passed over.
func (f *nasFrame) sensors() {
	f.part = "list of sensors"
	list := &reader{payload: f.take(int(f.uint8())), part: f.part}
	for list.more() {
		switch sensor := list.uint8(); sensor {
		case 1:
			f.number("ldr_input", 1, "1", float64(list.uint8()))
		case 2:
			f.light(1, list.uint16())
		case 3:
			f.light(2, list.uint16())
		case 4:
			f.flag("dig_input_on", 1, list.uint8()&1 != 0)
		case 8:
			if angle := list.uint8(); angle != nasNotSet {
				f.number("tilt", 1, "deg", float64(angle))
			}
		default:
			f.warn("passed over sensor 0x%02x and %d bytes after it, which are not known", sensor, list.left())
			list.at = len(list.payload)
		}
	}
	if list.err != nil {
		f.fail(fmt.Errorf("%w: the list of sensors, of %d bytes, ends inside a sensor", ErrMalformed, len(list.payload)))
	}
}

// light reads a logarithmic brightness: 4000 steps a decade from 0.001 lx on, given to four digits.
func (f *nasFrame) light(channel int, raw uint16) {
	if raw == 0xffff {
		return
	}
	lux := math.Pow(10, float64(raw&0x7fff)/4000) / 1000
	decimals := 1000.0
	for limit := 10.0; lux >= limit && decimals > 1; limit *= 10 {
		decimals /= 10
	}
	f.number("light_sensor", channel, "lx", math.Round(lux*decimals)/decimals)
}

func (f *nasFrame) dimmingSource() {
	address, reason, level, status := f.uint8(), f.uint8(), f.uint8(), f.uint8()
	channel, ok := f.channel(address)
	if !ok {
		return
	}
	if level != nasNotSet {
		f.number("dimming_level", channel, "%", float64(level))
	}
	if text := nasReason11(reason); text != "" {
		f.text("dimming_reason", channel, text)
	} else if reason != nasNotSet {
		f.warn("dimming reason 0x%02x is not known", reason)
	}
	f.daliStatus(channel, status)
}

// daliStatus reads the eight flags of a driver; all ones means that it gave none.
func (f *nasFrame) daliStatus(channel int, status byte) {
	if status == nasNotSet {
		return
	}
	f.flag("driver_error", channel, status&0x01 != 0)
	f.flag("lamp_failure", channel, status&0x02 != 0)
	f.flag("lamp_on", channel, status&0x04 != 0)
	f.flag("limit_error", channel, status&0x08 != 0)
	f.flag("fade_running", channel, status&0x10 != 0)
	f.flag("reset_state", channel, status&0x20 != 0)
	f.flag("missing_short_address", channel, status&0x40 != 0)
	f.flag("power_failure", channel, status&0x80 != 0)
}

// nasReason11 names why a driver has its level, in firmware 1.1; "" when it is not known.
func nasReason11(reason byte) string {
	step := func(name string) string { return name + strconv.Itoa(int(reason&0x0f)) }
	switch {
	case reason <= 7:
		return step("profile_")
	case reason == 0x21:
		return "calendar_day"
	case reason == 0x22:
		return "calendar_night"
	case reason&0xf0 == 0x30:
		return step("calendar_dawn_step_")
	case reason&0xf0 == 0x50:
		return step("calendar_dusk_step_")
	case reason == 0x70:
		return "dig_inactive"
	case reason == 0x71:
		return "dig_active"
	case reason >= 0x80 && reason <= 0x87:
		return step("light_monitor_step_")
	case reason == 245:
		return "relay_off"
	case reason == 248:
		return "fallback_active"
	}
	return nasReason(reason)
}

// nasReason10 is nasReason11 for firmware 1.0.
func nasReason10(reason byte) string {
	switch reason {
	case 247:
		return "calendar_active"
	case 248:
		return "init_active"
	case 249:
		return "profile_not_active"
	case 254:
		return "value_differ"
	}
	return nasReason(reason)
}

func nasReason(reason byte) string {
	switch reason {
	case 246:
		return "driver_not_found"
	case 250:
		return "ldr_input_active"
	case 252:
		return "dig_input_active"
	case 253:
		return "manual_active"
	}
	return ""
}

// activeProfile reads which profile drives an address in firmware 1.0. From 240 on its version is the reason instead.
func (f *nasFrame) activeProfile() {
	id, version, address, days, level := f.uint8(), f.uint8(), f.uint8(), f.uint8(), f.uint8()
	channel, ok := f.ownChannel(address)
	if !ok {
		return
	}
	if id != nasNotSet {
		f.number("profile_id", channel, "1", float64(id))
	}
	if version < 240 {
		f.number("profile_version", channel, "1", float64(version))
	} else if text := nasReason10(version); text != "" {
		f.text("dimming_reason", channel, text)
	} else if version != nasNotSet {
		f.warn("dimming reason 0x%02x is not known", version)
	}
	f.activeDays(channel, days)
	if level != nasNotSet {
		f.number("dimming_level", channel, "%", float64(level))
	}
}

func (f *nasFrame) activeDays(channel int, set byte) {
	if set != 0 {
		f.text("active_days", channel, nasDays[set])
	}
}

// nasDays are the texts of a set of days, lowest bit first.
var nasDays = func() (texts [256]string) {
	for set := range texts {
		for i, day := range [8]string{"holiday", "mon", "tue", "wed", "thu", "fri", "sat", "sun"} {
			if set>>i&1 != 0 {
				texts[set] += day + " "
			}
		}
		texts[set] = texts[set][:max(0, len(texts[set])-1)]
	}
	return texts
}()
