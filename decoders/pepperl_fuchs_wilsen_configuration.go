package decoders

import (
	"encoding/binary"
	"strconv"
)

// What a WILSEN answers to a command: it repeats the setting.
//
//	ble_enable, gps_acquisition_active, lora_data_transmission_active, lora_downlink_config, lora_downlink_config_ack,
//	us_measurement_sequence_active, us_application_filter_active     true, false
//	device_name; reset_counter, factory_reset, change_password       "done"
//	gps_acquisition_interval, gps_next_acquisition                   s
//	lora_transmission_interval, lora_next_transmission               s
//	lora_message_type                                                "Unconfirmed", "Confirmed"
//	lora_number_of_transmission                                      1
//	lora_spreading_factor                                            1, or "ADR"
//	us_beam_width                                                    "Small", "Medium", "Wide", "User-defined"
//	us_user_defined_burst_length, us_user_defined_transmitting_power, us_user_defined_sensitivity    a name, or 1
//	us_full_distance, us_empty_distance                              mm
//	us_evaluation_method, us_post_processing_filter                  "Average value"; "Container filling"
//	us_measurements_per_sequence, us_additional_measurement          1
//	us_at_intervals_of                                               ms
//	part_number                                                      1
//	hardware_revision, firmware_revision                             "1.2.3"
//
// A choice without a name is "Invalid", as the maker has it.

const (
	wilsenFirstSetting    = 0xf101
	wilsenSpreadingFactor = 0xf303 // a second byte, of no published meaning, may follow the value
)

// wilsenSettingSize says how many bytes the value of a setting has; false for one that is not known.
func wilsenSettingSize(id uint16) (int, bool) {
	switch id {
	case 0xf103, 0xf104, 0xf105:
		return 0, true
	case 0xf101, 0xf201, 0xf301, 0xf302, wilsenSpreadingFactor, 0xf304, 0xf307, 0xf308,
		0xf401, 0xf402, 0xf403, 0xf404, 0xf407, 0xf408, 0xf409, 0xf40b, 0xf40c, 0xf40d:
		return 1, true
	case 0xf405, 0xf406, 0xf40a:
		return 2, true
	case 0xf202, 0xf203, 0xf305, 0xf306, 0xf501:
		return 4, true
	case 0xf502, 0xf503:
		return 6, true
	case 0xf102:
		return 16, true
	default:
		return 0, false
	}
}

func (m *wilsen) setting(id uint16, value []byte) {
	switch id {
	case 0xf101:
		m.active("ble_enable", value)
	case 0xf102:
		m.text(wilsenConfiguration, "device_name", value)
	case 0xf103:
		m.word("reset_counter", "done")
	case 0xf104:
		m.word("factory_reset", "done")
	case 0xf105:
		m.word("change_password", "done")
	case 0xf201:
		m.active("gps_acquisition_active", value)
	case 0xf202:
		m.number("gps_acquisition_interval", "s", value)
	case 0xf203:
		m.number("gps_next_acquisition", "s", value)
	case 0xf501:
		m.number("part_number", "1", value)
	case 0xf502:
		m.word("hardware_revision", wilsenRevision(value))
	case 0xf503:
		m.word("firmware_revision", wilsenRevision(value))
	default:
		if id < 0xf400 {
			m.radioSetting(id, value)
		} else {
			m.ultrasonicSetting(id, value)
		}
	}
}

func (m *wilsen) radioSetting(id uint16, value []byte) {
	switch id {
	case 0xf301:
		m.choice("lora_message_type", value, wilsenChoice{0, "Unconfirmed"}, wilsenChoice{1, "Confirmed"})
	case 0xf302:
		m.number("lora_number_of_transmission", "1", value)
	case wilsenSpreadingFactor:
		m.choiceOrNumber("lora_spreading_factor", value[:1], wilsenChoice{255, "ADR"})
	case 0xf304:
		m.active("lora_data_transmission_active", value)
	case 0xf305:
		m.number("lora_transmission_interval", "s", value)
	case 0xf306:
		m.number("lora_next_transmission", "s", value)
	case 0xf307:
		m.active("lora_downlink_config", value)
	case 0xf308:
		m.active("lora_downlink_config_ack", value)
	}
}

func (m *wilsen) ultrasonicSetting(id uint16, value []byte) {
	switch id {
	case 0xf401:
		m.choice("us_beam_width", value, wilsenChoice{254, "Small"}, wilsenChoice{253, "Medium"}, wilsenChoice{252, "Wide"}, wilsenChoice{55, "User-defined"})
	case 0xf402:
		m.choiceOrNumber("us_user_defined_burst_length", value, wilsenChoice{5, "Normal"}, wilsenChoice{3, "Short"}, wilsenChoice{16, "Very short"})
	case 0xf403:
		m.choiceOrNumber("us_user_defined_transmitting_power", value, wilsenChoice{63, "High"}, wilsenChoice{40, "Medium"}, wilsenChoice{12, "Low"})
	case 0xf404:
		m.choiceOrNumber("us_user_defined_sensitivity", value, wilsenChoice{63, "Maximum"}, wilsenChoice{51, "Very high"}, wilsenChoice{48, "High"},
			wilsenChoice{38, "Medium"}, wilsenChoice{27, "Low"}, wilsenChoice{15, "Minimum"})
	case 0xf405:
		m.number("us_full_distance", "mm", value)
	case 0xf406:
		m.number("us_empty_distance", "mm", value)
	case 0xf407:
		m.active("us_measurement_sequence_active", value)
	case 0xf408:
		m.choice("us_evaluation_method", value, wilsenChoice{1, "Average value"})
	case 0xf409:
		m.number("us_measurements_per_sequence", "1", value)
	case 0xf40a:
		m.number("us_at_intervals_of", "ms", value)
	case 0xf40b:
		m.active("us_application_filter_active", value)
	case 0xf40c:
		m.choice("us_post_processing_filter", value, wilsenChoice{1, "Container filling"})
	case 0xf40d:
		m.number("us_additional_measurement", "1", value)
	}
}

// wilsenChoice is the name of one value of a setting.
type wilsenChoice struct {
	value byte
	name  string
}

func (m *wilsen) number(name, unit string, value []byte) {
	m.set(wilsenConfiguration, name, unit, wilsenNumber(value))
}

func (m *wilsen) active(name string, value []byte) {
	m.set(wilsenConfiguration, name, "", Bool(value[0] == 1))
}

func (m *wilsen) word(name, text string) { m.set(wilsenConfiguration, name, "", Text(text)) }

func (m *wilsen) choice(name string, value []byte, choices ...wilsenChoice) {
	for _, choice := range choices {
		if choice.value == value[0] {
			m.word(name, choice.name)
			return
		}
	}
	m.word(name, "Invalid")
}

// choiceOrNumber is for settings that take any number, some of which have names.
func (m *wilsen) choiceOrNumber(name string, value []byte, choices ...wilsenChoice) {
	for _, choice := range choices {
		if choice.value == value[0] {
			m.word(name, choice.name)
			return
		}
	}
	m.number(name, "1", value)
}

func wilsenRevision(value []byte) string {
	part := func(at int) string { return strconv.Itoa(int(binary.BigEndian.Uint16(value[at:]))) }
	return part(0) + "." + part(2) + "." + part(4)
}
