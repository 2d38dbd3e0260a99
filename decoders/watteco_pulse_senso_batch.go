package decoders

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// A batch holds series of values with their times, packed to the bit. Bits come from the low end of each byte; a number of
// more than 8 bits begins with the bits above its lowest whole bytes. Times are seconds of the device's own counter; the last
// one is that of sending, so that the time of reception gives the others.
//
// In order: flags (bit 1: one list of times for all series, bit 2: no samples beyond the first of each series, upper four: how many
// series), counter (3 bits), a bit without use, for each series its tag, the time and value of its first sample and how its
// differences are coded; the other samples; the time of sending.
//
// A difference is a Huffman code, which gives its number of bits, and these bits. Code 0 is no difference, code 15 a value in
// full.

const (
	wattecoTagBits  = 4
	wattecoMaxCode  = 11 // bits
	wattecoInFull   = 15
	wattecoTimeCode = 1 // table for times outside of a list
	wattecoTables   = 3
)

// wattecoTag says what a series holds.
type wattecoTag struct {
	name       string
	channel    int
	unit       string
	bits       int
	resolution int64 // that differences are multiples of
	divisor    float64
}

var wattecoTags = [8]wattecoTag{
	{"index", 1, "1", 32, 1, 1},
	{"index", 2, "1", 32, 1, 1},
	{"index", 3, "1", 32, 1, 1},
	{"pin_state", 1, "", 1, 1, 1},
	{"pin_state", 2, "", 1, 1, 1},
	{"pin_state", 3, "", 1, 1, 1},
	{"disposable_battery_voltage", 0, "V", 16, 100, 1000},
	{"multi_state", 0, "1", 16, 1, 100},
}

func (t *wattecoTag) field(value int64) Field {
	field := Field{Name: t.name, Channel: t.channel, Unit: t.unit}
	if t.unit == "" {
		field.Value = Bool(value != 0)
	} else {
		field.Value = Number(float64(value) / t.divisor)
	}
	return field
}

// wattecoCode is one Huffman code: how many bits, and which, the first one highest.
type wattecoCode struct{ bits, code uint16 }

// The published tables. The place of a code in its table is what it stands for.
var wattecoHuffman = [wattecoTables][wattecoInFull + 1]wattecoCode{
	{
		{2, 0x000}, {2, 0x001}, {2, 0x003}, {3, 0x005}, {4, 0x009}, {5, 0x011}, {6, 0x021}, {7, 0x041},
		{8, 0x081}, {10, 0x200}, {11, 0x402}, {11, 0x403}, {11, 0x404}, {11, 0x405}, {11, 0x406}, {11, 0x407},
	},
	{
		{7, 0x06f}, {5, 0x01a}, {4, 0x00c}, {3, 0x003}, {3, 0x007}, {2, 0x002}, {2, 0x000}, {3, 0x002},
		{6, 0x036}, {9, 0x1bb}, {9, 0x1b9}, {10, 0x375}, {10, 0x374}, {10, 0x370}, {11, 0x6e3}, {11, 0x6e2},
	},
	{
		{4, 0x009}, {3, 0x005}, {2, 0x000}, {2, 0x001}, {2, 0x003}, {5, 0x011}, {6, 0x021}, {7, 0x041},
		{8, 0x081}, {10, 0x200}, {11, 0x402}, {11, 0x403}, {11, 0x404}, {11, 0x405}, {11, 0x406}, {11, 0x407},
	},
}

// wattecoMeaning is what a code stands for and how many bits it has.
type wattecoMeaning struct{ meaning, bits uint8 }

// wattecoMeanings finds a code in the next 11 bits as they lie in a batch, the first one lowest. Each row of bits begins with
// a code.
var wattecoMeanings = func() (meanings [wattecoTables][1 << wattecoMaxCode]wattecoMeaning) {
	for table := range wattecoHuffman {
		for meaning, code := range wattecoHuffman[table] {
			first := int(bits.Reverse16(code.code) >> (16 - code.bits))
			for row := first; row < len(meanings[table]); row += 1 << code.bits {
				meanings[table][row] = wattecoMeaning{uint8(meaning), uint8(code.bits)}
			}
		}
	}
	return meanings
}()

// wattecoSeries is where the reading of a series stands.
type wattecoSeries struct {
	tag    uint8
	coding uint8 // 0: differences of both signs, 1: all up, 2 and 3: all down
	table  uint8
	at     uint32
	value  int64
}

// wattecoValue is one value of one series.
type wattecoValue struct {
	at    uint32
	tag   uint8
	value int64
}

// wattecoBatch is what is being read of a batch.
type wattecoBatch struct {
	payload []byte
	bit     int
	err     error
	series  [len(wattecoTags)]wattecoSeries
	count   int // of series
	values  []wattecoValue
}

func decodeWattecoBatch(uplink Uplink) (Output, error) {
	batch := wattecoBatch{payload: uplink.Payload, values: make([]wattecoValue, 0, 32)}
	flags := batch.number(8)
	commonTimes, samples := flags&2 != 0, flags&4 == 0
	counter := batch.number(3)
	batch.number(1)
	last := batch.readFirst(int(flags>>4), samples)
	switch {
	case samples && commonTimes:
		last = batch.readTogether()
	case samples:
		last = batch.readApart(last)
	}
	sent := batch.time(last)
	if batch.err == nil && batch.bit <= 8*(len(batch.payload)-1) {
		batch.fail("the batch ends in byte %d", batch.bit/8)
	}
	for i := range batch.values {
		if batch.values[i].at > sent {
			batch.fail("a sample of %d s, which was sent at %d s", batch.values[i].at, sent)
		}
	}
	if batch.err != nil {
		return Output{}, batch.err
	}
	return batch.output(uplink.Received, sent, counter)
}

func (b *wattecoBatch) fail(format string, values ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: %d bytes, "+format, append([]any{ErrMalformed, len(b.payload)}, values...)...)
	}
}

// has says whether the next bits are there.
func (b *wattecoBatch) has(count int) bool {
	if b.err == nil && b.bit+count > 8*len(b.payload) {
		b.fail("too few for a batch (%d more bits expected at bit %d)", count, b.bit)
	}
	return b.err == nil
}

// window returns at least the next 17 bits, the first one lowest; beyond the payload they are 0.
func (b *wattecoBatch) window() uint32 {
	var window uint32
	at := b.bit / 8
	if at+3 <= len(b.payload) {
		window = uint32(b.payload[at]) | uint32(b.payload[at+1])<<8 | uint32(b.payload[at+2])<<16
	} else {
		for i := at; i < len(b.payload); i++ {
			window |= uint32(b.payload[i]) << (8 * (i - at))
		}
	}
	return window >> (b.bit % 8)
}

// number reads a number of up to 32 bits.
func (b *wattecoBatch) number(count int) uint32 {
	if !b.has(count) {
		return 0
	}
	var number uint32
	for count > 0 {
		part := (count-1)%8 + 1
		number = number<<part | b.window()&(1<<part-1)
		b.bit += part
		count -= part
	}
	return number
}

// flag reads one bit.
func (b *wattecoBatch) flag() bool {
	if !b.has(1) {
		return false
	}
	set := b.payload[b.bit/8]>>(b.bit%8)&1 != 0
	b.bit++
	return set
}

// code reads a Huffman code and returns what it stands for.
func (b *wattecoBatch) code(table uint8) int {
	if table >= wattecoTables {
		b.fail("table %d of codes, there are %d", table, wattecoTables)
		return 0
	}
	code := wattecoMeanings[table][b.window()&(1<<wattecoMaxCode-1)]
	if !b.has(int(code.bits)) {
		return 0
	}
	b.bit += int(code.bits)
	return int(code.meaning)
}

// time reads a time after another one; after 0, which is none, it stands there in full.
func (b *wattecoBatch) time(before uint32) uint32 {
	if before == 0 {
		return b.number(32)
	}
	return b.later(before, b.code(wattecoTimeCode))
}

// later reads the rest of a time whose code is known.
func (b *wattecoBatch) later(before uint32, code int) uint32 {
	switch code {
	case 0:
		return before
	case wattecoInFull:
		return b.number(32)
	}
	later := uint64(before) + uint64(b.number(code)) + 1<<code - 1
	if later>>32 != 0 {
		b.fail("a time beyond 32 bits")
	}
	return uint32(later)
}

// readFirst reads the first sample of each series and returns the time of the last one.
func (b *wattecoBatch) readFirst(count int, samples bool) (last uint32) {
	if count == 0 {
		b.fail("a batch without a series")
	}
	for range count {
		tag := uint8(b.number(wattecoTagBits))
		if b.err == nil && int(tag) >= len(wattecoTags) {
			b.fail("tag %d, there are 0 to %d", tag, len(wattecoTags)-1)
		}
		if b.err != nil {
			return 0
		}
		if b.find(tag) != nil {
			b.fail("tag %d comes twice", tag)
			return 0
		}
		last = b.time(last)
		series := &b.series[b.count]
		b.count++
		*series = wattecoSeries{tag: tag, at: last, value: int64(b.number(wattecoTags[tag].bits))}
		if samples {
			series.coding, series.table = uint8(b.number(2)), uint8(b.number(2))
		}
		b.keep(series)
	}
	return last
}

// find returns the series of a tag, nil when there is none.
func (b *wattecoBatch) find(tag uint8) *wattecoSeries {
	for i := range b.series[:b.count] {
		if b.series[i].tag == tag {
			return &b.series[i]
		}
	}
	return nil
}

// next reads the tag of a series whose samples follow, nil with an error.
func (b *wattecoBatch) next() *wattecoSeries {
	tag := uint8(b.number(wattecoTagBits))
	if b.err != nil {
		return nil
	}
	series := b.find(tag)
	if series == nil {
		b.fail("samples of tag %d, which has no first one", tag)
	}
	return series
}

// keep notes where a series stands as one of its values.
func (b *wattecoBatch) keep(series *wattecoSeries) {
	if width := wattecoTags[series.tag].bits; series.value < 0 || series.value>>width != 0 {
		b.fail("a value of %d, tag %d has %d bits", series.value, series.tag, width)
	}
	if b.err == nil {
		b.values = append(b.values, wattecoValue{series.at, series.tag, series.value})
	}
}

// readTogether reads series that share a list of times, and returns the last of these. The first sample of a series stands in
// this list too, as its first one without a difference.
func (b *wattecoBatch) readTogether() (last uint32) {
	var list [1 << 8]uint32
	times := list[:0]
	count := int(b.number(8))
	table := uint8(b.number(2))
	for i := range count {
		code := b.code(table)
		if i == 0 && code != wattecoInFull {
			last = b.series[0].at
		} else {
			last = b.later(last, code)
		}
		if b.err != nil {
			return 0
		}
		times = append(times, last)
	}
	for range b.count {
		series := b.next()
		firstSeen := false
		for _, at := range times {
			if available := b.flag(); !available {
				continue
			}
			code := b.code(series.table)
			if code == 0 && !firstSeen {
				firstSeen = true
				continue
			}
			b.readValue(series, code)
			series.at = at
			b.keep(series)
		}
	}
	return last
}

// readApart reads series that have times of their own, and returns the latest time of all.
func (b *wattecoBatch) readApart(last uint32) uint32 {
	for range b.count {
		series := b.next()
		count := b.number(8)
		if b.err != nil {
			return 0
		}
		if count == 0 {
			continue
		}
		table := uint8(b.number(2))
		for range count {
			series.at = b.later(series.at, b.code(table))
			b.readValue(series, b.code(series.table))
			b.keep(series)
			if b.err != nil {
				return 0
			}
			last = max(last, series.at)
		}
	}
	return last
}

// readValue reads the rest of a value whose code is known.
func (b *wattecoBatch) readValue(series *wattecoSeries, code int) {
	tag := &wattecoTags[series.tag]
	switch code {
	case 0:
		return
	case wattecoInFull:
		series.value = int64(b.number(tag.bits))
		return
	}
	difference, span := int64(b.number(code)), int64(1)<<code-1
	switch {
	case series.coding == 1:
		difference += span
	case series.coding != 0:
		difference = -(difference + span)
	case difference <= span/2:
		difference -= span
	}
	series.value += difference * tag.resolution
}

// output puts the values of one time together. Without a time of reception their times mean nothing, and only the newest
// remain.
func (b *wattecoBatch) output(received time.Time, sent, counter uint32) (Output, error) {
	slices.SortStableFunc(b.values, func(x, y wattecoValue) int { return cmp.Compare(x.at, y.at) })
	fields := make([]Field, 0, len(b.values)+1)
	output := Output{Kind: "batch", Samples: make([]Sample, 0, len(b.values))}
	for first := 0; first < len(b.values); {
		at, seen, from := b.values[first].at, 0, len(fields)
		for _, value := range b.values[first:] {
			if value.at != at || seen>>value.tag&1 != 0 {
				break
			}
			seen |= 1 << value.tag
			fields = append(fields, wattecoTags[value.tag].field(value.value))
			first++
		}
		if first == len(b.values) {
			fields = append(fields, Field{Name: "batch_counter", Unit: "1", Value: Number(counter)})
		}
		output.Samples = append(output.Samples, Sample{
			Time:   received.UTC().Add(-time.Duration(sent-at) * time.Second),
			Fields: fields[from:len(fields):len(fields)],
		})
	}
	if received.IsZero() {
		output.Samples = output.Samples[len(output.Samples)-1:]
		output.Samples[0].Time = time.Time{}
		output.Warnings = append(output.Warnings, "only the newest sample: without a time of reception the others have none")
	}
	return output, nil
}
