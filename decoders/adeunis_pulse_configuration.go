package decoders

import "fmt"

// configuration reads 0x10 (all of it in 28 bytes; where LoRaWAN carries little, its first 11 with 0x11 and 0x12 for the rest;
// 22 bytes in version 2), 0x11 (thresholds) and 0x12 (leakage and tampering; version 2 leaves tampering out).
func (f *pulseFrame) configuration() (Output, error) {
	switch length := pulseHead + len(f.content); {
	case f.code == 0x10 && (length == 28 || length == 11):
		f.head(24)
		f.settings()
	case f.code == 0x10 && length == 22:
		f.head(19)
		f.settings2()
	case f.code == 0x11 && length == 10:
		f.head(4)
		f.thresholds(0)
	case f.code == 0x12 && length == 6:
		f.head(2)
		f.leakagePeriods(0)
	case f.code == 0x12 && (length == 10 || length == 11):
		f.head(7)
		f.leakagePeriods(0)
		f.tampering(4)
		if length == 11 {
			f.number("redundant_samples", 0, "1", float64(f.content[8]))
		}
	default:
		return Output{}, f.wrongLength()
	}
	return f.output("configuration")
}

func (f *pulseFrame) settings() {
	f.productMode()
	saved, period := f.uint16(1), f.uint16(4)*2
	f.number("number_of_historization_before_sending", 0, "1", saved)
	f.number("sampling_period", 0, "s", period)
	f.number("calculated_sending_period", 0, "s", saved*period)
	f.minutes("flow_calculation_period", 7)
	f.channels(f.content[3], f.content[6])
	if len(f.content) == 9 {
		return
	}
	f.thresholds(9)
	f.leakagePeriods(17)
	f.tampering(21)
	f.number("redundant_samples", 0, "1", float64(f.content[25]))
}

func (f *pulseFrame) settings2() {
	f.productMode()
	f.minutes("transmission_period", 1)
	f.minutes("flow_calculation_period", 6)
	if mode := f.content[4]; mode <= 2 {
		f.text("historic_mode", 0, [...]string{"noHistoric", "historicLogEvery10min", "historicLogEvery1h"}[mode])
	} else {
		f.warnings = append(f.warnings, fmt.Sprintf("historic mode %d is not known", mode))
	}
	f.channels(f.content[3], f.content[5])
	f.thresholds(8)
	f.leakagePeriods(16)
}

const pulseTestMode = 2

func (f *pulseFrame) productMode() {
	if mode := f.content[0]; mode <= 3 {
		f.text("product_mode", 0, [...]string{"PARK", "PRODUCTION", "TEST", "DEAD"}[mode])
	} else {
		f.warnings = append(f.warnings, fmt.Sprintf("product mode %d is not known", mode))
	}
}

// minutes reads a period, which in test mode counts 20 seconds instead of a minute.
func (f *pulseFrame) minutes(name string, at int) {
	if f.content[0] == pulseTestMode {
		f.number(name, 0, "s", f.uint16(at)*20)
		return
	}
	f.number(name, 0, "min", f.uint16(at))
}

var pulseDebouncing = [...]float64{0, 1, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000} // ms

// channels reads what is on: four bits a channel in both bytes, channel A in the lower half.
func (f *pulseFrame) channels(on, debouncing byte) {
	for channel := 1; channel <= 2; channel++ {
		bits, index := on>>(4*(channel-1)), debouncing>>(4*(channel-1))&0x0f
		state, kind := "disabled", "otherPullUpOff"
		if bits&0x01 != 0 {
			state = "enabled"
		}
		if bits&0x02 != 0 {
			kind = "gasPullUpOn"
		}
		f.text("state", channel, state)
		f.text("type", channel, kind)
		f.flag("tamper_activated", channel, bits&0x08 != 0)
		if int(index) < len(pulseDebouncing) {
			f.number("debouncing_period", channel, "ms", pulseDebouncing[index])
		} else {
			f.warnings = append(f.warnings, fmt.Sprintf("debouncing period %d of channel %d is not known", index, channel))
		}
	}
}

func (f *pulseFrame) thresholds(at int) {
	f.number("leakage_overflow_alarm_trigger_threshold", 1, "1/h", f.uint16(at))
	f.number("leakage_overflow_alarm_trigger_threshold", 2, "1/h", f.uint16(at+2))
	f.number("leakage_threshold", 1, "1/h", f.uint16(at+4))
	f.number("leakage_threshold", 2, "1/h", f.uint16(at+6))
}

func (f *pulseFrame) leakagePeriods(at int) {
	f.number("leakage_daily_periods", 1, "1", f.uint16(at))
	f.number("leakage_daily_periods", 2, "1", f.uint16(at+2))
}

func (f *pulseFrame) tampering(at int) {
	for channel := 1; channel <= 2; channel, at = channel+1, at+2 {
		f.number("tamper_sample_period", channel, "s", float64(f.content[at])*10)
		f.number("tamper_threshold", channel, "1", float64(f.content[at+1]))
	}
}

func (f *pulseFrame) network() (Output, error) {
	if len(f.content) != 2 {
		return Output{}, f.wrongLength()
	}
	f.head(4)
	options := f.content[0]
	choose := func(name string, first bool, yes, no string) {
		if first {
			no = yes
		}
		f.text(name, 0, no)
	}
	f.flag("lora_adr", 0, options&0x01 != 0)
	choose("lora_provisioning_mode", f.content[1] == 0, "ABP", "OTAA")
	choose("lora_dutycycle", options&0x04 != 0, "activated", "deactivated")
	choose("lora_class_mode", options&0x20 != 0, "CLASS C", "CLASS A")
	return f.output("network_configuration")
}

func (f *pulseFrame) registerAnswer() (Output, error) {
	if len(f.content) != 3 {
		return Output{}, f.wrongLength()
	}
	f.head(2)
	texts := [...]string{1: "success", "successNoUpdate", "errorCoherency", "errorInvalidRegister", "errorInvalidValue",
		"errorTruncatedValue", "errorAccesNotAllowed"}
	status := "errorOtherReason"
	if code := int(f.content[0]); code >= 1 && code < len(texts) {
		status = texts[code]
	}
	f.text("request_status", 0, status)
	f.number("register_id", 0, "1", f.uint16(1))
	return f.output("register_answer")
}
