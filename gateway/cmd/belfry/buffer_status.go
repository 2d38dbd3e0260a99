package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"belfry/gateway/control"
)

type bufferStatusCommand struct {
	bufferFolder
	JSON bool `help:"Print it as JSON."`
}

// Run prints the state of the buffer; its ledger must balance.
func (c bufferStatusCommand) Run(p program) error {
	return c.use(p, false, func(b control.Buffer) error {
		status, err := b.Status(p.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(p.stdout, status)
		} else {
			_, err = io.WriteString(p.stdout, statusText(&status))
		}
		if err == nil && status.Unbalanced != "" {
			err = errors.New("the ledger does not balance: " + status.Unbalanced)
		}
		return err
	})
}

func statusText(s *control.Status) string {
	var b strings.Builder
	field := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	field("folder", "%s", s.Dir)
	if s.Live != nil {
		field("gateway", "%s, pid %d, for %s", s.Live.Version, s.Live.PID, lasting(time.Since(s.Live.Since)))
		field("writing", "%s", writing(s))
	} else {
		field("gateway", "none runs on it")
	}
	field("disk", "%s in %s", diskText(s), counted(s.Segments, "file"))
	for _, file := range s.SetAside {
		field("set aside", "%s, %s: damaged", printable(file.Name), sized(file.Bytes))
	}
	if s.Failing != "" {
		field("FAILING", "the last write: %s", s.Failing)
	}
	messages(&b, s)
	records(&b, s)
	quarantineText(&b, s)
	return b.String()
}

func writing(s *control.Status) string {
	text := grouped(s.Live.Commits) + " writes since the start"
	if time.Since(s.Live.Since) > time.Hour { // less says little about a day
		text = fmt.Sprintf("%s writes a day, %s", grouped(uint64(s.Live.CommitsDay)), sized(int64(s.Live.BytesDay)))
	}
	if !s.LastCommit.IsZero() {
		text += fmt.Sprintf("; the last %s ago", lasting(time.Since(s.LastCommit)))
	}
	return text
}

func diskText(s *control.Status) string {
	if s.MaxBytes == 0 {
		return sized(s.Bytes)
	}
	return fmt.Sprintf("%s of %s", sized(s.Bytes), sized(s.MaxBytes))
}

// line is one number of a sum.
type line struct {
	name string
	n    uint64
	more string
}

func messages(b *strings.Builder, s *control.Status) {
	l := &s.Ledger
	lines := []line{{"kept", l.Kept, ""}}
	lines = append(lines, byReason("discarded", l.Discarded)...)
	sum(b, "messages taken", l.Messages, lines)
}

func records(b *strings.Builder, s *control.Status) {
	l := &s.Ledger
	waiting := fmt.Sprintf("urgent %s, normal %s", grouped(s.Pending.Urgent), grouped(s.Pending.Normal))
	if s.Pending.Urgent+s.Pending.Normal > 0 {
		waiting += fmt.Sprintf("; the oldest for %s", lasting(time.Duration(s.Oldest*float64(time.Second))))
	}
	lines := []line{
		{"released", l.Released, "published, and gone from disk"}, {"held", l.Held, "published, still on disk"}, {"pending", l.Pending, waiting},
		{"quarantined", l.Quarantined, ""}, {"dropped", l.Dropped, "from quarantine, by command"}, {"retried", l.Retried, "from quarantine, received anew"},
	}
	lines = append(lines, byReason("expired", l.Expired)...)
	lines = append(lines, line{"lost", l.Lost, "to damage"})
	sum(b, "records received", l.Received, lines)
}

func byReason(name string, counts map[string]uint64) (lines []line) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, line{name + " " + printable(reason), counts[reason], ""})
	}
	return lines
}

// sum prints numbers, what they add up to, and what they should.
func sum(b *strings.Builder, name string, want uint64, lines []line) {
	fmt.Fprintf(b, "\n%-30s %15s\n", name, grouped(want))
	total := uint64(0)
	for _, l := range lines {
		total += l.n
		fmt.Fprintln(b, strings.TrimRight(fmt.Sprintf("  %-28s %15s   %s", l.name, grouped(l.n), l.more), " "))
	}
	verdict := "balances"
	if total != want {
		verdict = fmt.Sprintf("WRONG: should be %s", grouped(want))
	}
	fmt.Fprintf(b, "  %-28s %15s   %s\n", "=", grouped(total), verdict)
}

func quarantineText(b *strings.Builder, s *control.Status) {
	if len(s.Quarantine) == 0 {
		return
	}
	fmt.Fprintln(b, "\nin quarantine")
	for _, g := range s.Quarantine {
		fmt.Fprintf(b, "  %10s  %s %s %s: %s\n", grouped(g.Count), g.Stage, printable(or(g.Source, "-")), printable(or(g.Model, "-")), printable(g.Reason))
	}
	if s.More > 0 {
		fmt.Fprintf(b, "  %10s  more\n", grouped(s.More))
	}
}
