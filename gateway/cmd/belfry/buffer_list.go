package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"belfry/buffer"
	"belfry/gateway/control"
)

// selected are the flags of commands that go over the records.
type selected struct {
	Lane   string     `enum:",urgent,normal,quarantine,pending,held" default:"" placeholder:"LANE" help:"Only of urgent (alarms and notices), normal (observations) or quarantine; or those of the first two that are pending or held."`
	Sensor string     `placeholder:"ID" help:"Only of this sensor."`
	From   buffer.Seq `placeholder:"SEQ" help:"Begin with this number."`
	Limit  int        `placeholder:"N" help:"At most so many."`
}

func (s *selected) query() control.Query {
	q := control.Query{Lane: s.Lane, Sensor: s.Sensor, From: s.From}
	if s.Lane == control.Pending || s.Lane == control.Held {
		q.Lane, q.State = "", s.Lane
	}
	return q
}

type bufferListCommand struct {
	bufferFolder
	selected
	JSON bool `help:"Print each as a line of JSON."`
}

// Run prints one line for each record.
func (c bufferListCommand) Run(p program) error {
	return c.use(p, false, func(b control.Buffer) error {
		out := newLines(p.stdout)
		print := func(record control.Record) error { return out.text(listLine(record)) }
		if c.JSON {
			print = func(record control.Record) error { return out.json(record) }
		} else if err := out.text(fmt.Sprintf("%10s  %-10s  %-11s  %-24s  %-26s  %6s  %s", "seq", "lane", "state", "time", "id", "bytes", "subject")); err != nil {
			return err
		}
		return errors.Join(eachRecord(p.ctx, b, c.query(), c.Limit, print), out.flush())
	})
}

func listLine(r control.Record) string {
	subject := r.Subject
	if r.Message != nil && subject == "" {
		subject = fmt.Sprintf("(%s) %s %s", r.Message.Stage, or(r.Message.Source, "-"), or(r.Message.Device, "-"))
	}
	return fmt.Sprintf("%10d  %-10s  %-11s  %-24s  %-26s  %6d  %s", r.Seq, r.Lane, r.State, stamp(r.Time), or(printable(r.ID), "-"), r.Bytes, printable(or(subject, "-")))
}

type bufferExportCommand struct {
	bufferFolder
	selected
}

// Help says what is in the output.
func (bufferExportCommand) Help() string {
	return "The output has readings in clear, and of quarantined messages all that the device sent (payload and raw in base64): treat it as personal data."
}

// Run prints each record with all that is in it.
func (c bufferExportCommand) Run(p program) error {
	return c.use(p, false, func(b control.Buffer) error {
		out := newLines(p.stdout)
		q := c.query()
		q.Content = true
		return errors.Join(eachRecord(p.ctx, b, q, c.Limit, func(record control.Record) error { return out.json(record) }), out.flush())
	})
}

// lines writes many lines.
type lines struct {
	buffered *bufio.Writer
	encoder  *json.Encoder
}

func newLines(out io.Writer) *lines {
	buffered := bufio.NewWriterSize(out, 64<<10)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	return &lines{buffered, encoder}
}

func (l *lines) text(line string) error {
	_, err := fmt.Fprintln(l.buffered, line)
	return err
}

func (l *lines) json(value any) error { return l.encoder.Encode(value) }

func (l *lines) flush() error { return l.buffered.Flush() }
