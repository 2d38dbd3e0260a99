package decoders

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// NAS CM30xx, a module that reads the pulses of a water (or gas) meter, firmware 2.3. Little-endian. The port says what it is: 25
// usage, 49 requests, 50 configuration, 60 commands and answers, 99 boot, shutdown and refused downlinks. Port 20, the meter's
// records in an M-Bus frame, is not read.
//
// Kinds: usage, shutdown (reason and usage), boot, downlink_refused, general_configuration, location_configuration,
// local_time_response; general_configuration_request, location_configuration_request, local_time_request and
// enter_dfu_command, which the module is sent.
//
//	backflow_pending, broken_pipe_pending, continuous_flow_pending, tamper_pending, temperature_pending, low_battery, no_usage
//	meter_status                       connected, no_response, protocol_error, meter_damaged or bus_shorted
//	meter_multiplier (1), meter_medium, meter_unit
//	meter_actuality_duration      min  how long ago the meter was read
//	meter_accumulated_volume           m3, [gal_us] or [cft_i]
//	meter_readout_date                 in privacy mode: the day to which the volume belongs
//	app_connected_within_a_day
//	battery_remaining             a
//	battery_voltage               V
//	internal_temperature, internal_temperature_min, internal_temperature_max    Cel
//	radio_downlink_rssi (dBm), radio_downlink_snr (dB), radio_uplink_power (dBm)
//	meter_serial                       left out when the meter gives none
//
// Boot: device_serial, device_firmware_version, wakeup_reason_mcu, packet_reason, configuration_restored, hardware_configuration,
// device_uptime_accumulated (d). Refusal: packet_fport (1), packet_error_reason. Time: device_local_time (s since 1970),
// device_local_time_formatted.

func init() { register("nas-cm30xx", decodeCM30xx) }

func decodeCM30xx(uplink Uplink) (Output, error) {
	if err := checkRadioLength(uplink.Payload); err != nil {
		return Output{}, err
	}
	f := &cmFrame{nasFrame{reader: reader{payload: uplink.Payload, part: "type of message"}}}
	header := f.uint8()
	if f.err != nil {
		return Output{}, f.err
	}
	switch port := uplink.Port; {
	case port == 25 && header == 0x04:
		return f.usage("usage")
	case port == 49 && header == 0x20:
		return f.output("general_configuration_request")
	case port == 49 && header == 0x21:
		return f.output("location_configuration_request")
	case port == 50 && header == 0x20:
		return f.generalConfiguration()
	case port == 50 && header == 0x21:
		return f.locationConfiguration()
	case port == 60 && header == 0x03:
		return f.localTime()
	case port == 60 && header == 0xff:
		return f.output("enter_dfu_command")
	case port == 99 && header == 0x00:
		return f.boot()
	case port == 99 && header == 0x01:
		return f.shutdown()
	case port == 99 && header == 0x13:
		return f.refusal()
	default:
		return Output{}, fmt.Errorf("%w: message 0x%02x on port %d", ErrUnknownKind, header, port)
	}
}

// cmFrame reads what is particular to the meter modules.
type cmFrame struct{ nasFrame }

// choose names a code; where it has no name it is left out, with a warning.
func (f *cmFrame) choose(name string, code byte, texts []string) {
	if int(code) < len(texts) && texts[code] != "" {
		f.text(name, 1, texts[code])
	} else if f.err == nil {
		f.warn("%s 0x%02x is not known", name, code)
	}
}

var (
	cmStatuses    = []string{"connected", "no_response", "protocol_error", "meter_damaged", "protocol_error", "bus_shorted"}
	cmMedia       = []string{"water", "warm_water", "gas"}
	cmUnits       = []string{"m3", "gal", "ft3"}
	cmUCUM        = [...]string{"m3", "[gal_us]", "[cft_i]"}
	cmUCUMPerHour = [...]string{"m3/h", "[gal_us]/h", "[cft_i]/h"}
	cmHardware    = []string{0: "Modularis", 1: "Cyble", 2: "Falcon_PR", 3: "Picoflux", 4: "Falcon_MJ", 6: "RCM_LMx", 0x20: "BK_G"}
	cmShutdowns   = []string{0x10: "calibration_timeout", 0x31: "magnet_shutdown", 0x32: "enter_dfu", 0x33: "app_shutdown", 0x34: "switch_to_wmbus"}
	cmBoots       = []string{"unknown_reset", "from_shutdown", "from_dfu", "forced_reset", "lorawan_rejoin"}
)

// usage reads the consumption; kind is what the message around it is.
func (f *cmFrame) usage(kind string) (Output, error) {
	f.part = "usage"
	f.fields = append(make([]Field, 0, 26), f.fields...)
	alerts := f.uint8()
	f.flag("backflow_pending", 1, alerts&0x01 != 0)
	f.flag("broken_pipe_pending", 1, alerts&0x02 != 0)
	f.flag("continuous_flow_pending", 1, alerts&0x04 != 0)
	f.flag("tamper_pending", 1, alerts&0x08 != 0)
	f.flag("temperature_pending", 1, alerts&0x10 != 0)
	f.flag("low_battery", 1, alerts&0x20 != 0)
	f.flag("no_usage", 1, alerts&0x40 != 0)
	f.choose("meter_status", f.uint8(), cmStatuses)

	meter := f.uint8()
	multiplier, unit := cmMultiplier(meter&0x07), int(meter>>5&0x03)
	if f.err == nil && (multiplier == 0 || unit >= len(cmUnits)) {
		return Output{}, fmt.Errorf("%w: multiplier %d or unit %d of the meter does not exist", ErrMalformed, meter&0x07, unit)
	}
	f.meter(meter)
	f.actuality(f.uint8())
	volume := float64(f.uint32())
	if f.err != nil {
		return Output{}, f.err
	}
	f.number("meter_accumulated_volume", 1, cmUCUM[unit], cmScaled(volume, meter&0x07))
	if privacy := meter&0x80 != 0; privacy {
		f.readoutDate()
	}
	state := f.uint8()
	f.flag("app_connected_within_a_day", 1, state&0x01 != 0)
	if state&0x02 != 0 {
		f.deviceStatus()
	}
	return f.output(kind)
}

// cmMultiplier is 0.001 to 10 for the exponents 3 to 7, 0 for those that do not exist.
func cmMultiplier(exponent byte) float64 {
	return [8]float64{3: 0.001, 4: 0.01, 5: 0.1, 6: 1, 7: 10}[exponent]
}

// cmScaled divides rather than multiplies, so that 0.01 m³ stay exact.
func cmScaled(count float64, exponent byte) float64 {
	return count * 10 / [8]float64{3: 1e4, 4: 1e3, 5: 100, 6: 10, 7: 1}[exponent]
}

func (f *cmFrame) meter(bits byte) {
	if multiplier := cmMultiplier(bits & 0x07); multiplier != 0 {
		f.number("meter_multiplier", 1, "1", multiplier)
	} else {
		f.warn("meter_multiplier %d is not known", bits&0x07)
	}
	f.choose("meter_medium", bits>>3&0x03, cmMedia)
	f.choose("meter_unit", bits>>5&0x03, cmUnits)
}

// actuality reads a duration that is coarser the longer it is. 254 and 255 mean nothing.
func (f *cmFrame) actuality(code byte) {
	const hour, day = 60, 24 * 60
	minutes := int(code)
	switch {
	case code > 253:
		return
	case code == 253:
		minutes = 365 * day
	case code >= 200:
		minutes = (minutes - 200) * 7 * day
	case code >= 156:
		minutes = (minutes - 156) * day
	case code >= 60:
		minutes = (minutes - 60) * hour / 4
	}
	f.number("meter_actuality_duration", 1, "min", float64(minutes))
}

// readoutDate reads a day as M-Bus writes it (type G), but with months from 0 on.
func (f *cmFrame) readoutDate() {
	low, high := int(f.uint8()), int(f.uint8())
	year, month, day := 2000+low>>5+high>>4<<3, time.Month(high&0x0f)+1, low&0x1f
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if date.Month() != month || date.Day() != day {
		f.warn("the readout date %d-%02d-%02d does not exist", year, int(month), day)
		return
	}
	f.text("meter_readout_date", 1, date.Format(time.DateOnly))
}

func (f *cmFrame) deviceStatus() {
	f.number("battery_remaining", 1, "a", math.Round(float64(f.uint8())/12*10)/10)
	f.number("battery_voltage", 1, "V", (float64(f.uint8())+150)/100)
	temperature, spread := float64(int8(f.uint8())), f.uint8()
	f.number("internal_temperature", 1, "Cel", temperature)
	f.number("internal_temperature_min", 1, "Cel", temperature-2*float64(spread&0x0f))
	f.number("internal_temperature_max", 1, "Cel", temperature+2*float64(spread>>4))
	f.number("radio_downlink_rssi", 1, "dBm", 0-float64(f.uint8()))
	radio := f.uint8()
	f.number("radio_downlink_snr", 1, "dB", 2*float64(radio&0x0f)-20)
	f.number("radio_uplink_power", 1, "dBm", 2*float64(radio>>4))
	f.serial("meter_serial")
}

func (f *cmFrame) serial(name string) {
	if serial := f.uint32(); serial != math.MaxUint32 {
		f.text(name, 1, cmHex(serial))
	}
}

// cmHex is %08X, without its cost.
func cmHex(number uint32) string {
	var text [8]byte
	for i := range text {
		text[i] = "0123456789ABCDEF"[number>>(28-4*i)&0x0f]
	}
	return string(text[:])
}

const cmClockSet = 1577836800 // 2020-01-01; before it is set it counts from the first start

func (f *cmFrame) localTime() (Output, error) {
	f.part = "local time"
	if !f.more() {
		return f.output("local_time_request")
	}
	epoch := int64(f.uint32())
	f.number("device_local_time", 1, "s", float64(epoch))
	if epoch >= cmClockSet {
		f.text("device_local_time_formatted", 1, time.Unix(epoch, 0).UTC().Format(time.RFC3339))
	} else if f.err == nil {
		f.warn("clock of the module is not set")
	}
	return f.output("local_time_response")
}

func (f *cmFrame) boot() (Output, error) {
	f.part = "boot message"
	f.reserve(7)
	f.serial("device_serial")
	if version := f.take(3); version != nil {
		f.text("device_firmware_version", 1, strconv.Itoa(int(version[0]))+"."+strconv.Itoa(int(version[1]))+"."+strconv.Itoa(int(version[2])))
	}
	f.text("wakeup_reason_mcu", 1, cmWakeups(f.uint8()))
	reason := f.uint8()
	f.choose("packet_reason", reason>>4&0x07, cmBoots)
	f.flag("configuration_restored", 1, reason&0x80 != 0)
	f.choose("hardware_configuration", f.uint8(), cmHardware)
	f.take(2) // without a published meaning
	if hours := f.take(3); hours != nil {
		uptime := float64(uint32(hours[0]) | uint32(hours[1])<<8 | uint32(hours[2])<<16)
		f.number("device_uptime_accumulated", 1, "d", math.Round(uptime/24*100)/100)
	}
	return f.output("boot")
}

func cmWakeups(bits byte) string {
	names := [8]string{"reason_0", "watchdog_reset", "soft_reset", "reason_3", "magnet_wakeup", "reason_5", "reason_6", "nfc_wakeup"}
	text := ""
	for i, name := range names {
		switch {
		case bits>>i&1 == 0:
		case text == "":
			text = name
		default:
			text += " " + name
		}
	}
	if text == "" {
		return "none"
	}
	return text
}

func (f *cmFrame) shutdown() (Output, error) {
	f.part = "shutdown message"
	reason, header := f.uint8(), f.uint8()
	if f.err == nil && header != 0x04 {
		return Output{}, fmt.Errorf("%w: 0x%02x after the reason of a shutdown, not the usage (0x04)", ErrMalformed, header)
	}
	f.choose("shutdown_reason", reason, cmShutdowns)
	return f.usage("shutdown")
}

func (f *cmFrame) refusal() (Output, error) {
	f.part = "refusal of a downlink"
	f.reserve(2)
	f.number("packet_fport", 1, "1", float64(f.uint8()))
	f.text("packet_error_reason", 1, nasRefusal(f.uint8()))
	return f.output("downlink_refused")
}
