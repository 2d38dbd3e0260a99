package decoders

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// layoutCompiler turns the options into plans and collects every mistake with its key.
type layoutCompiler struct {
	mistakes []error
	little   bool

	// Of the message that is being compiled:
	registers map[string]int
	inside    int // how many repeated groups and TLV records the step stands in
	samples   bool
}

func compileLayout(options *LayoutOptions) ([]layoutMessage, error) {
	c := &layoutCompiler{}
	c.little = c.endian("endian", options.Endian, false)
	if len(options.Messages) == 0 {
		c.fail("messages", "there must be at least one")
	}
	messages := make([]layoutMessage, len(options.Messages))
	for i := range options.Messages {
		messages[i] = c.message(fmt.Sprintf("messages[%d]", i), &options.Messages[i])
	}
	return messages, errors.Join(c.mistakes...)
}

func (c *layoutCompiler) fail(key, format string, values ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf(key+": "+format, values...))
}

func (c *layoutCompiler) endian(key, endian string, otherwise bool) bool {
	switch endian {
	case "big":
		return false
	case "little":
		return true
	case "":
	default:
		c.fail(key, "%q is neither big nor little", endian)
	}
	return otherwise
}

func (c *layoutCompiler) message(key string, options *LayoutMessage) layoutMessage {
	c.registers, c.inside, c.samples = map[string]int{"key": 0}, 0, false
	if !isLayoutName(options.Kind) {
		c.fail(key+".kind", "%q is not a name of a-z, 0-9 and _ that begins with a letter", options.Kind)
	}
	m := layoutMessage{
		kind: options.Kind, ports: options.Ports, lengths: options.Lengths, shortest: options.MinLength, longest: options.MaxLength,
		starts: c.pattern(key+".starts", options.Starts),
	}
	switch {
	case options.Length < 0 || options.MinLength < 0 || options.MaxLength < 0:
		c.fail(key, "a length is negative")
	case options.MaxLength > 0 && options.MaxLength < options.MinLength:
		c.fail(key+".max_length", "%d is less than min_length", options.MaxLength)
	case options.Length > 0 && len(options.Lengths) > 0:
		c.fail(key+".lengths", "length is there already")
	case options.Length > 0:
		m.lengths = []int{options.Length}
	}
	for i, match := range options.Match {
		mask := int64(0xff)
		if match.Mask != nil {
			mask = int64(*match.Mask)
		}
		if mask < 0 || mask > 0xff || int64(match.Equals) < 0 || int64(match.Equals)&^mask != 0 {
			c.fail(fmt.Sprintf("%s.match[%d]", key, i), "mask and equals are of one byte, and equals has only bits of mask")
		}
		m.match = append(m.match, layoutMatch{match.At, byte(mask), byte(match.Equals)})
	}
	m.steps = c.steps(key+".fields", options.Fields)
	m.fields = reported(m.steps)
	return m
}

// reported counts the fields of steps, each once.
func reported(steps []layoutStep) int {
	count := 0
	for i := range steps {
		step := &steps[i]
		if step.value.name != "" {
			count++
		}
		for j := range step.parts {
			if step.parts[j].value.name != "" {
				count++
			}
		}
		if step.samples == nil {
			count += reported(step.steps) * max(1, step.count.constant)
		}
		if step.list != nil {
			for j := range step.list.records {
				count += reported(step.list.records[j].steps)
			}
		}
	}
	return min(count, maxRadioBytes)
}

func (c *layoutCompiler) steps(key string, options []LayoutField) []layoutStep {
	steps := make([]layoutStep, len(options))
	for i := range options {
		steps[i] = c.step(fmt.Sprintf("%s[%d]", key, i), &options[i])
	}
	return steps
}

// definedBy lists the registers that steps set.
func definedBy(steps []layoutStep) uint64 {
	var defines uint64
	for i := range steps {
		defines |= steps[i].defines
	}
	return defines
}

func (c *layoutCompiler) step(key string, options *LayoutField) layoutStep {
	step := layoutStep{key: key, little: c.endian(key+".endian", options.Endian, c.little), optional: options.Optional}
	step.value.register, step.count = -1, layoutCount{0, -1}
	if options.At != nil {
		step.seeks, step.at = true, *options.At
		if c.inside > 0 {
			c.fail(key+".at", "not possible in a repeated group or a TLV record")
		}
	}
	step.when = c.when(key+".when", options.When)
	if forms := countForms(options); forms != 1 {
		c.fail(key, "a step has one of type, skip, expect, fields and tlv")
		return step
	}
	if !isScalar(options) && (options.Name != "" || options.Let != "") {
		c.fail(key, "only a step with a type has a name or let")
	}
	if options.Repeat == "" && options.Samples != nil || options.Repeat != "" && options.Fields == nil {
		c.fail(key, "repeat goes with fields, samples with repeat")
	}
	switch {
	case options.Skip != 0:
		step.op, step.size = layoutSkip, layoutCount{options.Skip, -1}
		if options.Skip < 0 {
			c.fail(key+".skip", "%d is negative", options.Skip)
		}
	case options.Expect != "":
		step.op, step.pattern = layoutExpect, c.pattern(key+".expect", options.Expect)
	case options.Fields != nil:
		c.group(key, options, &step)
	case options.TLV != nil:
		c.list(key+".tlv", options.TLV, &step)
	default:
		c.scalar(key, options, &step)
	}
	return step
}

func isScalar(options *LayoutField) bool { return options.Type != "" }

func countForms(options *LayoutField) int {
	forms := 0
	for _, is := range []bool{options.Type != "", options.Skip != 0, options.Expect != "", options.Fields != nil, options.TLV != nil} {
		if is {
			forms++
		}
	}
	return forms
}

func (c *layoutCompiler) group(key string, options *LayoutField, step *layoutStep) {
	step.op = layoutGroup
	if options.Repeat == "" {
		step.steps = c.steps(key+".fields", options.Fields)
		step.defines = definedBy(step.steps)
		return
	}
	step.op = layoutRepeat
	step.count = c.count(key+".repeat", options.Repeat, "end")
	if step.count.register < 0 && step.count.constant == 0 {
		c.fail(key+".repeat", "0 times is never")
	}
	if options.Samples != nil {
		c.sampling(key+".samples", options.Samples, step)
	}
	outer := c.samples
	c.samples = c.samples || options.Samples != nil
	c.inside++
	step.steps = c.steps(key+".fields", options.Fields)
	c.inside--
	c.samples = outer
	step.defines = definedBy(step.steps)
}

func (c *layoutCompiler) sampling(key string, options *LayoutSamples, step *layoutStep) {
	step.samples = &layoutSamples{step: options.Step, factor: -1, first: options.First, newestFirst: options.NewestFirst}
	if c.samples {
		c.fail(key, "a sample cannot hold samples")
	}
	if options.Step < 0 || options.Step > 31*24*time.Hour {
		c.fail(key+".step", "%v is longer than 31 days", options.Step)
	}
	if options.First < 0 || options.First > maxLayoutBytes {
		c.fail(key+".first", "%d is not from 0 to %d", options.First, maxLayoutBytes)
	}
	if options.StepField != "" {
		step.samples.factor = c.register(key+".step_field", options.StepField)
	}
}

func (c *layoutCompiler) list(key string, options *LayoutTLV, step *layoutStep) {
	step.op = layoutList
	list := &layoutTLV{
		key: options.Key, length: options.Length, lengthFirst: options.LengthFirst, countsKey: options.CountsKey, skips: options.Unknown != "error" && options.Length > 0,
	}
	step.list = list
	if list.key == 0 {
		list.key = 1
	}
	if list.key < 1 || list.key > 4 {
		c.fail(key+".key", "%d bytes, a key has 1 to 4", list.key)
	}
	if list.length < 0 || list.length > 2 {
		c.fail(key+".length", "%d bytes, a length has 0 to 2", list.length)
	}
	if list.length == 0 && (list.lengthFirst || list.countsKey) {
		c.fail(key+".length", "length_first and counts_key need a length")
	}
	switch {
	case options.Unknown == "skip" && list.length == 0:
		c.fail(key+".unknown", "without a length nobody knows where an unknown record ends")
	case options.Unknown != "" && options.Unknown != "skip" && options.Unknown != "error":
		c.fail(key+".unknown", "%q is neither skip nor error", options.Unknown)
	}
	if len(options.Records) == 0 {
		c.fail(key+".records", "there must be at least one")
	}
	c.inside++
	for i := range options.Records {
		at := fmt.Sprintf("%s.records[%d]", key, i)
		record := layoutRecord{key: c.pattern(at+".key", options.Records[i].Key)}
		if size := len(record.key.bytes); size != list.key && (size > 0 || options.Records[i].Key == "") {
			c.fail(at+".key", "%q is not %d bytes", options.Records[i].Key, list.key)
		}
		record.steps = c.steps(at+".fields", options.Records[i].Fields)
		record.defines = definedBy(record.steps)
		step.defines |= record.defines
		list.records = append(list.records, record)
	}
	c.inside--
}

// scalar compiles a step with a type.
func (c *layoutCompiler) scalar(key string, options *LayoutField, step *layoutStep) {
	if step.op = layoutNumber; !c.number(key+".type", options.Type, step) {
		return
	}
	if options.Size != "" && step.op != layoutText && step.op != layoutHex && step.op != layoutSkip {
		c.fail(key+".size", "only text, hex and skip have a size")
	}
	step.size = c.count(key+".size", options.Size, "")
	step.value = c.value(key, &options.LayoutValue, step.op, step.flag)
	if step.value.register >= 0 {
		step.defines |= 1 << step.value.register
		if step.op != layoutNumber && step.op != layoutBCD {
			c.fail(key+".let", "only whole numbers are kept")
		}
	}
	if step.op == layoutTime && options.Name != "" {
		c.fail(key+".name", "a time is that of the message or sample, not a field")
	}
	if len(options.Bits) > 0 && step.op != layoutNumber {
		c.fail(key+".bits", "only whole numbers have bits")
		return
	}
	for i := range options.Bits {
		step.parts = append(step.parts, c.part(fmt.Sprintf("%s.bits[%d]", key, i), &options.Bits[i], step))
	}
}

func (c *layoutCompiler) part(key string, options *LayoutBits, step *layoutStep) layoutPart {
	part := layoutPart{bit: options.Bit, width: options.Width, signed: options.Signed, flag: options.Flag || options.Width == 0 && options.Values == nil}
	if part.width == 0 {
		part.width = 1
	}
	if part.bit < 0 || part.width < 0 || part.bit+part.width > step.width {
		c.fail(key, "bits %d to %d are not in a number of %d bits", part.bit, part.bit+part.width-1, step.width)
	}
	part.value = c.value(key, &options.LayoutValue, layoutNumber, part.flag)
	if part.value.register >= 0 {
		step.defines |= 1 << part.value.register
	}
	return part
}

var layoutTypes = map[string]layoutStep{
	"bool":      {width: 1, flag: true},
	"bool8":     {width: 8, flag: true},
	"text":      {op: layoutText},
	"hex":       {op: layoutHex},
	"skip":      {op: layoutSkip},
	"unix":      {op: layoutTime, width: 32, tick: time.Second},
	"unix_ms":   {op: layoutTime, width: 64, tick: time.Millisecond},
	"epoch2000": {op: layoutTime, width: 32, tick: time.Second, epoch: 946684800},
	"float16":   {op: layoutFloat, width: 16},
	"float32":   {op: layoutFloat, width: 32},
	"float64":   {op: layoutFloat, width: 64},
}

// number reads the name of a type; false with a mistake.
func (c *layoutCompiler) number(key, name string, step *layoutStep) bool {
	if known, ok := layoutTypes[name]; ok {
		step.op, step.width, step.flag, step.tick, step.epoch = known.op, known.width, known.flag, known.tick, known.epoch
		return true
	}
	kind := strings.TrimRight(name, "0123456789")
	size, err := strconv.Atoi(name[len(kind):])
	switch {
	case err == nil && kind == "uint" && size >= 1 && size <= 64:
		step.width = size
	case err == nil && kind == "int" && size >= 1 && size <= 64:
		step.width, step.signed = size, true
	case err == nil && kind == "bcd" && size >= 1 && size <= 16:
		step.op, step.width = layoutBCD, size*4
	default:
		c.fail(key, "no type %q (there are uint1 to uint64, int1 to int64, float16, float32, float64, bcd1 to bcd16 digits, bool, bool8, text, hex, unix, unix_ms, epoch2000, skip)", name)
		return false
	}
	return true
}

func (c *layoutCompiler) value(key string, options *LayoutValue, op layoutOp, isFlag bool) layoutValue {
	v := layoutValue{name: options.Name, unit: options.Unit, register: -1, channel: layoutCount{0, -1}, invalid: integers(options.Invalid)}
	if options.Name != "" && !isLayoutName(options.Name) {
		c.fail(key+".name", "%q is not a name of a-z, 0-9 and _ that begins with a letter", options.Name)
	}
	isNumber := op == layoutNumber || op == layoutBCD
	if isNumber && (options.Let != "" || options.Name != "") {
		v.register = c.define(key, options)
	} else if options.Let != "" {
		c.fail(key+".let", "only whole numbers are kept")
	}
	if options.Let != "" {
		v.add = int64(options.Offset)
	}
	v.channel = c.count(key+".channel", options.Channel, "main")
	if v.channel.constant == toEnd {
		v.channel.constant = 0
	}
	if options.Min != nil {
		v.min = (*int64)(options.Min)
	}
	if options.Max != nil {
		v.max = (*int64)(options.Max)
	}
	c.enum(key, options, isNumber, &v)
	c.scaling(key, options, &v)
	hasNumber := (isNumber && !isFlag || op == layoutFloat) && options.Values == nil
	switch {
	case !hasNumber && (options.Scale != nil || options.Divide != nil || options.Decimals != nil || options.Offset != 0 && options.Let == ""):
		c.fail(key, "scale, divide, offset and decimals are for numbers")
	case !hasNumber && options.Values == nil && options.Unit != "":
		c.fail(key+".unit", "only a number has a unit")
	case v.unit == "":
		v.unit = "1"
	}
	if op == layoutFloat && (options.Min != nil || options.Max != nil) {
		c.fail(key, "min and max are for whole numbers")
	}
	return v
}

// define gives a name its register.
func (c *layoutCompiler) define(key string, options *LayoutValue) int {
	name := options.Let
	if name == "" {
		name = options.Name
	} else if options.Name != "" {
		c.fail(key+".let", "a value that has a name is kept under it")
	} else if !isLayoutName(name) || name == "end" || name == "key" {
		c.fail(key+".let", "%q is not a name of a-z, 0-9 and _ that begins with a letter, or has another meaning", name)
	}
	register, ok := c.registers[name]
	if !ok {
		if register = len(c.registers); register >= maxRegisters {
			if options.Let != "" {
				c.fail(key+".let", "more than %d values to keep", maxRegisters-1)
			}
			return -1
		}
		c.registers[name] = register
	}
	return register
}

// register returns that of a value read before.
func (c *layoutCompiler) register(key, name string) int {
	register, ok := c.registers[name]
	if !ok {
		c.fail(key, "no value %q is read before", name)
	}
	return register
}

// count reads a number, a value read before, or a word for all (an empty text means that too).
func (c *layoutCompiler) count(key, text, all string) layoutCount {
	if text == "" || text == all {
		return layoutCount{toEnd, -1}
	}
	if text[0] >= 'a' && text[0] <= 'z' {
		return layoutCount{0, c.register(key, text)}
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < 0 || number > maxLayoutBytes {
		c.fail(key, "%q is neither a number from 0 to %d nor a value read before", text, maxLayoutBytes)
	}
	return layoutCount{number, -1}
}

func (c *layoutCompiler) enum(key string, options *LayoutValue, isNumber bool, v *layoutValue) {
	if options.Values == nil {
		return
	}
	if !isNumber {
		c.fail(key+".values", "only whole numbers have values")
	}
	v.values = map[int64]Value{}
	for written, value := range options.Values {
		raw, err := parseInteger(written)
		if err != nil {
			c.fail(key+".values."+written, "%v", err)
		}
		if value.Kind() == KindNone || value.Kind() == KindText && value.Text() == "" {
			c.fail(key+".values."+written, "stands for nothing; what means nothing is invalid")
		}
		v.values[raw] = value
	}
}

// scaling prepares (raw*scale/divide + offset) as whole numbers over a power of ten, so that the one division gives the decimal
// that is meant: 3 steps of 0.1 are 0.3.
func (c *layoutCompiler) scaling(key string, options *LayoutValue, v *layoutValue) {
	scale, divide := 1.0, 1.0
	if options.Scale != nil {
		scale = *options.Scale
	}
	if options.Divide != nil {
		divide = *options.Divide
	}
	if scale == 0 || divide == 0 {
		c.fail(key, "a scale or divide of 0")
	}
	v.isPlain = scale == 1 && divide == 1 && options.Offset == 0
	const exact = 15 // decimal digits that a float64 holds
	places := max(decimalPlaces(scale), decimalPlaces(options.Offset))
	power := math.Pow10(places)
	if places > exact {
		power = 1
		v.factor, v.summand = scale, options.Offset*divide
	} else {
		v.factor, v.summand = math.Round(scale*power), math.Round(options.Offset*power)*divide
	}
	v.divisor = power * divide
	if options.Decimals != nil {
		v.rounds, v.roundingFactor = true, math.Pow10(*options.Decimals)
		if *options.Decimals < 0 || *options.Decimals > exact {
			c.fail(key+".decimals", "%d is not from 0 to %d", *options.Decimals, exact)
		}
	}
}

// decimalPlaces counts the digits behind the point.
func decimalPlaces(number float64) int {
	_, behind, _ := strings.Cut(strconv.FormatFloat(number, 'f', -1, 64), ".")
	return len(behind)
}

func (c *layoutCompiler) when(key string, options *LayoutWhen) *layoutWhen {
	if options == nil {
		return nil
	}
	when := &layoutWhen{register: -1, bit: -1, in: integers(options.In), left: options.Left, not: options.Not}
	tests := len(options.In) > 0 || options.Equals != nil || options.Above != nil || options.Below != nil || options.Bit != nil
	switch {
	case options.Field != "":
		when.register = c.register(key+".field", options.Field)
	case tests:
		c.fail(key, "names no field to look at")
	case options.Left == 0:
		c.fail(key, "has neither field nor left")
	}
	if options.Left < 0 {
		c.fail(key+".left", "%d is negative", options.Left)
	}
	if options.Bit != nil {
		if when.bit = *options.Bit; when.bit < 0 || when.bit >= 64 {
			c.fail(key+".bit", "%d is not from 0 to 63", when.bit)
		}
	}
	if options.Equals != nil {
		when.in = append(when.in, int64(*options.Equals))
	}
	when.above, when.below = (*int64)(options.Above), (*int64)(options.Below)
	return when
}

func integers(written []LayoutInteger) []int64 {
	var numbers []int64
	for _, number := range written {
		numbers = append(numbers, int64(number))
	}
	return numbers
}

// pattern reads hex digits with dots for those that may be any. Blanks are for the eye.
func (c *layoutCompiler) pattern(key, text string) layoutPattern {
	var p layoutPattern
	digits := strings.ReplaceAll(text, " ", "")
	if len(digits)%2 != 0 {
		c.fail(key, "%q is not pairs of hexadecimal digits or dots", text)
		return p
	}
	for i := 0; i < len(digits); i += 2 {
		var mask, value byte
		for _, digit := range []byte(digits[i : i+2]) {
			mask, value = mask<<4, value<<4
			if digit == '.' {
				continue
			}
			number, err := strconv.ParseUint(string(digit), 16, 8)
			if err != nil {
				c.fail(key, "%q is not pairs of hexadecimal digits or dots", text)
				return p
			}
			mask, value = mask|0xf, value|byte(number)
		}
		p.mask, p.bytes = append(p.mask, mask), append(p.bytes, value)
	}
	return p
}

func isLayoutName(name string) bool { return isFieldName(name) && name[0] >= 'a' && name[0] <= 'z' }
