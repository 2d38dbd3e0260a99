package decoders

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// cmProfiles and cmWMBus name how often a CM30xx sends over LoRaWAN and over wM-Bus.
var (
	cmProfiles = []string{0x00: "lorawan_disabled", 0x01: "lorawan_24_h_privacy", 0x02: "lorawan_24_h", 0x03: "lorawan_12_h",
		0x07: "lorawan_1_h_static", 0x08: "lorawan_15_min_static", 0x17: "lorawan_1_h_dynamic", 0x18: "lorawan_15_min_dynamic"}
	cmWMBus = []string{"wmbus_disabled", "wmbus_privacy", "wmbus_driveby", "wmbus_fixnet"}
)

const cmDisabled = "disabled"

// generalConfiguration reads the settings that the module says it sends. Volumes and flows are in the unit of the meter; where
// that is not among what was sent they have the unit 1 and the volume is called meter_accumulated_volume_without_unit.
//
//	radio_lorawan_profile, radio_wmbus_profile, meter_serial, meter_multiplier, meter_medium, meter_unit, privacy_mode_active,
//	meter_accumulated_volume, meter_accumulated_volume_offset, meter_nominal_flow, alert_backflow_threshold,
//	alert_broken_pipe_threshold, alert_continuous_flow_enabled, alert_no_usage_interval (d), alert_tamper_enabled,
//	alert_temperature_threshold_low, alert_temperature_threshold_high (Cel); a threshold or an interval may be "disabled"
func (f *cmFrame) generalConfiguration() (Output, error) {
	f.part = "general configuration"
	f.reserve(18)
	sent := f.uint16()
	if sent&0x0001 != 0 {
		f.choose("radio_lorawan_profile", f.uint8(), cmProfiles)
	}
	if sent&0x0002 != 0 {
		f.choose("radio_wmbus_profile", f.uint8(), cmWMBus)
	}
	if sent&0x0004 != 0 {
		f.serial("meter_serial")
	}
	volumeName, volumeUnit, flowUnit := "meter_accumulated_volume_without_unit", "1", "1"
	if sent&0x0008 != 0 {
		meter := f.uint8()
		f.meter(meter)
		f.flag("privacy_mode_active", 1, meter&0x80 != 0)
		if unit := meter >> 5 & 0x03; int(unit) < len(cmUCUM) {
			volumeName, volumeUnit, flowUnit = "meter_accumulated_volume", cmUCUM[unit], cmUCUMPerHour[unit]
		}
	}
	if sent&0x0010 != 0 {
		low, high := f.uint32(), f.uint32()
		volume := uint64(high)<<32 | uint64(low)
		if volume >= 1<<53 {
			return Output{}, fmt.Errorf("%w: no meter counts to %d", ErrMalformed, volume)
		}
		f.number(volumeName, 1, volumeUnit, float64(volume)/1000)
	}
	if sent&0x0020 != 0 {
		f.number("meter_accumulated_volume_offset", 1, volumeUnit, float64(int32(f.uint32()))/1000)
	}
	if sent&0x0040 != 0 {
		f.number("meter_nominal_flow", 1, flowUnit, float64(f.uint16())/10)
	}
	f.alerts(sent, volumeUnit, flowUnit)
	return f.output("general_configuration")
}

func (f *cmFrame) alerts(sent uint16, volumeUnit, flowUnit string) {
	if sent&0x0080 != 0 {
		f.threshold("alert_backflow_threshold", volumeUnit, float64(f.uint16())/1000, 0)
	}
	if sent&0x0100 != 0 {
		f.threshold("alert_broken_pipe_threshold", flowUnit, float64(f.uint32())/1000, 0)
	}
	if sent&0x0200 != 0 {
		f.flag("alert_continuous_flow_enabled", 1, f.uint8() != 0)
	}
	if sent&0x0400 != 0 {
		f.threshold("alert_no_usage_interval", "d", float64(f.uint16()), 0)
	}
	if sent&0x0800 != 0 {
		f.flag("alert_tamper_enabled", 1, f.uint8() != 0)
	}
	if sent&0x1000 != 0 {
		f.threshold("alert_temperature_threshold_low", "Cel", float64(int8(f.uint8())), math.MinInt8)
		f.threshold("alert_temperature_threshold_high", "Cel", float64(int8(f.uint8())), math.MinInt8)
	}
}

func (f *cmFrame) threshold(name, unit string, value, disabled float64) {
	if value == disabled {
		f.text(name, 1, cmDisabled)
		return
	}
	f.number(name, 1, unit, value)
}

// locationConfiguration reads where the module was installed: gps_position_latitude, gps_position_longitude (deg), time_zone (h),
// address, id_customer, id_location.
func (f *cmFrame) locationConfiguration() (Output, error) {
	f.part = "location configuration"
	f.reserve(6)
	sent := f.uint8()
	if sent&0x01 != 0 {
		f.number("gps_position_latitude", 1, "deg", float64(int32(f.uint32()))/1e7)
		f.number("gps_position_longitude", 1, "deg", float64(int32(f.uint32()))/1e7)
	}
	if sent&0x02 != 0 {
		f.number("time_zone", 1, "h", float64(int8(f.uint8()))/4)
	}
	for i, name := range [...]string{"address", "id_customer", "id_location"} {
		if sent&(0x04<<i) == 0 {
			continue
		}
		text := f.take(int(f.uint8()))
		if !utf8.Valid(text) {
			return Output{}, fmt.Errorf("%w: the %s is not UTF-8", ErrMalformed, name)
		}
		if len(text) > 0 {
			f.text(name, 1, string(text))
		}
	}
	return f.output("location_configuration")
}
