package decoders

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// SenML in JSON (RFC 8428): a list of records with names, times, units and values, of which a base may be given once for those that
// follow.
//
// Kind: senml. A field is called as its record's n or, when that is empty, the base name; of it the last part behind : or /, in small letters
// with _ for what is no letter or digit, and n_ before a digit. Units are those of SenML in UCUM. Records of one time make a sample; a time
// below 2^28 is relative to the receipt. Data values (vd) and sums (s) are left out.

func init() { register("senml", decodeSenML) }

const (
	maxSenMLSamples  = 1000
	senMLVersion     = 10
	senMLRelativeEnd = 1 << 28 // RFC 8428 section 4.5.3
)

// senMLUnits are units of SenML (RFC 8428 section 12.1, RFC 8798) and what they are in UCUM.
var senMLUnits = map[string]string{
	"": "1", "/": "1", "1": "1", "count": "1", "%": "%", "%RH": "%", "%EL": "%", "Cel": "Cel", "K": "K", "V": "V", "A": "A", "W": "W",
	"Wh": "W.h", "kWh": "kW.h", "lx": "lx", "m": "m", "mm": "mm", "cm": "cm", "l": "L", "m3": "m3", "m3/h": "m3/h", "Hz": "Hz", "s": "s", "min": "min",
	"h": "h", "deg": "deg", "lat": "deg", "lon": "deg", "hPa": "hPa", "ppm": "[ppm]", "dB": "dB", "dBm": "dBm", "mV": "mV", "mA": "mA", "ms": "ms",
	"B": "By", "EL": "1",
}

// senML is a list of records on its way.
type senML struct {
	received    time.Time
	name, unit  string // the base values
	time, value float64
	samples     []Sample
}

// senMLRecord is one record with its base values resolved.
type senMLRecord struct {
	name, unit string
	time       float64
	value      Value
}

func decodeSenML(uplink Uplink) (Output, error) {
	message, err := parseJSON(uplink.Payload)
	if err != nil {
		return Output{}, err
	}
	if !message.IsArray() {
		return Output{}, fmt.Errorf("%w: SenML is a list of records", ErrUnknownKind)
	}
	s := senML{received: uplink.Received.UTC()}
	message.ForEach(func(_, record gjson.Result) bool {
		err = s.read(record)
		return err == nil
	})
	if err != nil {
		return Output{}, err
	}
	if len(s.samples) == 0 {
		return Output{}, fmt.Errorf("%w: no record has a value", ErrMalformed)
	}
	for i := range s.samples {
		if len(s.samples) > 1 && s.samples[i].Time.IsZero() {
			s.samples[i].Time = s.received // now, beside others of other times
		}
	}
	slices.SortStableFunc(s.samples, func(a, b Sample) int { return a.Time.Compare(b.Time) })
	return Output{Kind: "senml", Samples: s.samples}, nil
}

// read takes the base values of a record over and adds its own to the sample of its time.
func (s *senML) read(written gjson.Result) error {
	if !written.IsObject() {
		return fmt.Errorf("%w: %.40s is not a record", ErrMalformed, written.Raw)
	}
	record := senMLRecord{}
	hasNumber, number := false, 0.0
	var err error
	written.ForEach(func(key, value gjson.Result) bool {
		switch label := key.Str; label {
		case "bn":
			s.name, err = senMLText(label, value)
		case "bu":
			s.unit, err = senMLText(label, value)
		case "bt":
			s.time, err = senMLNumber(label, value)
		case "bv":
			s.value, err = senMLNumber(label, value)
		case "bver":
			var version float64
			if version, err = senMLNumber(label, value); err == nil && version > senMLVersion {
				err = fmt.Errorf("%w: version %v of SenML, known are those to %d", ErrUnknownKind, version, senMLVersion)
			}
		case "n":
			record.name, err = senMLText(label, value)
		case "u":
			record.unit, err = senMLText(label, value)
		case "t":
			record.time, err = senMLNumber(label, value)
		case "v":
			hasNumber = true
			number, err = senMLNumber(label, value)
		case "vs":
			var text string
			if text, err = senMLText(label, value); text != "" {
				record.value = Text(text)
			}
		case "vb":
			if !value.IsBool() {
				err = fmt.Errorf("%w: vb is %.40s, not true or false", ErrMalformed, value.Raw)
			}
			record.value = Bool(value.Bool())
		default:
			if strings.HasSuffix(label, "_") { // RFC 8428 section 4.4: must be understood
				err = fmt.Errorf("%w: the label %.40q", ErrUnknownKind, label)
			}
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	if hasNumber {
		record.value = Number(senMLSum(s.value, number))
	}
	if record.value.Kind() == KindNone {
		return nil
	}
	return s.add(record)
}

func (s *senML) add(record senMLRecord) error {
	field := Field{Name: senMLName(s.name, record.name), Value: record.value}
	if field.Name == "" {
		return fmt.Errorf("%w: a value without a name", ErrMalformed)
	}
	if record.value.Kind() == KindNumber {
		unit := record.unit
		if unit == "" {
			unit = s.unit
		}
		known, ok := senMLUnits[unit]
		if !ok {
			return fmt.Errorf("%w: the unit %.20q of %s", ErrUnknownKind, unit, field.Name)
		}
		field.Unit = known
	}
	moment, err := s.moment(senMLSum(s.time, record.time))
	if err != nil {
		return err
	}
	for i := range s.samples {
		if s.samples[i].Time.Equal(moment) {
			s.samples[i].Fields = append(s.samples[i].Fields, field)
			return nil
		}
	}
	if len(s.samples) == maxSenMLSamples {
		return fmt.Errorf("%w: more than %d different times", ErrMalformed, maxSenMLSamples)
	}
	s.samples = append(s.samples, Sample{Time: moment, Fields: []Field{field}})
	return nil
}

// moment resolves a time in seconds; the zero time for now.
func (s *senML) moment(seconds float64) (time.Time, error) {
	const year10000 = 253402300800
	switch {
	case seconds == 0:
		return time.Time{}, nil
	case seconds >= year10000 || seconds <= -senMLRelativeEnd:
		return time.Time{}, fmt.Errorf("%w: %v is no time", ErrMalformed, seconds)
	case seconds < senMLRelativeEnd:
		return s.received.Add(time.Duration(math.Round(seconds*1000)) * time.Millisecond), nil
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
}

// senMLSum adds a base value and takes away what binary arithmetic added.
func senMLSum(base, number float64) float64 {
	if base == 0 {
		return number
	}
	sum, err := strconv.ParseFloat(strconv.FormatFloat(base+number, 'g', 15, 64), 64)
	if err != nil {
		return base + number
	}
	return sum
}

func senMLText(label string, value gjson.Result) (string, error) {
	if value.Type != gjson.String {
		return "", fmt.Errorf("%w: %s is %.40s, not a text", ErrMalformed, label, value.Raw)
	}
	return strings.Clone(value.Str), checkJSONText(value.Str, label)
}

func senMLNumber(label string, value gjson.Result) (float64, error) {
	if value.Type != gjson.Number {
		return 0, fmt.Errorf("%w: %s is %.40s, not a number", ErrMalformed, label, value.Raw)
	}
	number, err := strconv.ParseFloat(value.Raw, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s is not a number that can be held: %.40s", ErrMalformed, label, value.Raw)
	}
	return number, nil
}

// senMLName makes the name of a field; "" when there is nothing to make it of.
func senMLName(base, name string) string {
	if name == "" {
		name = base
	}
	name = strings.TrimRight(name, ":/")
	name = name[strings.LastIndexAny(name, ":/")+1:]
	snake := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '_'
	}, name)
	if snake = strings.TrimLeft(snake, "_"); snake != "" && snake[0] <= '9' {
		snake = "n_" + snake
	}
	return snake
}
