package decoders

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxRegisters     = 64
	maxLayoutChannel = 1000
	maxLayoutSpan    = 10 * 365 * 24 * time.Hour // of the samples in one message
)

// layoutRun is one frame on its way through a plan. Positions are in bits: with the high bit of a byte first where numbers are
// big-endian, with the low bit first where they are little-endian.
type layoutRun struct {
	payload  []byte
	at, end  int // end is that of the record in which the reading is
	farthest int

	registers [maxRegisters]int64
	isSet     uint64

	received time.Time
	time     time.Time // of the message; zero when it makes no claim
	fields   []Field
	warnings []string
	channel  int // of the element of a repeated group

	inSample bool
	dated    []Sample
	moment   time.Time // of the sample being read
	err      error
}

func (m *layoutMessage) decode(uplink Uplink) (Output, error) {
	r := layoutRun{payload: uplink.Payload, end: len(uplink.Payload) * 8, received: uplink.Received.UTC()}
	r.fields = make([]Field, 0, min(m.fields, len(r.payload)))
	r.steps(m.steps)
	if farthest := (max(r.at, r.farthest) + 7) / 8; r.err == nil && farthest < len(r.payload) {
		r.fail("%d bytes, this %s message ends after %d", len(r.payload), m.kind, farthest)
	}
	if r.err != nil {
		return Output{}, r.err
	}
	return Output{Kind: m.kind, Samples: r.samples(), Warnings: r.warnings}, nil
}

// samples puts what was read into the order of time.
func (r *layoutRun) samples() []Sample {
	if len(r.dated) == 0 {
		return []Sample{{Time: r.time, Fields: r.fields}}
	}
	if len(r.fields) > 0 {
		moment := r.base()
		i := slices.IndexFunc(r.dated, func(sample Sample) bool { return sample.Time.Equal(moment) })
		if i < 0 {
			r.dated = append(r.dated, Sample{Time: moment, Fields: r.fields})
		} else {
			r.dated[i].Fields = append(r.fields, r.dated[i].Fields...)
		}
	}
	slices.SortStableFunc(r.dated, func(a, b Sample) int { return a.Time.Compare(b.Time) })
	return r.dated
}

// base is the time from which samples count.
func (r *layoutRun) base() time.Time {
	if r.time.IsZero() {
		return r.received
	}
	return r.time
}

func (r *layoutRun) fail(format string, values ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, values...)...)
	}
}

// has says whether so many bits are left, and fails if not.
func (r *layoutRun) has(bits int, step *layoutStep) bool {
	if r.err == nil && r.end-r.at < bits {
		r.fail("%d bytes, too few for %s at byte %d", len(r.payload), step.shown(), r.at/8)
	}
	return r.err == nil
}

func (s *layoutStep) shown() string {
	if s.value.name != "" {
		return s.value.name
	}
	return s.key
}

// align goes to the next whole byte, where texts, times, groups with a length and whole bytes begin.
func (r *layoutRun) align() { r.at = (r.at + 7) &^ 7 }

// bits returns the next bits. There must be as many.
func (r *layoutRun) bits(width int, little bool) uint64 {
	var value uint64
	for done := 0; done < width; {
		within := r.at % 8
		count := min(8-within, width-done)
		b := uint64(r.payload[r.at/8])
		if little {
			value |= b >> within & (1<<count - 1) << done
		} else {
			value = value<<count | b>>(8-within-count)&(1<<count-1)
		}
		r.at += count
		done += count
	}
	return value
}

// take returns whole bytes. There must be as many.
func (r *layoutRun) take(count int) []byte {
	taken := r.payload[r.at/8 : r.at/8+count]
	r.at += count * 8
	return taken
}

func signExtend(raw uint64, width int) int64 { return int64(raw<<(64-width)) >> (64 - width) }

func (r *layoutRun) steps(steps []layoutStep) {
	for i := range steps {
		step := &steps[i]
		if r.err != nil {
			return
		}
		if step.when != nil && !r.holds(step.when) || step.optional && r.end-r.at < 8 {
			r.isSet &^= step.defines
			continue
		}
		if step.seeks {
			r.seek(step)
		}
		r.step(step)
	}
}

func (r *layoutRun) seek(step *layoutStep) {
	r.farthest = max(r.farthest, r.at)
	r.at = step.at * 8
	if step.at < 0 {
		r.at += len(r.payload) * 8
	}
	if r.at < 0 || r.at > r.end {
		r.at = r.end
		r.fail("%d bytes, no byte %d for %s", len(r.payload), step.at, step.shown())
	}
}

func (r *layoutRun) holds(when *layoutWhen) bool { return r.isMet(when) != when.not }

func (r *layoutRun) isMet(when *layoutWhen) bool {
	if when.left > 0 && r.end-r.at < when.left*8 {
		return false
	}
	if when.register < 0 {
		return true
	}
	if r.isSet>>when.register&1 == 0 {
		return false
	}
	value := r.registers[when.register]
	return (when.bit < 0 || value>>when.bit&1 == 1) && (when.in == nil || slices.Contains(when.in, value)) &&
		(when.above == nil || value > *when.above) && (when.below == nil || value < *when.below)
}

func (r *layoutRun) step(step *layoutStep) {
	switch step.op {
	case layoutNumber:
		r.number(step)
	case layoutFloat:
		if r.has(step.width, step) {
			r.float(step, r.bits(step.width, step.little))
		}
	case layoutBCD:
		r.bcd(step)
	case layoutText, layoutHex:
		r.text(step)
	case layoutTime:
		r.readTime(step)
	case layoutSkip:
		r.align()
		if size := r.size(step.size, step); r.err == nil && r.has(size*8, step) {
			r.at += size * 8
		}
	case layoutExpect:
		r.align()
		if size := len(step.pattern.bytes); r.has(size*8, step) && !step.pattern.matches(r.payload[r.at/8:]) {
			r.fail("%x at byte %d is not what %s wants", r.payload[r.at/8:r.at/8+size], r.at/8, step.key)
		} else {
			r.at += size * 8
		}
	case layoutGroup:
		r.steps(step.steps)
	case layoutRepeat:
		r.repeat(step)
	case layoutList:
		r.list(step)
	}
}

func (r *layoutRun) number(step *layoutStep) {
	if !r.has(step.width, step) {
		return
	}
	raw := r.bits(step.width, step.little)
	number := int64(raw)
	if step.signed {
		number = signExtend(raw, step.width)
	}
	r.integer(&step.value, number, step.flag, !step.signed)
	for i := range step.parts {
		part := &step.parts[i]
		bits := raw >> part.bit & (1<<part.width - 1)
		number := int64(bits)
		if part.signed {
			number = signExtend(bits, part.width)
		}
		r.integer(&part.value, number, part.flag, !part.signed)
	}
}

// integer keeps and reports a whole number.
func (r *layoutRun) integer(v *layoutValue, raw int64, isFlag, isUnsigned bool) {
	if v.register >= 0 {
		r.registers[v.register] = raw + v.add
		r.isSet |= 1 << v.register
	}
	if v.name == "" || !v.isValid(raw) {
		return
	}
	switch {
	case v.values != nil:
		value, ok := v.values[raw]
		if !ok {
			r.warnings = append(r.warnings, fmt.Sprintf("%s: %d has no known meaning", v.name, raw))
			return
		}
		r.report(v, value)
	case isFlag:
		r.report(v, Bool(raw != 0))
	case isUnsigned:
		r.report(v, v.scale(float64(uint64(raw))))
	default:
		r.report(v, v.scale(float64(raw)))
	}
}

func (r *layoutRun) float(step *layoutStep, raw uint64) {
	if step.value.name == "" || slices.Contains(step.value.invalid, int64(raw)) {
		return
	}
	number := math.Float64frombits(raw)
	switch step.width {
	case 16:
		number = float16(uint16(raw))
	case 32:
		number = float64(math.Float32frombits(uint32(raw)))
	}
	r.report(&step.value, step.value.scale(number))
}

// float16 is IEEE 754 binary16.
func float16(bits uint16) float64 {
	sign, exponent, fraction := 1.0, int(bits>>10&0x1f), float64(bits&0x3ff)
	if bits>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 0x1f:
		return math.NaN()
	default:
		return sign * math.Ldexp(fraction+1024, exponent-25)
	}
}

func (r *layoutRun) bcd(step *layoutStep) {
	if !r.has(step.width, step) {
		return
	}
	raw := r.bits(step.width, step.little)
	if slices.Contains(step.value.invalid, int64(raw)) {
		return
	}
	number, power := int64(0), int64(1)
	for rest := raw; rest != 0; rest >>= 4 {
		digit := int64(rest & 0xf)
		if digit > 9 {
			r.fail("%s is %x, not decimal digits", step.shown(), raw)
			return
		}
		number += digit * power
		power *= 10
	}
	r.integer(&step.value, number, false, true)
}

// size returns a number of bytes or of elements.
func (r *layoutRun) size(count layoutCount, step *layoutStep) int {
	switch {
	case count.register < 0 && count.constant == toEnd:
		return (r.end - r.at) / 8
	case count.register < 0:
		return count.constant
	case r.isSet>>count.register&1 == 0:
		r.fail("%s: how many there are was not said", step.shown())
		return 0
	}
	size := r.registers[count.register]
	if size < 0 || size > maxLayoutBytes {
		r.fail("%s: %d is no count", step.shown(), size)
		return 0
	}
	return int(size)
}

func (r *layoutRun) text(step *layoutStep) {
	r.align()
	size := r.size(step.size, step)
	if !r.has(size*8, step) {
		return
	}
	taken := r.take(size)
	if step.value.name == "" || size == 0 {
		return
	}
	if size > maxTextBytes/2 {
		r.fail("%s has %d bytes, a text has at most %d", step.shown(), size, maxTextBytes/2)
		return
	}
	if step.op == layoutHex {
		r.report(&step.value, Text(hex.EncodeToString(taken)))
		return
	}
	text := string(bytes.TrimRight(taken, "\x00 "))
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		r.fail("%s is %x, not a text", step.shown(), taken)
	} else if text != "" {
		r.report(&step.value, Text(text))
	}
}

func (r *layoutRun) readTime(step *layoutStep) {
	if !r.has(step.width, step) {
		return
	}
	raw := r.bits(step.width, step.little)
	if slices.Contains(step.value.invalid, int64(raw)) {
		return
	}
	const year10000 = 253402300800
	perSecond := uint64(time.Second / step.tick)
	if raw/perSecond >= year10000 {
		r.fail("%s: %d is no time", step.shown(), raw)
		return
	}
	moment := time.Unix(step.epoch+int64(raw/perSecond), int64(raw%perSecond)*int64(step.tick)).UTC()
	if r.inSample {
		r.moment = moment
	} else {
		r.time = moment
	}
}

// report adds a field. What is not known is left out.
func (r *layoutRun) report(v *layoutValue, value Value) {
	if value.Kind() == KindNone {
		return
	}
	field := Field{Name: v.name, Channel: r.channel, Value: value}
	if value.Kind() == KindNumber {
		field.Unit = v.unit
	}
	if v.channel.register >= 0 && r.isSet>>v.channel.register&1 == 1 {
		channel := r.registers[v.channel.register]
		if channel < 0 || channel > maxLayoutChannel {
			r.fail("%s: %d is no channel", v.name, channel)
			return
		}
		field.Channel = int(channel)
	} else if v.channel.constant > 0 {
		field.Channel = v.channel.constant
	}
	r.fields = append(r.fields, field)
}

func (r *layoutRun) repeat(step *layoutStep) {
	count := math.MaxInt
	if step.count.register >= 0 || step.count.constant != toEnd {
		count = r.size(step.count, step)
	}
	outer, fields := r.channel, r.fields
	for i := 0; i < count && r.err == nil; i++ {
		if count == math.MaxInt && r.end-r.at < 8 {
			break // what is left of a byte is filling
		}
		before := r.at
		r.isSet &^= step.defines
		if step.samples == nil {
			r.channel = i + 1
			r.steps(step.steps)
		} else {
			r.sample(step, i)
		}
		if r.err == nil && r.at == before {
			r.fail("%s: an element without bytes", step.shown())
		}
	}
	r.channel = outer
	if step.samples != nil {
		r.fields = fields
	}
}

// sample reads one element that is a sample of its own.
func (r *layoutRun) sample(step *layoutStep, i int) {
	interval := int64(step.samples.step)
	steps := int64(i + step.samples.first)
	if factor := step.samples.factor; factor >= 0 {
		if r.isSet>>factor&1 == 0 || r.registers[factor] < 0 || r.registers[factor] > math.MaxInt32 {
			r.fail("%s: the interval was not said or cannot be", step.shown())
			return
		}
		steps *= r.registers[factor]
	}
	if interval > 0 && steps > int64(maxLayoutSpan)/interval {
		r.fail("%s: samples of %d times %v", step.shown(), steps, step.samples.step)
		return
	}
	interval *= steps
	if step.samples.newestFirst {
		interval = -interval
	}
	r.moment, r.inSample = r.base().Add(time.Duration(interval)), true
	r.fields = make([]Field, 0, len(step.steps))
	r.steps(step.steps)
	if r.inSample = false; len(r.fields) > 0 {
		r.dated = append(r.dated, Sample{Time: r.moment, Fields: r.fields})
	}
}

func (r *layoutRun) list(step *layoutStep) {
	r.align()
	for r.err == nil && r.at < r.end {
		r.record(step)
	}
}

// record reads one record of a TLV list.
func (r *layoutRun) record(step *layoutStep) {
	list, start, length := step.list, r.at/8, 0
	if !r.has((list.key+list.length)*8, step) {
		return
	}
	if list.lengthFirst {
		length = int(r.bits(list.length*8, step.little))
	}
	key := r.take(list.key)
	if !list.lengthFirst && list.length > 0 {
		length = int(r.bits(list.length*8, step.little))
	}
	if list.countsKey {
		length -= list.key
	}
	if length < 0 {
		r.fail("byte %d: a record shorter than its key", start)
		return
	}
	if !r.has(length*8, step) {
		return
	}
	i := slices.IndexFunc(list.records, func(record layoutRecord) bool { return record.key.matches(key) })
	switch {
	case i < 0 && list.skips:
		r.at += length * 8
		return
	case i < 0:
		r.err = fmt.Errorf("%w: record %x at byte %d", ErrUnknownKind, key, start)
		return
	}
	record := &list.records[i]
	r.isSet &^= record.defines
	r.registers[0], r.isSet = int64(key[0]), r.isSet|1
	outer := r.end
	if list.length > 0 {
		r.end = r.at + length*8
	}
	r.steps(record.steps)
	r.align()
	if list.length > 0 && r.err == nil && r.at != r.end {
		r.fail("record %x at byte %d has %d bytes, too many", key, start, length)
	}
	r.end = outer
}
