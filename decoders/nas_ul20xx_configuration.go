package decoders

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// nasConfiguration is one kind of configuration message; steps of one have channels from 1 on. What is switched off or not
// set is left out. Nothing here has the name of a measurement: what a controller was told is not what it measured.
type nasConfiguration struct {
	kind string
	read func(*nasFrame)
}

const nasChain = 0xfe

var nasConfigurations = map[byte]nasConfiguration{
	0x01: {"ldr_input_config", (*nasFrame).ldrConfig},
	0x03: {"dig_input_config", (*nasFrame).digConfig10},
	0x05: {"open_drain_config", (*nasFrame).openDrainConfig},
	0x06: {"calendar_config", (*nasFrame).calendarConfig10},
	0x07: {"status_config", func(f *nasFrame) { f.setting32("status_interval", "s") }},
	0x08: {"profile_config", (*nasFrame).profileConfig10},
	0x09: {"time_config", (*nasFrame).timeConfig},
	0x0a: {"legacy_defaults_config", (*nasFrame).legacyDefaultsConfig},
	0x0b: {"usage_config", (*nasFrame).usageConfig},
	0x0c: {"holiday_config", func(f *nasFrame) { f.holidays(math.MaxInt) }},
	0x0d: {"boot_delay_config", (*nasFrame).bootDelayConfig},
	0x0e: {"defaults_config", (*nasFrame).defaultsConfig},
	0x13: {"location_config", (*nasFrame).locationConfig10},
	0x15: {"led_config", func(f *nasFrame) { f.flag("status_led_enabled", 1, f.uint8()&1 != 0) }},
	0x16: {"metering_alert_config", (*nasFrame).meteringAlertConfig},
	0x20: {"calendar_config", (*nasFrame).calendarConfig11},
	0x21: {"profile_config", (*nasFrame).profileConfig11},
	0x22: {"fade_config", (*nasFrame).fade},
	0x23: {"holiday_config", func(f *nasFrame) { f.holidays(int(f.uint8())) }},
	0x24: {"dali_monitor_config", (*nasFrame).daliMonitorConfig},
	0x25: {"fallback_dim_config", func(f *nasFrame) { f.setting8("fallback_level", 1, "%") }},
	0x26: {"location_config", (*nasFrame).locationConfig11},
	0x27: {"lumalink_config", (*nasFrame).lumalinkConfig},
	0x28: {"dig_input_config", (*nasFrame).digConfig11},
	0x29: {"light_sensor_config", (*nasFrame).lightSensorConfig},
	0x2a: {"dim_notify_config", (*nasFrame).dimNotifyConfig},
	0x2b: {"interface_type_config", (*nasFrame).interfaceTypeConfig},
	0x52: {"multicast_config", (*nasFrame).multicastConfig},
	0x53: {"multicast_counter_config", (*nasFrame).multicastCounterConfig},
	0xff: {"clear_config", (*nasFrame).clearConfig},
}

// configuration reads port 50: one configuration, or several in a chain (firmware 1.1), each preceded by its name.
func (f *nasFrame) configuration() (Output, error) {
	kind := f.uint8()
	if f.err == nil && kind == nasChain {
		for channel := 1; channel == 1 || f.more(); channel++ {
			f.part = "chain of configurations"
			f.configure(f.uint8(), channel)
		}
		return f.output("chained_config")
	}
	return f.output(f.configure(kind, 0))
}

// configure reads one configuration and returns its name; as the n-th of a chain it also becomes a field of channel n.
func (f *nasFrame) configure(kind byte, channel int) string {
	if f.err != nil {
		return ""
	}
	configuration, ok := nasConfigurations[kind]
	if !ok {
		f.fail(fmt.Errorf("%w: configuration 0x%02x on port 50", ErrUnknownKind, kind))
		return ""
	}
	if channel > 0 {
		f.text("configuration", channel, configuration.kind)
	}
	f.part = configuration.kind
	configuration.read(f)
	return configuration.kind
}

// setting8 reads a number of one byte; 255 is not set.
func (f *nasFrame) setting8(name string, channel int, unit string) {
	if value := f.uint8(); value != nasNotSet {
		f.number(name, channel, unit, float64(value))
	}
}

// setting16 reads a number of two bytes; 65535 is not set.
func (f *nasFrame) setting16(name, unit string) {
	if value := f.uint16(); value != 0xffff {
		f.number(name, 1, unit, float64(value))
	}
}

func (f *nasFrame) setting32(name, unit string) { f.number(name, 1, unit, float64(f.uint32())) }

// stepTime reads a time of day in steps of ten minutes.
func (f *nasFrame) stepTime(channel int) {
	f.number("step_time", channel, "min", 10*float64(f.uint8()))
}

func (f *nasFrame) position16() {
	f.number("latitude", 1, "deg", float64(int16(f.uint16()))/100)
	f.number("longitude", 1, "deg", float64(int16(f.uint16()))/100)
}

func (f *nasFrame) position32() {
	f.number("latitude", 1, "deg", float64(int32(f.uint32()))/1e7)
	f.number("longitude", 1, "deg", float64(int32(f.uint32()))/1e7)
}

func (f *nasFrame) street(length int) {
	text := f.take(length)
	if !utf8.Valid(text) {
		f.fail(fmt.Errorf("%w: the address is not UTF-8", ErrMalformed))
	}
	f.text("street_address", 1, string(text))
}

func (f *nasFrame) ldrConfig() {
	f.setting8("ldr_off_threshold", 1, "1")
	f.setting8("ldr_on_threshold", 1, "1")
	f.flag("alert_enabled", 1, f.uint8()&0x04 != 0)
}

func (f *nasFrame) digConfig10() {
	f.setting16("light_on_duration", "s")
	behaviour := f.uint8()
	f.flag("rising_edge", 1, behaviour&0x02 != 0)
	f.flag("alert_enabled", 1, behaviour&0x04 != 0)
	f.address("address")
	f.setting8("active_level", 1, "%")
}

func (f *nasFrame) digConfig11() {
	if index := f.uint8(); index == nasNotSet {
		return
	}
	behaviour := f.uint8()
	f.flag("button_mode", 1, behaviour&0x01 != 0)
	f.flag("rising_edge", 1, behaviour&0x02 != 0)
	f.flag("notify_activation", 1, behaviour&0x04 != 0)
	f.flag("notify_inactivation", 1, behaviour&0x08 != 0)
	f.address("address")
	f.setting8("active_level", 1, "%")
	f.setting8("inactive_level", 1, "%")
	f.number("on_delay", 1, "s", float64(f.uint16()))
	f.number("off_delay", 1, "s", float64(f.uint16()))
}

func (f *nasFrame) openDrainConfig() {
	for channel := 1; f.more(); channel++ {
		f.stepTime(channel)
		f.flag("step_on", channel, f.uint8() != 0)
	}
}

func (f *nasFrame) calendarConfig10() {
	sunrise, sunset := int8(f.uint8()), int8(f.uint8())
	if sunrise != -1 || sunset != -1 {
		f.number("sunrise_offset", 1, "min", float64(sunrise))
		f.number("sunset_offset", 1, "min", float64(sunset))
	}
	f.position16()
}

func (f *nasFrame) calendarConfig11() {
	steps, behaviour := f.uint8(), f.uint8()
	f.flag("prefers_meta_position", 1, behaviour&0x01 != 0)
	f.flag("clamps_profiles", 1, behaviour&0x02 != 0)
	f.flag("clamps_dig_input", 1, behaviour&0x04 != 0)
	f.flag("ignores_location", 1, behaviour&0x08 != 0)
	f.position16()
	f.zenithSteps("sunrise", int(steps&0x0f))
	f.zenithSteps("sunset", int(steps>>4))
}

// zenithSteps reads angles of the sun from the zenith, in sixths of a degree from 90 on, each with a level.
func (f *nasFrame) zenithSteps(name string, count int) {
	for channel := 1; channel <= count && f.err == nil; channel++ {
		angle := 90 + float64(int8(f.uint8()))/6
		f.number(name+"_zenith_angle", channel, "deg", math.Round(angle*100)/100)
		f.setting8(name+"_level", channel, "%")
	}
}

func (f *nasFrame) profileConfig10() {
	f.setting8("profile_id", 1, "1")
	f.number("profile_version", 1, "1", float64(f.uint8()))
	f.address("address")
	f.activeDays(1, f.uint8())
	f.dimmingSteps(math.MaxInt)
}

func (f *nasFrame) profileConfig11() {
	f.setting8("profile_id", 1, "1")
	count := int(f.uint8())
	f.address("address")
	f.activeDays(1, f.uint8())
	f.uint8() // reserved
	if f.err == nil && f.left() < 2*count {
		f.take(2 * count)
	}
	f.dimmingSteps(count)
}

// dimmingSteps reads count steps, or as many as there are.
func (f *nasFrame) dimmingSteps(count int) {
	for channel := 1; channel <= count && f.more(); channel++ {
		f.stepTime(channel)
		f.setting8("step_level", channel, "%")
	}
}

// timeConfig reads the time the controller was told; 0 tells it to ask the network.
func (f *nasFrame) timeConfig() {
	epoch := f.uint32()
	f.flag("time_from_network", 1, epoch == 0)
	if epoch != 0 {
		f.text("set_time", 1, time.Unix(int64(epoch), 0).UTC().Format(time.RFC3339))
	}
}

func (f *nasFrame) legacyDefaultsConfig() {
	f.number("default_level", 1, "%", float64(f.uint8()))
	alerts := f.uint8()
	f.flag("ldr_alert_enabled", 1, alerts&0x01 != 0)
	f.flag("dig_alert_enabled", 1, alerts&0x04 != 0)
	f.flag("dali_alert_enabled", 1, alerts&0x08 != 0)
}

func (f *nasFrame) usageConfig() {
	f.setting32("usage_interval", "s")
	f.setting8("configured_voltage", 1, "V")
}

// holidays reads count pairs of month and day, or as many as there are.
func (f *nasFrame) holidays(count int) {
	if count != math.MaxInt && f.err == nil && f.left() < 2*count {
		f.take(2 * count)
	}
	for channel := 1; channel <= count && f.more(); channel++ {
		f.text("holiday", channel, fmt.Sprintf("%02d-%02d", f.uint8(), f.uint8()))
	}
}

func (f *nasFrame) bootDelayConfig() {
	if f.left() == 1 {
		f.number("boot_delay_range", 1, "s", float64(f.uint8()))
		return
	}
	f.number("boot_delay_range", 1, "s", float64(f.uint16()))
}

func (f *nasFrame) defaultsConfig() {
	present := f.uint8()
	if present&0x01 != 0 {
		f.number("default_level", 1, "%", float64(f.uint8()))
	}
	if present&0x02 != 0 {
		f.setting8("max_level", 1, "%")
	}
	if present&0x04 != 0 {
		f.fade()
	}
	if present&0x08 != 0 {
		f.flag("switches_at_sunset", 1, f.uint8()&1 != 0)
	}
	if present&0x10 != 0 {
		f.flag("legacy_mode_enabled", 1, f.uint8()&1 != 0)
	}
}

// nasFades are the DALI fade times in seconds.
var nasFades = [...]float64{0.5, 0.71, 1, 1.41, 2, 2.83, 4, 5.66, 8, 11.31, 16, 22.63, 32, 45.25, 64, 90.51}

func (f *nasFrame) fade() {
	switch fade := f.uint8(); {
	case fade == nasNotSet:
	case int(fade) < len(nasFades):
		f.number("fade_duration", 1, "s", nasFades[fade])
	default:
		f.fail(fmt.Errorf("%w: fade time %d (there are 0 to 15 and 255)", ErrMalformed, fade))
	}
}

func (f *nasFrame) locationConfig10() {
	present := f.uint8()
	if present&0x01 != 0 {
		f.position32()
	}
	if present&0x02 != 0 {
		f.street(int(f.uint8()))
	}
}

func (f *nasFrame) locationConfig11() {
	length := f.uint8()
	f.position32()
	f.street(int(length))
}

func (f *nasFrame) meteringAlertConfig() {
	if form := f.uint8(); f.err == nil && form != 1 {
		f.fail(fmt.Errorf("%w: form %d of the metering alert configuration, only 1 is known", ErrUnknownKind, form))
	}
	f.setting16("min_power", "W")
	f.setting16("max_power", "W")
	f.setting16("min_voltage", "V")
	f.setting16("max_voltage", "V")
	if percent := f.uint8(); percent != nasNotSet {
		f.number("min_power_factor", 1, "1", float64(percent)/100)
	}
}

func (f *nasFrame) daliMonitorConfig() {
	behaviour := f.uint8()
	f.flag("dali_alert_enabled", 1, behaviour&0x01 != 0)
	f.flag("corrects_level", 1, behaviour&0x02 != 0)
	f.flag("scans_bus", 1, behaviour&0x04 != 0)
	if interval := f.uint16(); interval != 0 {
		f.number("monitoring_interval", 1, "s", float64(interval))
	}
}

func (f *nasFrame) lumalinkConfig() {
	modes := [...]string{"never_advertise", "first_commission", "every_boot", "always"}
	mode := f.uint8()
	if int(mode) >= len(modes) {
		f.fail(fmt.Errorf("%w: access mode %d (there are 0 to 3)", ErrMalformed, mode))
		return
	}
	f.text("access_mode", 1, modes[mode])
}

func (f *nasFrame) lightSensorConfig() {
	count := f.uint8()
	if count == nasNotSet {
		return
	}
	behaviour := f.uint8()
	f.flag("notify_every_step", 1, behaviour&0x01 != 0)
	f.flag("clamps_profiles", 1, behaviour&0x02 != 0)
	f.flag("clamps_dig_input", 1, behaviour&0x04 != 0)
	f.flag("interpolates_steps", 1, behaviour&0x08 != 0)
	f.number("measurement_duration", 1, "s", float64(f.uint8()))
	f.address("address")
	for channel := 1; channel <= int(count) && f.err == nil; channel++ {
		light := f.float32()
		value := Number(math.Round(float64(light)*1000) / 1000)
		if value.Kind() == KindNone {
			f.fail(fmt.Errorf("%w: the brightness of step %d is not a number", ErrMalformed, channel))
		}
		f.fields = append(f.fields, Field{Name: "step_light", Channel: channel, Unit: "lx", Value: value})
		f.setting8("step_level", channel, "%")
	}
}

func (f *nasFrame) dimNotifyConfig() {
	if delay := f.uint8(); delay != nasNotSet {
		f.number("random_delay", 1, "s", 5*float64(delay))
	}
	f.number("packet_limit", 1, "s", 60*float64(f.uint8()))
}

func (f *nasFrame) interfaceTypeConfig() {
	switch kind := f.uint8(); kind {
	case 0:
		f.text("interface_type", 1, "dali")
	case 1:
		f.text("interface_type", 1, "analog")
	case 254:
		f.text("interface_type", 1, "not_supported")
	case 255:
		f.text("interface_type", 1, "factory_default")
	default:
		f.fail(fmt.Errorf("%w: interface type %d (there are 0, 1, 254 and 255)", ErrMalformed, kind))
	}
}

// multicastConfig gives neither of the two keys: they are secrets.
func (f *nasFrame) multicastConfig() {
	f.number("multicast_device", 1, "1", float64(f.uint8()))
	f.text("multicast_address", 1, fmt.Sprintf("%08X", f.uint32()))
	f.take(2 * 16)
}

func (f *nasFrame) multicastCounterConfig() {
	f.number("multicast_device", 1, "1", float64(f.uint8()))
	f.setting32("multicast_counter", "1")
}

func (f *nasFrame) clearConfig() {
	target := f.uint8()
	if f.err != nil {
		return
	}
	switch target {
	case 0x01:
		f.text("cleared", 1, "ldr_input_config")
	case 0x03, 0x28:
		f.text("cleared", 1, "dig_input_config")
	case 0x04, 0x21:
		f.text("cleared", 1, "profile_config")
		f.address("address")
		if target == 0x04 && f.more() {
			f.setting8("profile_id", 1, "1")
		}
	case 0x06, 0x23:
		f.text("cleared", 1, "holiday_config")
	case 0x29:
		f.text("cleared", 1, "light_sensor_config")
	case 0x52:
		f.text("cleared", 1, "multicast_config")
		f.setting8("multicast_device", 1, "1")
	case 0xff:
		f.text("cleared", 1, "everything")
		f.text("device_serial", 1, fmt.Sprintf("%08X", f.uint32()))
	default:
		f.fail(fmt.Errorf("%w: cleared configuration 0x%02x is not known", ErrMalformed, target))
	}
}
