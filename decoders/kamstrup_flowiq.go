package decoders

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kamstrup flowIQ and MULTICAL 21 water meters with LoRaWAN: M-Bus records (mbus.go) without a link layer. The date in storage n
// is that of all values in storage n, so names have no _storage suffix and each time is a sample; times are taken for UTC.
// Values without a date come in a first sample without a time.
//
// Kinds: profile (a value and older ones, as differences), values, installation (says who the meter is and its configuration).
//
//	volume, volume_reverse, volume_error               m3    _error: while there was an error
//	flow, flow_min, flow_max                           m3/h
//	flow_temperature, flow_temperature_min, _max       Cel   external_temperature alike
//	dry, reverse, leak, burst, tamper, low_battery, low_ambient_temperature, high_ambient_temperature   the info code, true or false
//	ald, ald_last_day                                  1     acoustic leak detection, noise level
//	config_number                                      1
//	manufacturer, meter_id, version, medium            installation only
//	meter_address                                            all of these as 16 hexadecimal digits
//
// Encrypted frames (security mode 10, ports 4 and 6) need the meter's key. Those on port 4 also need its address, which takes
// part in the encryption and is sent in the installation frame on port 6 only.

func init() { register("kamstrup-flowiq", decodeFlowIQ) }

func decodeFlowIQ(uplink Uplink) (Output, error) {
	if err := checkRadioLength(uplink.Payload); err != nil {
		return Output{}, err
	}
	telegram := mbusTelegram{}
	if len(uplink.Meter) == MeterBytes {
		telegram.address, telegram.known = mbusLongAddress(uplink.Meter), true
	}
	if err := telegram.open(uplink.Payload, uplink.Key); err != nil {
		return Output{}, err
	}
	var log flowIQLog
	if err := log.read(telegram.records); err != nil {
		return Output{}, err
	}
	if len(log.records) == 0 {
		return Output{}, fmt.Errorf("%w: no value in it", ErrMalformed)
	}
	kind := "values"
	if uplink.Payload[0] == mbusLongHeader {
		kind = "installation"
		log.identify(&telegram.address)
	}
	for i := range log.records {
		if err := log.add(&log.records[i]); err != nil {
			return Output{}, err
		}
	}
	if len(log.dated) == 0 {
		return Output{}, fmt.Errorf("%w: no value in it", ErrMalformed)
	}
	if log.profile {
		kind = "profile"
	}
	return Output{Kind: kind, Samples: log.samples(), Warnings: log.warnings}, nil
}

// flowIQLog is what the records of a frame say together.
type flowIQLog struct {
	records  []mbusRecord
	times    []flowIQTime
	dated    []flowIQDated
	profile  bool
	warnings []string
}

// flowIQTime is when the values of a storage were true.
type flowIQTime struct {
	storage uint64
	at      time.Time
}

type flowIQDated struct {
	at    time.Time
	field Field
}

// read finds the records and the dates among them.
func (l *flowIQLog) read(payload []byte) error {
	r := reader{payload: payload}
	l.records = make([]mbusRecord, 0, 4)
	l.times = make([]flowIQTime, 0, 2)
	l.dated = make([]flowIQDated, 0, 16)
	var record mbusRecord
	for mbusNext(&r, &record) {
		if record.table == 0 && (record.vif == 0x6c || record.vif == 0x6d) && len(record.vifes) == 0 {
			if at, ok := record.time(); ok {
				l.times = append(l.times, flowIQTime{record.storage, at})
			} else {
				l.warnings = append(l.warnings, "a date that is not valid")
			}
			continue
		}
		l.records = append(l.records, record)
	}
	return r.err
}

// time returns when the values of a storage were true, the zero time when the frame does not say it.
func (l *flowIQLog) time(storage uint64) time.Time {
	for i := range l.times {
		if l.times[i].storage == storage {
			return l.times[i].at
		}
	}
	return time.Time{}
}

// put notes a value.
func (l *flowIQLog) put(at time.Time, name, unit string, value Value) {
	l.dated = append(l.dated, flowIQDated{at, Field{Name: name, Unit: unit, Value: value}})
}

func (l *flowIQLog) identify(address *mbusAddress) {
	for _, field := range (&mbusTelegram{address: *address, known: true}).identity(nil) {
		l.dated = append(l.dated, flowIQDated{field: field})
	}
	bytes := append(append(address.identification[:], address.maker[:]...), address.version, address.medium)
	l.put(time.Time{}, "meter_address", "", Text(hex.EncodeToString(bytes)))
}

// The maker's own VIFEs.
const (
	flowIQConfig     = 0x16
	flowIQALD        = 0x1b
	flowIQALDLastDay = 0x1c
	flowIQInfo       = 0x25

	flowIQNoALD = 4095
)

var flowIQInfoBits = [...]string{"dry", "reverse", "leak", "burst", "tamper", "low_battery", "low_ambient_temperature", "high_ambient_temperature"}

func (l *flowIQLog) add(record *mbusRecord) error {
	switch {
	case record.table == 0xff && len(record.vifes) > 0:
		l.addOwn(record)
		return nil
	case slices.Contains(record.vifes, vifeInverseProfile) || slices.Contains(record.vifes, vifeInverseProfile|mbusExtended):
		return l.addProfile(record)
	}
	field, left, ok := record.field(false)
	if ok {
		l.put(l.time(record.storage), field.Name, field.Unit, field.Value)
	} else if left != "" {
		l.warnings = append(l.warnings, "left out "+left)
	}
	return nil
}

func (l *flowIQLog) addOwn(record *mbusRecord) {
	at := l.time(record.storage)
	number, ok := record.number(true)
	name := ""
	switch record.vifes[0] {
	case flowIQInfo:
		if len(record.data) == 0 || record.isText() {
			return
		}
		for bit, name := range flowIQInfoBits {
			l.put(at, name, "", Bool(record.data[0]>>bit&1 != 0))
		}
		return
	case flowIQALD:
		name = "ald"
	case flowIQALDLastDay:
		name, ok = "ald_last_day", ok && number != flowIQNoALD
	case flowIQConfig:
		name = "config_number"
	default:
		l.warnings = append(l.warnings, "left out a record of VIF "+record.vifText())
		return
	}
	if ok {
		l.put(at, record.name(name, "", false), "1", Number(number))
	}
}

var errNoBase = errors.New("no value that the differences of a profile start from")

// addProfile works out the older values of an inverse compact profile (EN 13757-3 annex F) from the value of the same name and
// storage.
func (l *flowIQLog) addProfile(record *mbusRecord) error {
	const control, spacing, head = 0, 1, 2
	quantity, known := record.quantity()
	base, ok := l.base(record)
	at := l.time(record.storage)
	switch {
	case record.coding != mbusVariable || len(record.data) <= head || !record.isText():
		return fmt.Errorf("%w: a profile without differences", ErrMalformed)
	case !known || !ok:
		return fmt.Errorf("%w: %w", ErrMalformed, errNoBase)
	case at.IsZero():
		return fmt.Errorf("%w: no date that the differences of a profile start from", ErrMalformed)
	}
	size, unit, mode := int(record.data[control]&0x0f), record.data[control]>>4&3, record.data[control]>>6
	differences := record.data[head:]
	if size < 1 || size > 4 || mode == 0 || len(differences)%size != 0 {
		return fmt.Errorf("%w: a profile of %d bytes with control 0x%02x", ErrMalformed, len(record.data), record.data[control])
	}
	l.profile = true
	start := len(l.dated)
	defer func() { slices.Reverse(l.dated[start:]) }() // oldest first, which is nearly the order that samples wants
	name := record.name(quantity.name, "", false)
	for i := 1; len(differences) > 0; i++ {
		element := mbusRecord{coding: byte(size), data: differences[:size]}
		difference, ok := element.number(mode != 3)
		older, dated := flowIQBefore(at, record.data[spacing], unit, i)
		if !ok || !dated {
			l.warnings = append(l.warnings, "a profile that is not valid to its end")
			return nil
		}
		if mode == 2 {
			difference = -difference
		}
		base -= difference
		l.put(older, name, quantity.unit, Number(mbusScale(base, quantity.exponent)))
		differences = differences[size:]
	}
	return nil
}

// base returns the number that a profile starts from.
func (l *flowIQLog) base(profile *mbusRecord) (float64, bool) {
	for i := range l.records {
		r := &l.records[i]
		if len(r.vifes) == 0 && r.table == profile.table && r.vif == profile.vif && r.storage == profile.storage &&
			r.function == profile.function && r.tariff == profile.tariff && r.subunit == profile.subunit {
			return r.number(false)
		}
	}
	return 0, false
}

// flowIQBefore returns the time of the i-th older value: up to 250 units apart, or months.
func flowIQBefore(at time.Time, spacing, unit byte, i int) (time.Time, bool) {
	const most, months = 250, 254
	switch {
	case spacing >= 1 && spacing <= most:
		step := [...]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}[unit]
		return at.Add(-step * time.Duration(spacing) * time.Duration(i)), true
	case spacing == months && unit > 0:
		apart := [...]int{1: 6, 2: 3, 3: 1}[unit]
		first := time.Date(at.Year(), at.Month()-time.Month(apart*i), 1, at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		return first.AddDate(0, 0, min(at.Day(), last)-1), true
	}
	return time.Time{}, false
}

// samples puts the values of one time together.
func (l *flowIQLog) samples() []Sample {
	slices.SortStableFunc(l.dated, func(a, b flowIQDated) int { return a.at.Compare(b.at) })
	fields := make([]Field, 0, len(l.dated))
	samples := make([]Sample, 0, len(l.dated))
	for first := 0; first < len(l.dated); {
		at, start := l.dated[first].at, len(fields)
		for first < len(l.dated) && l.dated[first].at.Equal(at) {
			fields = append(fields, l.dated[first].field)
			first++
		}
		samples = append(samples, Sample{Time: at, Fields: fields[start:len(fields):len(fields)]})
	}
	return samples
}
