package decoders

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
)

// The data records of EN 13757-3 (M-Bus application layer), which water, heat and gas meters send over wires, wM-Bus and LoRaWAN.

// mbusFunction is the function field of a record.
type mbusFunction uint8

const (
	mbusInstantaneous mbusFunction = iota
	mbusMaximum
	mbusMinimum
	mbusDuringError
)

// mbusRecord is one data record, taken apart and not yet read.
type mbusRecord struct {
	function mbusFunction
	storage  uint64
	tariff   uint32
	subunit  uint32
	coding   byte // data field: low half of the DIF
	length   int  // of the data; for coding 0x0D what LVAR says
	lvar     byte // coding 0x0D only
	table    byte // 0: the primary table; 0xfb, 0xfd: the extensions; 0xff: the maker's
	vif      byte // without the extension bit
	vifes    []byte
	text     []byte // unit in plain text (VIF 0x7C), last character first
	data     []byte
}

// Data fields with a meaning of their own.
const (
	mbusReal      = 0x05
	mbusSelection = 0x08
	mbusVariable  = 0x0d
	mbusFiller    = 0x2f
	mbusMakerData = 0x0f
	mbusMakerMore = 0x1f
	mbusReadout   = 0x7f
	maxDIFE       = 10
	maxVIFE       = 10
	mbusExtended  = 0x80
)

// mbusLengths are the bytes of data for each coding.
var mbusLengths = [16]int{0, 1, 2, 3, 4, 4, 6, 8, 0, 1, 2, 3, 4, 0, 6, 0}

// mbusNext reads the next record; false at the end, and from where the maker's own data begin.
func mbusNext(r *reader, record *mbusRecord) bool {
	r.part = "data record"
	for r.more() {
		dif := r.uint8()
		switch dif {
		case mbusFiller:
			continue
		case mbusMakerData, mbusMakerMore:
			r.at = len(r.payload)
			return false
		}
		if dif&0x0f == 0x0f {
			if dif == mbusReadout {
				r.fail(fmt.Errorf("%w: a request for readout, which no meter sends", ErrUnknownKind))
			} else {
				r.fail(fmt.Errorf("%w: reserved DIF 0x%02x", ErrMalformed, dif))
			}
			return false
		}
		*record = mbusRecord{}
		record.readDIF(r, dif)
		record.readVIF(r)
		record.readLength(r)
		record.data = r.take(record.length)
		return r.err == nil
	}
	return false
}

func (m *mbusRecord) readDIF(r *reader, dif byte) {
	m.coding, m.function, m.storage = dif&0x0f, mbusFunction(dif>>4&3), uint64(dif>>6&1)
	for i, more := 0, dif; more&mbusExtended != 0 && r.err == nil; i++ {
		if i == maxDIFE {
			r.fail(fmt.Errorf("%w: more than %d DIFEs", ErrMalformed, maxDIFE))
			return
		}
		more = r.uint8()
		m.storage |= uint64(more&0x0f) << (1 + 4*i)
		m.tariff |= uint32(more>>4&3) << (2 * i)
		m.subunit |= uint32(more>>6&1) << i
	}
}

func (m *mbusRecord) readVIF(r *reader) {
	vif := r.uint8()
	more := vif
	switch vif {
	case 0xfb, 0xfd, 0xff:
		m.table = vif
		if vif == 0xff { // all that follows is the maker's
			m.vif = 0x7f
		} else {
			more = r.uint8()
			m.vif = more &^ mbusExtended
		}
	default:
		m.vif = vif &^ mbusExtended
		if m.vif == 0x7f {
			m.table = 0xff
		}
	}
	if m.table == 0 && m.vif == 0x7c {
		m.text = r.take(int(r.uint8()))
	}
	first := r.at
	for more&mbusExtended != 0 && r.err == nil {
		if r.at-first == maxVIFE {
			r.fail(fmt.Errorf("%w: more than %d VIFEs", ErrMalformed, maxVIFE))
			return
		}
		more = r.uint8()
	}
	m.vifes = r.payload[first:r.at]
}

func (m *mbusRecord) readLength(r *reader) {
	if m.coding != mbusVariable {
		m.length = mbusLengths[m.coding]
		return
	}
	m.lvar = r.uint8()
	switch l := m.lvar; {
	case l <= 0xbf:
		m.length = int(l)
	case l <= 0xc9:
		m.length = int(l - 0xc0)
	case l >= 0xd0 && l <= 0xd9:
		m.length = int(l - 0xd0)
	case l >= 0xe0 && l <= 0xef:
		m.length = int(l - 0xe0)
	case l >= 0xf0 && l <= 0xf4:
		m.length = 4 * int(l-0xec)
	case l == 0xf5:
		m.length = 48
	case l == 0xf6:
		m.length = 64
	default:
		r.fail(fmt.Errorf("%w: reserved LVAR 0x%02x", ErrMalformed, l))
	}
}

// isText says whether the data are text.
func (m *mbusRecord) isText() bool { return m.coding == mbusVariable && m.lvar <= 0xbf }

// isBCD says whether the data are decimal digits.
func (m *mbusRecord) isBCD() bool {
	return m.coding >= 0x09 && m.coding <= 0x0e && m.coding != mbusVariable ||
		m.coding == mbusVariable && m.lvar >= 0xc0 && m.lvar <= 0xd9
}

// number reads the data as a number; false when the meter says that there is none, or they are none.
func (m *mbusRecord) number(unsigned bool) (float64, bool) {
	switch {
	case len(m.data) == 0 || m.isText():
		return 0, false
	case m.isBCD():
		number, ok := mbusBCD(m.data)
		if m.coding == mbusVariable && m.lvar >= 0xd0 {
			number = -number
		}
		return number, ok
	case m.coding == mbusReal:
		number := float64(math.Float32frombits(binary.LittleEndian.Uint32(m.data)))
		return number, !math.IsNaN(number) && !math.IsInf(number, 0)
	case len(m.data) > 8:
		return 0, false
	}
	var raw uint64
	for i, b := range m.data {
		raw |= uint64(b) << (8 * i)
	}
	bits := 8 * len(m.data)
	if unsigned {
		return float64(raw), raw != 1<<bits-1 // type C: all ones is no value
	}
	signed := int64(raw<<(64-bits)) >> (64 - bits)
	return float64(signed), signed != -1<<(bits-1) // type B: the least number is no value
}

// mbusBCD reads type A: digits from the lowest on; an F in front is a minus.
func mbusBCD(data []byte) (float64, bool) {
	number, power, sign := 0.0, 1.0, 1.0
	for i := range 2 * len(data) {
		digit := data[i/2] >> (4 * (i % 2)) & 0x0f
		if digit > 9 {
			if digit != 0x0f || i != 2*len(data)-1 {
				return 0, false
			}
			digit, sign = 0, -1
		}
		number += float64(digit) * power
		power *= 10
	}
	if number == 0 {
		return 0, true
	}
	return sign * number, true
}

// string reads text, or digits with their zeros in front; "" when there are none. Both come last character first.
func (m *mbusRecord) string() string {
	switch {
	case m.isBCD():
		return mbusDigits(m.data)
	case m.isText():
		text := make([]byte, 0, len(m.data))
		for i := len(m.data) - 1; i >= 0; i-- {
			if c := m.data[i]; c >= 0x20 && c < 0x7f {
				text = append(text, c)
			}
		}
		return string(text)
	}
	if number, ok := m.number(true); ok {
		return strconv.FormatFloat(number, 'f', -1, 64)
	}
	return ""
}

// mbusDigits writes BCD out; "" when a digit is none.
func mbusDigits(data []byte) string {
	text := make([]byte, 0, 2*len(data))
	for i := len(data) - 1; i >= 0; i-- {
		if data[i]>>4 > 9 || data[i]&0x0f > 9 {
			return ""
		}
		text = append(text, '0'+data[i]>>4, '0'+data[i]&0x0f)
	}
	return string(text)
}

// time reads the types G (date), F (to the minute) and I (to the second), by the length of the data. The meter does not say
// its zone. The time of day alone (type J) is no time.
func (m *mbusRecord) time() (time.Time, bool) {
	data := m.data
	if m.isBCD() || m.isText() {
		return time.Time{}, false
	}
	var second, minute, hour int
	switch len(data) {
	case 2:
	case 4:
		if data[0]&0x80 != 0 {
			return time.Time{}, false
		}
		minute, hour = int(data[0]&0x3f), int(data[1]&0x1f)
	case 6:
		if data[1]&0x80 != 0 {
			return time.Time{}, false
		}
		second, minute, hour = int(data[0]&0x3f), int(data[1]&0x3f), int(data[2]&0x1f)
	default:
		return time.Time{}, false
	}
	date := data[len(data)-2:]
	if len(data) == 6 {
		date = data[3:5]
	}
	day, month := int(date[0]&0x1f), time.Month(date[1]&0x0f)
	year := 2000 + int(date[0]>>5) + int(date[1]>>4)<<3
	if len(data) == 4 {
		// Type F has hundreds of years from 1900 on; meters that leave them 0 mean this century until 2080.
		if hundreds := int(data[1] >> 5 & 3); hundreds > 0 {
			year += 100 * (hundreds - 1)
		} else if year > 2080 {
			year -= 100
		}
	}
	at := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	if at.Month() != month || at.Day() != day || hour > 23 || minute > 59 || second > 59 || year > 2099 {
		return time.Time{}, false
	}
	return at, true
}
