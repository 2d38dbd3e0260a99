package decoders

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Watteco (nke) Pulse Sens'O, three inputs for meters with a pulse output. Port 125. An odd first byte begins a frame in the
// manner of ZigBee's cluster library, big-endian: control with the endpoint, command, cluster, attribute, type, value, and
// after the value of a report what caused it. An even first byte begins a batch, see decodeWattecoBatch.
//
// Kinds: report (command 0a), alarm_report (8a), read_response (01), configure_response (07), reporting_configuration (09),
// batch.
//
//	index                       1   pulses counted; the channel is the input, 1 to 3
//	pin_state                       of an input
//	disposable_battery_voltage  V   called battery_voltage in the maker's reading of a batch
//	main_or_external_voltage, rechargeable_battery_voltage, solar_harvesting_voltage, tic_harvesting_voltage  V
//	current_power_source        1   a bit for each of these five, external first
//	multi_state                 1   in a batch
//	batch_counter               1   in the newest sample of a batch
//	alarm                           in reports: whether this one is an alarm
//	cause_alarm, cause_mode, cause_crossing, cause_criterion (1), cause_value, cause_gap, cause_count, cause_count_up,
//	cause_count_down, cause_field   why it was sent; the channel counts the causes of a report
//	firmware, kernel, manufacturer, model, date, position, application_name
//	polarity, edge_selection, debounce_period, poll_period, force_notify  of an input, as set
//	message_type, nb_retry, association_period (min), association_errors, data_rate, abp_dev_address, ota_app_eui
//	endpoint, input_clusters, output_clusters  what the device is made of; the channel counts its endpoints
//	status                      1   of answers; 0 is success
//	cluster, attribute, new_mode_configuration, cause_request, secured_if_alarm, secured, no_header_port, batch, min, max
//	                                how an attribute is reported, in s or min
//
// The thresholds for each attribute that follow in a reporting_configuration are not read.

func init() { register("watteco-pulse-senso", decodePulseSenso) }

const (
	wattecoPort   = 125
	wattecoInputs = 3

	wattecoRead          = 0x01
	wattecoConfigured    = 0x07
	wattecoConfiguration = 0x09
	wattecoReport        = 0x0a
	wattecoAlarm         = 0x8a
)

// The clusters of this product.
const (
	wattecoBasic       = 0x0000
	wattecoBinary      = 0x000f
	wattecoPower       = 0x0050
	wattecoLoRaWAN     = 0x8004
	wattecoMultiBinary = 0x8005
)

// The types of attributes of this product.
const (
	wattecoGeneral8   = 0x08
	wattecoGeneral48  = 0x0d
	wattecoBoolean    = 0x10
	wattecoBitmap16   = 0x19
	wattecoUint8      = 0x20
	wattecoUint32     = 0x23
	wattecoEnum8      = 0x30
	wattecoBytes      = 0x41
	wattecoText       = 0x42
	wattecoLongBytes  = 0x43
	wattecoStructured = 0x4c
)

// wattecoFrame is what is being read of a frame that is no batch.
type wattecoFrame struct {
	reader
	input     int // 1 to 3
	command   byte
	cluster   uint16
	attribute uint16
	fields    []Field
}

func decodePulseSenso(uplink Uplink) (Output, error) {
	if uplink.Port != wattecoPort {
		return Output{}, fmt.Errorf("%w: port %d, a Pulse Sens'O sends on %d", ErrUnknownKind, uplink.Port, wattecoPort)
	}
	if err := checkRadioLength(uplink.Payload); err != nil {
		return Output{}, err
	}
	if len(uplink.Payload) == 0 {
		return Output{}, fmt.Errorf("%w: empty", ErrMalformed)
	}
	if isBatch := uplink.Payload[0]&1 == 0; isBatch {
		return decodeWattecoBatch(uplink)
	}
	frame := wattecoFrame{reader: reader{payload: uplink.Payload, part: "head"}}
	control := frame.uint8()
	frame.input = int(control>>5|control&0x06<<2) + 1
	frame.command, frame.cluster = frame.uint8(), frame.bigUint16()
	var kind string
	switch frame.command {
	case wattecoReport:
		kind = "report"
		frame.readReport()
	case wattecoAlarm:
		kind = "alarm_report"
		frame.readReport()
	case wattecoRead:
		kind = "read_response"
		frame.readAnswer()
	case wattecoConfigured:
		kind = "configure_response"
		frame.readReporting(false)
	case wattecoConfiguration:
		kind = "reporting_configuration"
		frame.readReporting(true)
	default:
		frame.fail(fmt.Errorf("%w: command %02x (there are 01, 07, 09, 0a and 8a)", ErrUnknownKind, frame.command))
	}
	if err := frame.end(kind); err != nil {
		return Output{}, err
	}
	return Output{Kind: kind, Samples: []Sample{{Fields: frame.fields}}}, nil
}

func (f *wattecoFrame) bigUint16() uint16 {
	if b := f.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (f *wattecoFrame) bigUint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *wattecoFrame) add(name, unit string, value Value) {
	f.addChannel(name, 0, unit, value)
}

func (f *wattecoFrame) addChannel(name string, channel int, unit string, value Value) {
	if f.err != nil {
		return
	}
	if f.fields == nil {
		f.fields = make([]Field, 0, 8)
	}
	f.fields = append(f.fields, Field{Name: name, Channel: channel, Unit: unit, Value: value})
}

func (f *wattecoFrame) readReport() {
	f.attribute = f.bigUint16()
	size, indexed := f.readAttribute()
	f.add("alarm", "", Bool(f.command == wattecoAlarm))
	if f.more() {
		f.readCauses(size, indexed)
	}
}

// readAnswer reads the answer to a question; without success there is no value.
func (f *wattecoFrame) readAnswer() {
	f.attribute = f.bigUint16()
	status := f.uint8()
	f.add("status", "1", Number(status))
	if status == 0 {
		f.readAttribute()
		return
	}
	f.add("cluster", "", Text(wattecoHex(f.cluster)))
	f.add("attribute", "", Text(wattecoHex(f.attribute)))
	f.take(f.left()) // some send the type of nothing
}

// expect reads the type of the value and fails when it is none of these.
func (f *wattecoFrame) expect(types ...byte) {
	f.part = "value"
	got := f.uint8()
	for _, want := range types {
		if got == want {
			return
		}
	}
	f.fail(fmt.Errorf("%w: attribute %04x of cluster %04x has the type %02x, which it does not have", ErrMalformed, f.attribute, f.cluster, got))
}

// readAttribute reads the value. For the causes of a report it returns how many bytes a value has there, 0 when there are
// none, and whether causes name a field of it.
func (f *wattecoFrame) readAttribute() (size int, indexed bool) {
	switch f.cluster {
	case wattecoBinary:
		return f.readBinary(), false
	case wattecoMultiBinary:
		if f.attribute != 0 {
			f.unknownAttribute()
			return 0, false
		}
		f.expect(wattecoBitmap16)
		states := f.bigUint16() // the upper ones are inputs of other products
		for i := range wattecoInputs {
			f.addChannel("pin_state", i+1, "", Bool(states>>i&1 != 0))
		}
		return 2, false
	case wattecoPower:
		return f.readPower()
	case wattecoBasic:
		f.readBasic()
	case wattecoLoRaWAN:
		f.readLoRaWAN()
	default:
		f.fail(fmt.Errorf("%w: cluster %04x, a Pulse Sens'O has 0000, 000f, 0050, 8004 and 8005", ErrUnknownKind, f.cluster))
	}
	return 0, false
}

func (f *wattecoFrame) unknownAttribute() {
	f.fail(fmt.Errorf("%w: attribute %04x of cluster %04x", ErrUnknownKind, f.attribute, f.cluster))
}

// readBinary reads what an input counts, is and is set to.
func (f *wattecoFrame) readBinary() (size int) {
	if f.input > wattecoInputs {
		f.fail(fmt.Errorf("%w: endpoint %d, a Pulse Sens'O has %d", ErrUnknownKind, f.input-1, wattecoInputs))
	}
	number := func(name string) {
		f.expect(wattecoUint8, wattecoGeneral8, wattecoEnum8)
		f.addChannel(name, f.input, "1", Number(f.uint8()))
	}
	choice := func(name string, choices ...string) {
		f.expect(wattecoEnum8, wattecoUint8, wattecoGeneral8, wattecoBoolean)
		f.choose(name, f.input, choices)
	}
	switch f.attribute {
	case 0x0402:
		f.expect(wattecoUint32)
		f.addChannel("index", f.input, "1", Number(f.bigUint32()))
		return 4
	case 0x0055:
		f.expect(wattecoBoolean)
		f.addChannel("pin_state", f.input, "", Bool(f.uint8() != 0))
		return 1
	case 0x0054:
		choice("polarity", "normal", "reverse")
	case 0x0400:
		choice("edge_selection", "none", "falling edge", "rising edge", "both edges", "",
			"polling and falling edge", "polling and rising edge", "polling and both edges")
	case 0x0401:
		number("debounce_period")
	case 0x0403:
		number("poll_period")
	case 0x0404:
		number("force_notify")
	default:
		f.unknownAttribute()
	}
	return 0
}

// choose reads a byte that stands for one of the texts.
func (f *wattecoFrame) choose(name string, channel int, choices []string) {
	chosen := int(f.uint8())
	if chosen >= len(choices) || choices[chosen] == "" {
		f.fail(fmt.Errorf("%w: %s %d, which does not exist", ErrMalformed, name, chosen))
		return
	}
	f.addChannel(name, channel, "", Text(choices[chosen]))
}

func (f *wattecoFrame) readPower() (size int, indexed bool) {
	switch f.attribute {
	case 0x0004:
		f.readEndpoints()
		return 0, false
	case 0x0006:
		f.readSources()
		return 2, true
	default:
		f.unknownAttribute()
		return 0, false
	}
}

var wattecoSources = [5]string{
	"main_or_external_voltage", "rechargeable_battery_voltage", "disposable_battery_voltage", "solar_harvesting_voltage",
	"tic_harvesting_voltage",
}

// readSources reads modes, sources that are there, the voltage in mV of each, and which one is used.
func (f *wattecoFrame) readSources() {
	f.expect(wattecoBytes)
	end := int(f.uint8())
	end += f.at
	f.uint8() // modes
	sources := f.uint8()
	for i, name := range wattecoSources {
		if sources>>i&1 != 0 {
			f.add(name, "V", Number(float64(f.bigUint16())/1000))
		}
	}
	f.add("current_power_source", "1", Number(f.uint8()))
	f.endOfList(end)
}

// endOfList fails when a list of bytes is not as long as it says.
func (f *wattecoFrame) endOfList(end int) {
	if f.err == nil && f.at != end {
		f.fail(fmt.Errorf("%w: attribute %04x of cluster %04x ends at byte %d, it says %d", ErrMalformed, f.attribute, f.cluster, f.at, end))
	}
}

func (f *wattecoFrame) readEndpoints() {
	f.expect(wattecoLongBytes, wattecoStructured)
	end := int(f.bigUint16())
	end += f.at
	for i := range int(f.uint8()) {
		f.addChannel("endpoint", i+1, "1", Number(f.uint8()))
		f.readClusters("input_clusters", i+1)
		f.readClusters("output_clusters", i+1)
		if f.err != nil {
			return
		}
	}
	f.endOfList(end)
}

func (f *wattecoFrame) readClusters(name string, channel int) {
	ids := f.take(2 * int(f.uint8()))
	if len(ids) == 0 {
		return
	}
	var list strings.Builder
	for ; len(ids) > 0; ids = ids[2:] {
		if list.Len() > 0 {
			list.WriteByte(' ')
		}
		list.WriteString(wattecoHex(binary.BigEndian.Uint16(ids)))
	}
	f.addChannel(name, channel, "", Text(list.String()))
}

func wattecoHex(id uint16) string {
	return "0x" + strings.ToUpper(strconv.FormatUint(1<<16|uint64(id), 16)[1:])
}

func (f *wattecoFrame) readBasic() {
	switch f.attribute {
	case 0x0002:
		f.expect(wattecoGeneral48)
		if version := f.take(6); version != nil {
			build := uint32(version[3])<<16 | uint32(version[4])<<8 | uint32(version[5])
			f.add("firmware", "", Text(wattecoDotted(version[:3])+"."+strconv.FormatUint(uint64(build), 10)))
		}
	case 0x0003:
		f.readText("kernel")
	case 0x0004:
		f.readText("manufacturer")
	case 0x0005:
		f.readText("model")
	case 0x0006:
		f.readText("date")
	case 0x0010:
		f.readText("position")
	case 0x8001:
		f.readText("application_name")
	default:
		f.unknownAttribute()
	}
}

func (f *wattecoFrame) readText(name string) {
	f.expect(wattecoText)
	text := f.take(int(f.uint8()))
	if f.err == nil && !utf8.Valid(text) {
		f.fail(fmt.Errorf("%w: the %s is no text: %x", ErrMalformed, name, text))
	}
	if len(text) > 0 {
		f.add(name, "", Text(string(text)))
	}
}

func wattecoDotted(numbers []byte) string {
	var b []byte
	for i, number := range numbers {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(number), 10)
	}
	return string(b)
}

// readLoRaWAN reads settings of the radio.
func (f *wattecoFrame) readLoRaWAN() {
	list := func(length int) []byte {
		f.expect(wattecoBytes)
		if got := int(f.uint8()); f.err == nil && got != length {
			f.fail(fmt.Errorf("%w: attribute %04x of cluster %04x has %d bytes, not %d", ErrMalformed, f.attribute, f.cluster, got, length))
		}
		return f.take(length)
	}
	switch f.attribute {
	case 0x0000:
		f.expect(wattecoGeneral8, wattecoUint8)
		f.choose("message_type", 0, []string{"unconfirmed", "confirmed"})
	case 0x0001:
		f.expect(wattecoUint8, wattecoGeneral8)
		f.add("nb_retry", "1", Number(f.uint8()))
	case 0x0002:
		if b := list(4); b != nil {
			f.add("association_period", "min", Number(binary.BigEndian.Uint16(b)))
			f.add("association_errors", "1", Number(binary.BigEndian.Uint16(b[2:])))
		}
	case 0x0003:
		f.expect(wattecoBytes)
		if b := f.take(int(f.uint8())); len(b) >= 2 {
			f.add("data_rate", "1", Number(b[1]))
		} else {
			f.fail(fmt.Errorf("%w: %d bytes are no data rate", ErrMalformed, len(b)))
		}
	case 0x0004:
		if b := list(4); b != nil {
			f.add("abp_dev_address", "", Text(wattecoDotted(b)))
		}
	case 0x0005:
		if b := list(8); b != nil {
			f.add("ota_app_eui", "", Text(wattecoDotted(b)))
		}
	default:
		f.unknownAttribute()
	}
}

// readReporting reads how an attribute is reported, or that it was set.
func (f *wattecoFrame) readReporting(withPeriods bool) {
	status, parameters := f.uint8(), f.uint8()
	f.attribute = f.bigUint16()
	f.add("status", "1", Number(status))
	f.add("cluster", "", Text(wattecoHex(f.cluster)))
	f.add("attribute", "", Text(wattecoHex(f.attribute)))
	flag := func(name string, bit int) { f.add(name, "", Bool(parameters>>bit&1 != 0)) }
	flag("new_mode_configuration", 7)
	f.add("cause_request", "", Text([...]string{"none", "short", "long", "reserved"}[parameters>>4&3]))
	flag("secured_if_alarm", 3)
	flag("secured", 2)
	flag("no_header_port", 1)
	flag("batch", 0)
	if !withPeriods {
		return
	}
	isBatch := parameters&1 != 0
	if status == 0 && !isBatch { // the periods of a batch stand with each of its fields
		f.part = "periods"
		f.uint8() // type
		f.readPeriod("min")
		f.readPeriod("max")
	}
	f.take(f.left())
}

func (f *wattecoFrame) readPeriod(name string) {
	period, unit := f.bigUint16(), "s"
	if period&0x8000 != 0 {
		period, unit = period&0x7fff, "min"
	}
	f.add(name, unit, Number(period))
}

// readCauses reads what made the device report: short, a byte for each criterion; long, with the values it holds.
func (f *wattecoFrame) readCauses(size int, indexed bool) {
	f.part = "cause"
	form := f.uint8() >> 4 & 3
	if form != 1 && form != 2 || size == 0 {
		f.fail(fmt.Errorf("%w: form %d of a cause at attribute %04x of cluster %04x", ErrMalformed, form, f.attribute, f.cluster))
		return
	}
	for n := 1; f.more(); n++ {
		criterion := f.uint8()
		f.addChannel("cause_criterion", n, "1", Number(criterion&7))
		f.addChannel("cause_alarm", n, "", Bool(criterion&0x80 != 0))
		mode := [...]string{"unused", "delta", "threshold", "unused"}[criterion>>3&3]
		f.addChannel("cause_mode", n, "", Text(mode))
		if crossing := [...]string{"", "fall", "exceed", "exceed&fall"}[criterion>>5&3]; crossing != "" {
			f.addChannel("cause_crossing", n, "", Text(crossing))
		}
		if form == 2 {
			f.readCauseValues(n, mode == "threshold", size, indexed)
		}
	}
}

func (f *wattecoFrame) readCauseValues(n int, threshold bool, size int, indexed bool) {
	unit, divisor := "1", 1.0
	if indexed {
		// The fields of cluster 0050: modes, the used source, then the sources.
		if field := int(f.uint8()); field >= 2 && field-2 < len(wattecoSources) {
			unit, divisor = "V", 1000
			f.addChannel("cause_field", n, "", Text(strings.TrimSuffix(wattecoSources[field-2], "_voltage")))
		}
	}
	value := func(name string) {
		var number uint32
		for _, b := range f.take(size) {
			number = number<<8 | uint32(b)
		}
		f.addChannel(name, n, unit, Number(float64(number)/divisor))
	}
	value("cause_value")
	if !threshold {
		return
	}
	value("cause_gap")
	count := f.uint8()
	if isLong := count&0x80 != 0; !isLong {
		f.addChannel("cause_count", n, "1", Number(count))
		return
	}
	f.addChannel("cause_count_up", n, "1", Number(f.bigUint16()))
	f.addChannel("cause_count_down", n, "1", Number(f.bigUint16()))
}
