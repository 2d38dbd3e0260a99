package decoders

import (
	"fmt"
	"math"
	"strconv"
)

// mbusQuantity is what a VIF means.
type mbusQuantity struct {
	name     string
	unit     string
	exponent int // of ten
	form     mbusForm
}

// mbusForm is how a value is read.
type mbusForm uint8

const (
	mbusSigned mbusForm = iota
	mbusUnsigned
	mbusText
	mbusDate
)

// mbusRange is a run of VIFs that differ in the exponent, or in the unit.
type mbusRange struct {
	first, last byte
	mbusQuantity
}

// EN 13757-3, tables of the primary VIFs and of the extensions FB and FD. Units of the tables that meters in use do not have
// (currency, gallons, reserved ones) are left out: their records are not read.
var (
	mbusPrimary = mbusTable([]mbusRange{
		{0x00, 0x07, mbusQuantity{"energy", "W.h", -3, mbusSigned}},
		{0x08, 0x0f, mbusQuantity{"energy", "J", 0, mbusSigned}},
		{0x10, 0x17, mbusQuantity{"volume", "m3", -6, mbusSigned}},
		{0x18, 0x1f, mbusQuantity{"mass", "kg", -3, mbusSigned}},
		{0x28, 0x2f, mbusQuantity{"power", "W", -3, mbusSigned}},
		{0x30, 0x37, mbusQuantity{"power", "J/h", 0, mbusSigned}},
		{0x38, 0x3f, mbusQuantity{"flow", "m3/h", -6, mbusSigned}},
		{0x40, 0x47, mbusQuantity{"flow", "m3/min", -7, mbusSigned}},
		{0x48, 0x4f, mbusQuantity{"flow", "m3/s", -9, mbusSigned}},
		{0x50, 0x57, mbusQuantity{"mass_flow", "kg/h", -3, mbusSigned}},
		{0x58, 0x5b, mbusQuantity{"flow_temperature", "Cel", -3, mbusSigned}},
		{0x5c, 0x5f, mbusQuantity{"return_temperature", "Cel", -3, mbusSigned}},
		{0x60, 0x63, mbusQuantity{"temperature_difference", "K", -3, mbusSigned}},
		{0x64, 0x67, mbusQuantity{"external_temperature", "Cel", -3, mbusSigned}},
		{0x68, 0x6b, mbusQuantity{"pressure", "bar", -3, mbusSigned}},
		{0x6c, 0x6c, mbusQuantity{"date", "", 0, mbusDate}},
		{0x6d, 0x6d, mbusQuantity{"date_time", "", 0, mbusDate}},
		{0x6e, 0x6e, mbusQuantity{"heat_cost_units", "1", 0, mbusSigned}},
		{0x78, 0x78, mbusQuantity{"fabrication_number", "", 0, mbusText}},
		{0x79, 0x79, mbusQuantity{"enhanced_id", "", 0, mbusText}},
		{0x7a, 0x7a, mbusQuantity{"bus_address", "1", 0, mbusUnsigned}},
	}, mbusDurations(0x20, "on_time"), mbusDurations(0x24, "operating_time"),
		mbusDurations(0x70, "averaging_duration"), mbusDurations(0x74, "actuality_duration"))

	mbusFB = mbusTable([]mbusRange{
		{0x00, 0x01, mbusQuantity{"energy", "MW.h", -1, mbusSigned}},
		{0x08, 0x09, mbusQuantity{"energy", "GJ", -1, mbusSigned}},
		{0x10, 0x11, mbusQuantity{"volume", "m3", 2, mbusSigned}},
		{0x18, 0x19, mbusQuantity{"mass", "t", 2, mbusSigned}},
		{0x1a, 0x1b, mbusQuantity{"relative_humidity", "%", -1, mbusSigned}},
		{0x28, 0x29, mbusQuantity{"power", "MW", -1, mbusSigned}},
		{0x2c, 0x2f, mbusQuantity{"frequency", "Hz", -3, mbusSigned}},
		{0x30, 0x31, mbusQuantity{"power", "GJ/h", -1, mbusSigned}},
		{0x58, 0x5b, mbusQuantity{"flow_temperature", "[degF]", -3, mbusSigned}},
		{0x5c, 0x5f, mbusQuantity{"return_temperature", "[degF]", -3, mbusSigned}},
		{0x64, 0x67, mbusQuantity{"external_temperature", "[degF]", -3, mbusSigned}},
		{0x74, 0x77, mbusQuantity{"temperature_limit", "Cel", -3, mbusSigned}},
		{0x78, 0x7f, mbusQuantity{"maximum_power_count", "W", -3, mbusSigned}},
	})

	mbusFD = mbusTable([]mbusRange{
		{0x08, 0x08, mbusQuantity{"access_number", "1", 0, mbusUnsigned}},
		{0x09, 0x09, mbusQuantity{"medium_code", "1", 0, mbusUnsigned}},
		{0x0a, 0x0a, mbusQuantity{"manufacturer_code", "", 0, mbusText}},
		{0x0b, 0x0b, mbusQuantity{"parameter_set", "", 0, mbusText}},
		{0x0c, 0x0c, mbusQuantity{"model_version", "", 0, mbusText}},
		{0x0d, 0x0d, mbusQuantity{"hardware_version", "", 0, mbusText}},
		{0x0e, 0x0e, mbusQuantity{"firmware_version", "", 0, mbusText}},
		{0x0f, 0x0f, mbusQuantity{"software_version", "", 0, mbusText}},
		{0x10, 0x10, mbusQuantity{"customer_location", "", 0, mbusText}},
		{0x11, 0x11, mbusQuantity{"customer", "", 0, mbusText}},
		{0x17, 0x17, mbusQuantity{"error_flags", "1", 0, mbusUnsigned}},
		{0x18, 0x18, mbusQuantity{"error_mask", "1", 0, mbusUnsigned}},
		{0x1a, 0x1a, mbusQuantity{"digital_output", "1", 0, mbusUnsigned}},
		{0x1b, 0x1b, mbusQuantity{"digital_input", "1", 0, mbusUnsigned}},
		{0x20, 0x20, mbusQuantity{"first_storage", "1", 0, mbusUnsigned}},
		{0x21, 0x21, mbusQuantity{"last_storage", "1", 0, mbusUnsigned}},
		{0x22, 0x22, mbusQuantity{"storage_size", "1", 0, mbusUnsigned}},
		{0x28, 0x28, mbusQuantity{"storage_interval", "mo", 0, mbusUnsigned}},
		{0x29, 0x29, mbusQuantity{"storage_interval", "a", 0, mbusUnsigned}},
		{0x30, 0x30, mbusQuantity{"tariff_start", "", 0, mbusDate}},
		{0x3a, 0x3a, mbusQuantity{"dimensionless", "1", 0, mbusSigned}},
		{0x40, 0x4f, mbusQuantity{"voltage", "V", -9, mbusSigned}},
		{0x50, 0x5f, mbusQuantity{"current", "A", -12, mbusSigned}},
		{0x60, 0x60, mbusQuantity{"reset_counter", "1", 0, mbusUnsigned}},
		{0x61, 0x61, mbusQuantity{"cumulation_counter", "1", 0, mbusUnsigned}},
		{0x6c, 0x6c, mbusQuantity{"battery_operating_time", "h", 0, mbusUnsigned}},
		{0x6d, 0x6d, mbusQuantity{"battery_operating_time", "d", 0, mbusUnsigned}},
		{0x6e, 0x6e, mbusQuantity{"battery_operating_time", "mo", 0, mbusUnsigned}},
		{0x6f, 0x6f, mbusQuantity{"battery_operating_time", "a", 0, mbusUnsigned}},
		{0x70, 0x70, mbusQuantity{"battery_change", "", 0, mbusDate}},
		{0x71, 0x71, mbusQuantity{"rssi", "dBm", 0, mbusSigned}},
		{0x74, 0x74, mbusQuantity{"remaining_battery_life", "d", 0, mbusUnsigned}},
		{0x75, 0x75, mbusQuantity{"stops", "1", 0, mbusUnsigned}},
	}, mbusDurations(0x24, "storage_interval"), mbusDurations(0x2c, "since_readout"))
)

// mbusDurations are four VIFs that differ in the unit.
func mbusDurations(first byte, name string) []mbusRange {
	var ranges []mbusRange
	for i, unit := range []string{"s", "min", "h", "d"} {
		vif := first + byte(i)
		ranges = append(ranges, mbusRange{vif, vif, mbusQuantity{name, unit, 0, mbusUnsigned}})
	}
	return ranges
}

func mbusTable(parts ...[]mbusRange) *[128]mbusQuantity {
	var table [128]mbusQuantity
	for _, ranges := range parts {
		for _, run := range ranges {
			for vif := run.first; vif <= run.last; vif++ {
				quantity := run.mbusQuantity
				quantity.exponent += int(vif - run.first)
				table[vif] = quantity
			}
		}
	}
	return &table
}

// quantity returns what the VIF means; false for one that is not known, and the maker's own.
func (m *mbusRecord) quantity() (mbusQuantity, bool) {
	table := mbusPrimary
	switch m.table {
	case 0xfb:
		table = mbusFB
	case 0xfd:
		table = mbusFD
	case 0xff:
		return mbusQuantity{}, false
	}
	quantity := table[m.vif]
	return quantity, quantity.name != ""
}

// mbusQualifiers are the VIFEs that make another quantity of one, as a suffix.
var mbusQualifiers = map[byte]string{
	0x12: "_average", 0x20: "_per_second", 0x21: "_per_minute", 0x22: "_per_hour", 0x23: "_per_day", 0x24: "_per_week", 0x25: "_per_month",
	0x26: "_per_year", 0x39: "_start", 0x3a: "_uncorrected", 0x3b: "_forward", 0x3c: "_reverse", 0x3e: "_base", 0x40: "_lower_limit",
	0x41: "_lower_limit_count", 0x48: "_upper_limit", 0x49: "_upper_limit_count", 0x7e: "_future",
}

// VIFEs with a meaning of their own.
const (
	vifeAverage        = 0x12
	vifeInverseProfile = 0x13
	vifeLastError      = 0x1f
	vifeFactor         = 0x70 // to 0x77: 10^-6 to 10^1
	vifeThousand       = 0x7d
)

// qualify adds what the VIFEs say; false when one of them makes something of the value that has no name here.
func (q *mbusQuantity) qualify(vifes []byte) (suffix string, known bool) {
	for _, vife := range vifes {
		code := vife &^ mbusExtended
		name, ok := mbusQualifiers[code]
		switch {
		case ok:
			suffix += name
		case code == 0, code <= vifeLastError && q.name == "error_flags": // a code about the record, beside which the flags hold
		case code >= vifeFactor && code <= vifeFactor+7:
			q.exponent += int(code-vifeFactor) - 6
		case code == vifeThousand:
			q.exponent += 3
		default:
			return "", false
		}
	}
	return suffix, true
}

// mbusField reads a record; false when it holds no value, with what was left out in words when it is no secret of the maker's.
func (m *mbusRecord) field(withStorage bool) (field Field, left string, ok bool) {
	quantity, known := m.quantity()
	if m.table == 0xff || m.coding == mbusSelection {
		return field, "", false
	}
	suffix, qualified := quantity.qualify(m.vifes)
	if !known || !qualified {
		return field, fmt.Sprintf("a record of VIF %s", m.vifText()), false
	}
	value, ok := m.value(&quantity)
	if !ok {
		return field, "", false
	}
	return Field{Name: m.name(quantity.name, suffix, withStorage), Unit: quantity.unit, Value: value}, "", true
}

func (m *mbusRecord) vifText() string {
	text := fmt.Sprintf("%02x", m.vif)
	if m.table != 0 {
		text = fmt.Sprintf("%02x %s", m.table, text)
	}
	if len(m.vifes) > 0 {
		text += fmt.Sprintf(" %x", m.vifes)
	}
	return text
}

func (m *mbusRecord) value(quantity *mbusQuantity) (Value, bool) {
	switch quantity.form {
	case mbusText:
		text := m.string()
		return Text(text), text != ""
	case mbusDate:
		at, ok := m.time()
		if !ok {
			return Value{}, false
		}
		layout := "2006-01-02T15:04:05"
		if len(m.data) == 2 {
			layout = "2006-01-02"
		}
		return Text(at.Format(layout)), true
	}
	number, ok := m.number(quantity.form == mbusUnsigned)
	number = mbusScale(number, quantity.exponent)
	return Number(number), ok && !math.IsInf(number, 0)
}

var mbusPowers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// mbusScale multiplies with a power of ten; a division keeps 0.236 what it is.
func mbusScale(number float64, exponent int) float64 {
	switch {
	case number == 0:
		return 0
	case exponent < 0 && -exponent < len(mbusPowers):
		return number / mbusPowers[-exponent]
	case exponent >= 0 && exponent < len(mbusPowers):
		return number * mbusPowers[exponent]
	}
	return number * math.Pow10(exponent)
}

// name is the quantity with what distinguishes the record, in this order: VIFEs, function, subunit, tariff, storage.
func (m *mbusRecord) name(quantity, suffix string, withStorage bool) string {
	var buffer [64]byte
	name := append(append(buffer[:0], quantity...), suffix...)
	switch m.function {
	case mbusMaximum:
		name = append(name, "_max"...)
	case mbusMinimum:
		name = append(name, "_min"...)
	case mbusDuringError:
		name = append(name, "_error"...)
	}
	if m.subunit > 0 {
		name = strconv.AppendUint(append(name, "_subunit_"...), uint64(m.subunit), 10)
	}
	if m.tariff > 0 {
		name = strconv.AppendUint(append(name, "_tariff_"...), uint64(m.tariff), 10)
	}
	if m.storage > 0 && withStorage {
		name = strconv.AppendUint(append(name, "_storage_"...), m.storage, 10)
	}
	if len(name) == len(quantity) {
		return quantity
	}
	return string(name)
}
