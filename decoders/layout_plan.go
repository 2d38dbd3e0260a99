package decoders

import (
	"math"
	"slices"
	"time"
)

// layoutMessage is a message of a layout, ready to be read.
type layoutMessage struct {
	kind     string
	ports    []uint8
	lengths  []int // any of these; empty: from shortest to longest
	shortest int
	longest  int // 0: no limit
	starts   layoutPattern
	match    []layoutMatch
	steps    []layoutStep
	fields   int // that steps outside repeated groups report, at most
}

type layoutMatch struct {
	at           int
	mask, equals byte
}

func (m *layoutMessage) onPort(port uint8) bool {
	return len(m.ports) == 0 || slices.Contains(m.ports, port)
}

func (m *layoutMessage) hasLength(length int) bool {
	if len(m.lengths) > 0 {
		return slices.Contains(m.lengths, length)
	}
	return length >= m.shortest && (m.longest == 0 || length <= m.longest)
}

func (m *layoutMessage) looksLike(payload []byte) bool {
	if !m.starts.matches(payload) {
		return false
	}
	for _, match := range m.match {
		at := match.at
		if at < 0 {
			at += len(payload)
		}
		if at < 0 || at >= len(payload) || payload[at]&match.mask != match.equals {
			return false
		}
	}
	return true
}

// layoutPattern is what bytes must be where its mask says so.
type layoutPattern struct{ mask, bytes []byte }

// matches says whether data begins so.
func (p *layoutPattern) matches(data []byte) bool {
	if len(data) < len(p.bytes) {
		return false
	}
	for i, b := range p.bytes {
		if data[i]&p.mask[i] != b {
			return false
		}
	}
	return true
}

type layoutOp uint8

const (
	layoutNumber layoutOp = iota // a whole number, and its parts
	layoutFloat
	layoutBCD
	layoutText
	layoutHex
	layoutTime
	layoutSkip
	layoutExpect
	layoutGroup
	layoutRepeat
	layoutList
)

// toEnd stands for all that is left where a count or a size is meant.
const toEnd = -1

// layoutStep is one step through a frame.
type layoutStep struct {
	op       layoutOp
	key      string // of the options, for errors
	little   bool
	width    int // bits of a number
	signed   bool
	flag     bool
	value    layoutValue
	parts    []layoutPart
	size     layoutCount // bytes
	pattern  layoutPattern
	epoch    int64         // seconds from 1970
	tick     time.Duration // of a time
	at       int
	seeks    bool
	optional bool
	when     *layoutWhen
	steps    []layoutStep
	count    layoutCount
	samples  *layoutSamples
	list     *layoutTLV
	defines  uint64 // registers that this step and those in it set
}

type layoutPart struct {
	bit, width int
	signed     bool
	flag       bool
	value      layoutValue
}

// layoutCount is a constant, or a register when that is not negative.
type layoutCount struct {
	constant int
	register int
}

type layoutSamples struct {
	step        time.Duration
	factor      int // register that multiplies it, negative for none
	first       int
	newestFirst bool
}

type layoutTLV struct {
	key, length            int
	lengthFirst, countsKey bool
	skips                  bool
	records                []layoutRecord
}

type layoutRecord struct {
	key     layoutPattern
	steps   []layoutStep
	defines uint64
}

type layoutWhen struct {
	register int // negative for none
	bit      int // negative for none
	in       []int64
	above    *int64
	below    *int64
	left     int
	not      bool
}

// layoutValue says what becomes of a raw number.
type layoutValue struct {
	name     string
	unit     string
	register int // negative for none
	add      int64
	channel  layoutCount

	invalid  []int64
	min, max *int64
	values   map[int64]Value

	isPlain                  bool
	factor, summand, divisor float64 // (raw*factor + summand) / divisor, exact for decimal scales
	rounds                   bool
	roundingFactor           float64
}

func (v *layoutValue) isValid(raw int64) bool {
	return (v.min == nil || raw >= *v.min) && (v.max == nil || raw <= *v.max) && !slices.Contains(v.invalid, raw)
}

func (v *layoutValue) scale(number float64) Value {
	if !v.isPlain {
		number = (number*v.factor + v.summand) / v.divisor
	}
	if v.rounds {
		number = math.Round(number*v.roundingFactor) / v.roundingFactor
	}
	return Number(number)
}
