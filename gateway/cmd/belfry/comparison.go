package main

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"belfry/buffer"
	"belfry/decoders"
	"belfry/gateway/event"
)

// sentFrame is what a device sent, as decode --compare takes it.
type sentFrame struct {
	From    string     `json:"from"` // "quarantine" or "example"
	Seq     buffer.Seq `json:"seq,omitempty"`
	Sensor  string     `json:"sensor,omitempty"`
	Name    string     `json:"name,omitempty"` // of the example
	Sent    time.Time  `json:"sent"`
	Port    uint8      `json:"port,omitempty"`
	Payload hexText    `json:"payload"`
}

// hexText are bytes that are printed in hex.
type hexText []byte

// MarshalText implements encoding.TextMarshaler.
func (h hexText) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// comparison is one frame, decoded by two.
type comparison struct {
	sentFrame
	Verdict string  `json:"verdict"`
	Before  outcome `json:"before"`
	After   outcome `json:"after"`
	differs []difference
}

// outcome is what a decoder and its model make of a frame.
type outcome struct {
	Error    string          `json:"error,omitempty"`
	Samples  []outcomeSample `json:"samples,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
}

type outcomeSample struct {
	Time         time.Time                 `json:"time,omitzero"`
	Measurements map[string]decodedReading `json:"measurements"`
	Alarms       map[string]bool           `json:"alarms"`
}

// The verdicts of a comparison.
const (
	same    = "same"
	better  = "better"  // an error or nothing before, now something
	worse   = "worse"   // the other way round
	changed = "changed" // another thing, or another error
)

// decode decodes the frame as a model. What leaves nothing to publish is as in the gateway: no sample.
func (f *sentFrame) decode(model *event.Model) outcome {
	output, err := decoders.Run(model.Decode, decoders.Uplink{Port: f.Port, Payload: f.Payload, Received: f.Sent})
	if err != nil {
		return outcome{Error: err.Error()}
	}
	o := outcome{Warnings: output.Warnings}
	for _, sample := range output.Samples {
		measurements, levels, err := model.Mapping.Apply(sample)
		if err != nil {
			return outcome{Error: err.Error()}
		}
		if len(measurements) > 0 || len(levels) > 0 {
			d := newDecodedSample(sample, measurements, levels)
			o.Samples = append(o.Samples, outcomeSample{d.Time, d.Measurements, d.Alarms})
		}
	}
	return o
}

// rank orders outcomes: an error, nothing to publish, something.
func (o *outcome) rank() int {
	switch {
	case o.Error != "":
		return 0
	case len(o.Samples) == 0:
		return 1
	}
	return 2
}

// place is where in a codec something was thrown: that it is elsewhere in a new version is no difference.
var place = regexp.MustCompile(`(\S+\.js)?:\d+:\d+(\(\d+\))?`)

// lines are an outcome as text: what it says of what.
func (o *outcome) lines() map[string]string {
	lines := map[string]string{}
	if o.Error != "" {
		lines["error"] = o.Error
	}
	for i, text := range o.Warnings {
		lines[fmt.Sprintf("warning %d", i+1)] = text
	}
	for i, sample := range o.Samples {
		prefix := ""
		if len(o.Samples) > 1 {
			prefix = fmt.Sprintf("sample %d: ", i+1)
		}
		if !sample.Time.IsZero() {
			lines[prefix+"time"] = sample.Time.Format(time.RFC3339Nano)
		}
		for key, reading := range sample.Measurements {
			lines[prefix+key] = strings.TrimRight(fmt.Sprintf("%s %s %s", reading.Value, reading.Unit, reading.Quality), " ")
		}
		for code, active := range sample.Alarms {
			lines[prefix+"alarm "+code] = map[bool]string{true: "active", false: "not active"}[active]
		}
	}
	return lines
}

// difference is one thing that two outcomes say otherwise; "": not at all.
type difference struct{ what, before, after string }

// judge finds what differs, and says whether that is better or worse.
func (c *comparison) judge() {
	before, after := c.Before.lines(), c.After.lines()
	for what, text := range before {
		if place.ReplaceAllString(text, "") != place.ReplaceAllString(after[what], "") {
			c.differs = append(c.differs, difference{what, text, after[what]})
		}
	}
	for what, text := range after {
		if _, known := before[what]; !known {
			c.differs = append(c.differs, difference{what, "", text})
		}
	}
	slices.SortFunc(c.differs, func(a, b difference) int { return strings.Compare(a.what, b.what) })
	switch before, after := c.Before.rank(), c.After.rank(); {
	case before < after:
		c.Verdict = better
	case before > after:
		c.Verdict = worse
	case len(c.differs) > 0:
		c.Verdict = changed
	default:
		c.Verdict = same
	}
}

// text is the comparison for people: a line about the frame, and for each difference one before and one after.
func (c *comparison) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", c.Verdict)
	if c.From == "example" {
		fmt.Fprintf(&b, "example %s", printable(or(c.Name, "without a name")))
	} else {
		fmt.Fprintf(&b, "%s %d, sensor %s", c.From, c.Seq, printable(or(c.Sensor, "-")))
	}
	fmt.Fprintf(&b, ", port %d, %s", c.Port, hex.EncodeToString(c.Payload))
	for _, d := range c.differs {
		if d.before != "" {
			fmt.Fprintf(&b, "\n  - %s: %s", printable(d.what), printable(d.before))
		}
		if d.after != "" {
			fmt.Fprintf(&b, "\n  + %s: %s", printable(d.what), printable(d.after))
		}
	}
	if c.After.rank() == 1 {
		b.WriteString("\n  + nothing to publish")
	}
	return b.String()
}
