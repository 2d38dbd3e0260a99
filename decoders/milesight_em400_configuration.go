package decoders

// What an EM400 answers to a command: it repeats the setting.
//
//	collection_interval, report_interval               s
//	people_existing_height, install_height             mm
//	recollection_counts, recollection_interval         1, s
//	background_convergence_interval                    h
//	working_mode                                       "standard", "bin", "parking"
//	sim_card_priority                                  "esim_first", "physical_sim_first"
//	install_height_enable, tilt_linkage_distance_enable, tof_detection_enable, tilt_report_enable
//	                                                   "disable", "enable"
//	disassembly_alarm_enable, disassembly_alarm_duration    "disable", "enable"; s
//	reboot, query_device_status, sync_time, tilt_calibration, sensor_convergence    "yes"
//	standard_mode_alarm_... and bin_mode_alarm_...: condition ("disable", "below", "above", "between", "outside"),
//	release_enable ("disable", "enable"), threshold_min and threshold_max (mm)

const em400BinMode = 2

// configuration reads an element on the channel of answers; the sensors use that of information for them as well.
func (m *em400) configuration(channel, kind byte) bool {
	if channel != em400Answer && channel != em400Information {
		return false
	}
	switch kind {
	case 0x02:
		m.setting("collection_interval", "s", m.uint16())
	case 0x03:
		m.setting("report_interval", "s", m.uint16())
	case 0x06:
		m.thresholds()
	case 0x10:
		m.done("reboot")
	case 0x13:
		m.enabled("install_height_enable", m.uint8())
	case 0x1c:
		m.setting("recollection_counts", "1", uint16(m.uint8()))
		m.setting("recollection_interval", "s", uint16(m.uint8()))
	case 0x28:
		m.done("query_device_status")
	case 0x3e:
		m.enabled("tilt_linkage_distance_enable", m.uint8())
	case 0x4a:
		m.done("sync_time")
	case 0x56:
		m.enabled("tof_detection_enable", m.uint8())
	case 0x70:
		m.setting("people_existing_height", "mm", m.uint16())
	case 0x71:
		m.state(em400RankConfiguration, "working_mode", m.uint8(), "standard", "bin", "parking")
	case 0x77:
		m.setting("install_height", "mm", m.uint16())
	default:
		return m.tofConfiguration(kind)
	}
	return true
}

// tofConfiguration reads what only a TLD has.
func (m *em400) tofConfiguration(kind byte) bool {
	switch kind {
	case 0xa1:
		m.enabled("tilt_report_enable", m.uint8())
	case 0xa2:
		m.enabled("disassembly_alarm_enable", m.uint8())
		m.setting("disassembly_alarm_duration", "s", uint16(m.uint8()))
	case 0xa3:
		m.state(em400RankConfiguration, "sim_card_priority", m.uint8(), "esim_first", "physical_sim_first")
	case 0xa4:
		m.setting("background_convergence_interval", "h", uint16(m.uint8()))
	case 0xa5: // without a value, unlike the other commands
		m.text(em400RankConfiguration, "tilt_calibration", "yes")
	case 0xa6:
		m.text(em400RankConfiguration, "sensor_convergence", "yes")
	default:
		return false
	}
	return true
}

// thresholds reads mode and condition in one byte, two distances and four reserved bytes.
func (m *em400) thresholds() {
	flags, least, most := m.uint8(), m.uint16(), m.uint16()
	m.take(4)
	if flags>>3&0x07 == em400BinMode {
		m.condition("bin_mode_alarm_condition", flags)
		m.enabled("bin_mode_alarm_release_enable", flags>>7)
		m.setting("bin_mode_alarm_threshold_min", "mm", least)
		m.setting("bin_mode_alarm_threshold_max", "mm", most)
		return
	}
	m.condition("standard_mode_alarm_condition", flags)
	m.enabled("standard_mode_alarm_release_enable", flags>>7)
	m.setting("standard_mode_alarm_threshold_min", "mm", least)
	m.setting("standard_mode_alarm_threshold_max", "mm", most)
}

func (m *em400) condition(name string, flags byte) {
	m.state(em400RankConfiguration, name, flags&0x07, "disable", "below", "above", "between", "outside")
}

func (m *em400) setting(name, unit string, value uint16) {
	m.set(em400RankConfiguration, name, unit, Number(value))
}

func (m *em400) enabled(name string, value byte) {
	m.state(em400RankConfiguration, name, value, "disable", "enable")
}

// done reads a command that has a byte without meaning.
func (m *em400) done(name string) {
	m.uint8()
	m.text(em400RankConfiguration, name, "yes")
}
