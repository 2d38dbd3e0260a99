package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/control"
)

type quarantineCommand struct {
	List  quarantineListCommand  `cmd:"" help:"List the messages with the reasons, one a line."`
	Show  quarantineShowCommand  `cmd:"" help:"Show one message with all that the device sent."`
	Retry quarantineRetryCommand `cmd:"" help:"Decode messages again; what still cannot be decoded stays. A running gateway does it with the files it started with: restart it after a change."`
	Drop  quarantineDropCommand  `cmd:"" help:"Remove messages for good."`
}

// filter are the flags that choose among the messages in quarantine.
type filter struct {
	Stage  string `placeholder:"STAGE" help:"Only those that failed at this stage: source, inventory, decode, map, build, publish or damaged."`
	Source string `placeholder:"NAME" help:"Only of this source."`
	Sensor string `placeholder:"ID" help:"Only of this sensor."`
	Model  string `placeholder:"NAME" help:"Only of sensors of this model."`
	Since  since  `placeholder:"TIME" help:"Only what was received since then: RFC 3339, or how long ago, such as 24h or 7d."`
}

// since is a time, or how long ago it was.
type since struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *since) UnmarshalText(text []byte) error {
	written := string(text)
	if at, err := time.Parse(time.RFC3339, written); err == nil {
		s.Time = at
		return nil
	}
	ago, err := time.ParseDuration(written)
	if days, ok := strings.CutSuffix(written, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		ago = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || ago <= 0 {
		return fmt.Errorf("got %q, want a time such as 2026-01-14T17:00:00Z, or how long ago: 90m, 24h, 7d", text)
	}
	s.Time = time.Now().Add(-ago)
	return nil
}

func (f *filter) query() control.Query {
	return control.Query{Lane: "quarantine", Stage: f.Stage, Source: f.Source, Sensor: f.Sensor, Model: f.Model, Since: f.Since.Time}
}

type quarantineListCommand struct {
	bufferFolder
	filter
	Limit int  `placeholder:"N" help:"At most so many."`
	JSON  bool `help:"Print each as a line of JSON."`
}

// Run prints one line for each message, without what the device sent.
func (c quarantineListCommand) Run(p program) error {
	return c.use(p, false, func(b control.Buffer) error {
		out := newLines(p.stdout)
		print := func(record control.Record) error { return out.text(quarantineLine(record)) }
		if c.JSON {
			print = func(record control.Record) error { return out.json(record) }
		} else if err := out.text(fmt.Sprintf("%10s  %-24s  %-9s  %-14s  %-20s  %6s  %s", "seq", "received", "stage", "source", "sensor or device", "bytes", "reason")); err != nil {
			return err
		}
		return errors.Join(eachRecord(p.ctx, b, c.query(), c.Limit, print), out.flush())
	})
}

func quarantineLine(r control.Record) string {
	stage, source, who, reason := control.Damaged, "", r.Sensor, "not what was written"
	if m := r.Message; m != nil {
		stage, source, who, reason = m.Stage, m.Source, or(r.Sensor, m.Device), m.Reason
	}
	return fmt.Sprintf("%10d  %-24s  %-9s  %-14s  %-20s  %6d  %s", r.Seq, stamp(r.Time), stage, printable(or(source, "-")), printable(or(who, "-")), r.Bytes, printable(reason))
}

type quarantineShowCommand struct {
	bufferFolder
	Seq  buffer.Seq `arg:"" help:"Its number, as list prints it."`
	JSON bool       `help:"Print it as JSON."`
}

// Help says what is in the output.
func (quarantineShowCommand) Help() string {
	return "The output has all that the device sent: treat it as personal data."
}

// Run prints the fields of one message.
func (c quarantineShowCommand) Run(p program) error {
	return c.use(p, false, func(b control.Buffer) error {
		page, err := b.Records(p.ctx, control.Query{Lane: "quarantine", From: c.Seq, To: c.Seq, Limit: 1, Content: true})
		if err != nil {
			return err
		}
		if len(page.Records) == 0 {
			return fmt.Errorf("%d is not in quarantine (belfry buffer quarantine list says what is)", c.Seq)
		}
		if c.JSON {
			return printJSON(p.stdout, page.Records[0])
		}
		_, err = fmt.Fprint(p.stdout, messageText(page.Records[0]))
		return err
	})
}

func messageText(r control.Record) string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, printable(value))
		}
	}
	field("seq", fmt.Sprint(r.Seq))
	if r.Message == nil {
		field("state", "damaged: not what was written; it can be exported or dropped")
		field("bytes", hex.EncodeToString(r.Data))
		return b.String()
	}
	m := r.Message
	field("stage", m.Stage)
	field("reason", m.Reason)
	field("received", stamp(m.Received))
	if !m.Time.IsZero() {
		field("sent", stamp(m.Time)+" (the network's time)")
	}
	for _, f := range [][2]string{
		{"source", m.Source}, {"topic", m.Topic}, {"device", m.Device}, {"sensor", r.Sensor}, {"model", m.Model}, {"decoder", m.Decoder}, {"id", r.ID}, {"identity", m.Identity},
	} {
		field(f[0], f[1])
	}
	if m.Port > 0 {
		field("port", fmt.Sprint(m.Port))
	}
	field("payload", hex.EncodeToString(m.Payload))
	if len(m.Raw) > 0 {
		fmt.Fprintf(&b, "%-10s %s\n", "raw", rawText(m.Raw))
	}
	return b.String()
}

// rawText is a message as text if it is text, else in hex.
func rawText(raw []byte) string {
	isText := utf8.Valid(raw) && strings.IndexFunc(string(raw), func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) }) < 0
	if isText {
		return string(raw)
	}
	return hex.EncodeToString(raw)
}

// chosen says which messages a command is for: those with the numbers given, or all that the filter lets through.
type chosen struct {
	filter
	Seqs []buffer.Seq `arg:"" optional:"" name:"seq" help:"Numbers, as list prints them."`
	All  bool         `help:"All messages, or all that the filters leave; a filter alone says so too."`
}

func (c *chosen) check() error {
	if len(c.Seqs) == 0 && c.filter != (filter{}) {
		c.All = true
	}
	switch {
	case len(c.Seqs) == 0 && !c.All:
		return errors.New("which messages? Give their numbers, or --all or some of --stage, --source, --sensor, --model, --since")
	case len(c.Seqs) > 0 && (c.All || c.filter != filter{}):
		return errors.New("give numbers, or --all with filters, not both")
	}
	return nil
}

const seqsAtOnce = 250

// each calls f with the numbers of the messages, some at a time.
func (c *chosen) each(p program, b control.Buffer, f func(seqs []buffer.Seq) error) error {
	if !c.All {
		for seqs := range slices.Chunk(c.Seqs, seqsAtOnce) {
			if err := f(seqs); err != nil {
				return err
			}
		}
		return nil
	}
	var seqs []buffer.Seq
	err := control.Each(p.ctx, b, c.query(), 0, func(record control.Record) error {
		if seqs = append(seqs, record.Seq); len(seqs) < seqsAtOnce {
			return nil
		}
		err := f(seqs)
		seqs = nil
		return err
	})
	if err == nil && len(seqs) > 0 {
		err = f(seqs)
	}
	return err
}

type quarantineRetryCommand struct {
	bufferFolder
	chosen
	DryRun bool `help:"Only say what would become of each."`
	JSON   bool `help:"Print each as a line of JSON."`
}

// Validate implements kong's check.
func (c *quarantineRetryCommand) Validate() error { return c.check() }

// Run prints what became of each message. A message that was named and stays is a failure.
func (c quarantineRetryCommand) Run(p program) error {
	return c.use(p, true, func(b control.Buffer) error {
		out := newLines(p.stdout)
		counts := map[string]uint64{}
		err := c.each(p, b, func(seqs []buffer.Seq) error {
			all, err := b.Retry(p.ctx, seqs, c.DryRun)
			for _, one := range all {
				counts[one.Outcome]++
				if c.JSON {
					err = errors.Join(err, out.json(one))
				} else {
					err = errors.Join(err, out.text(retriedText(one)))
				}
			}
			return errors.Join(err, out.flush())
		})
		if err != nil {
			return err
		}
		fmt.Fprintln(p.stderr, retrySummary(counts, c.DryRun))
		if !c.All && counts[gateway.RetryStill]+counts[gateway.RetryAbsent] > 0 {
			return errReported
		}
		return nil
	})
}

func retriedText(r gateway.Retried) string {
	switch r.Outcome {
	case gateway.RetrySent:
		var b strings.Builder
		for i, event := range r.Events {
			if i > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "%d: event %s on %s", r.Seq, printable(event.ID), printable(event.Subject))
		}
		return b.String()
	case gateway.RetryNothing:
		return fmt.Sprintf("%d: decoded, and holds nothing to publish", r.Seq)
	case gateway.RetryRepeat:
		return fmt.Sprintf("%d: its reading has come another way since", r.Seq)
	case gateway.RetryAbsent:
		return fmt.Sprintf("%d: not in quarantine", r.Seq)
	}
	return fmt.Sprintf("%d: still in quarantine: %s", r.Seq, printable(r.Reason))
}

func retrySummary(counts map[string]uint64, dry bool) string {
	left := counts[gateway.RetrySent] + counts[gateway.RetryNothing] + counts[gateway.RetryRepeat]
	text := fmt.Sprintf("%s left quarantine, %s of them as events; %s stay", grouped(left), grouped(counts[gateway.RetrySent]), grouped(counts[gateway.RetryStill]))
	if dry {
		text = "nothing was changed; it would be: " + text
	}
	return text
}

type quarantineDropCommand struct {
	bufferFolder
	chosen
	Yes bool `help:"Needed for more than one message: they cannot be brought back."`
}

// Validate implements kong's check.
func (c *quarantineDropCommand) Validate() error {
	if err := c.check(); err != nil {
		return err
	}
	if !c.Yes && (c.All || len(c.Seqs) > 1) {
		return errors.New("more than one message is dropped only with --yes: they cannot be brought back (export them first with: belfry buffer export --lane quarantine)")
	}
	return nil
}

// Run drops the messages. One that was named and is not there is a failure.
func (c quarantineDropCommand) Run(p program) error {
	return c.use(p, true, func(b control.Buffer) error {
		dropped := 0
		err := c.each(p, b, func(seqs []buffer.Seq) error {
			gone, err := b.Drop(p.ctx, seqs)
			dropped += len(gone)
			for _, seq := range seqs {
				if err == nil && !c.All && !slices.Contains(gone, seq) {
					fmt.Fprintf(p.stderr, "%d: not in quarantine\n", seq)
				}
			}
			return err
		})
		fmt.Fprintf(p.stdout, "%s dropped\n", counted(dropped, "message"))
		if err == nil && !c.All && dropped < len(c.Seqs) {
			return errReported
		}
		return err
	})
}
