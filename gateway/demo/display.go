package demo

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// display writes lines for people, and below them two that change, when out is a terminal.
type display struct {
	mu       sync.Mutex // guards all below
	out      io.Writer
	terminal bool
	status   string // on the screen without a newline
	shown    map[string]bool
	last     time.Time // of the last summary
}

// plainInterval is how often a summary is written where lines cannot be redrawn.
const plainInterval = 5 * time.Second

func newDisplay(out io.Writer) *display {
	d := &display{out: out, shown: map[string]bool{}}
	if file, ok := out.(*os.File); ok {
		info, err := file.Stat()
		d.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return d
}

// line writes one line, above the summary.
func (d *display) line(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lineLocked(fmt.Sprintf(format, args...))
}

func (d *display) lineLocked(text string) {
	d.clearLocked()
	fmt.Fprintln(d.out, text)
	if d.status != "" {
		fmt.Fprint(d.out, d.status)
	}
}

func (d *display) clearLocked() {
	if d.status != "" {
		fmt.Fprint(d.out, "\r\x1b[K", strings.Repeat("\x1b[A\x1b[K", strings.Count(d.status, "\n")))
	}
}

// summary shows the state of things: in place on a terminal, else as a line now and then.
func (d *display) summary(s *summary) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := s.String()
	if d.terminal {
		d.clearLocked()
		d.status = text
		fmt.Fprint(d.out, text)
		return
	}
	if time.Since(d.last) >= plainInterval {
		d.last = time.Now()
		fmt.Fprintln(d.out, text)
	}
}

// due makes the next summary appear whatever the time.
func (d *display) due() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = time.Time{}
}

// finish leaves the summary where it is.
func (d *display) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status != "" {
		fmt.Fprintln(d.out)
		d.status = ""
	}
}

// summary is what goes on, in two lines.
type summary struct {
	elapsed                                time.Duration
	sent, published, buffered, quarantined uint64
	rate                                   float64 // events seen on the stream, a second
	p50, p99                               time.Duration
	radio                                  Radio
}

func (s *summary) String() string {
	return fmt.Sprintf("%4s   messages %s   published %s   buffered %s   quarantined %s   %.0f events/s   latency p50 %s  p99 %s\n      radio: %s",
		s.elapsed.Round(time.Second), thousands(s.sent), thousands(s.published), thousands(s.buffered), thousands(s.quarantined),
		s.rate, short(s.p50), short(s.p99), &s.radio)
}

// short prints a duration to what matters; "-" when there was none.
func short(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// event shows the first event of each shape.
func (d *display) event(e *streamEvent) {
	shape, text := e.shape()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.shown[shape] {
		d.shown[shape] = true
		d.lineLocked(fmt.Sprintf("  %-46s %s", e.subject, text))
	}
}

// shape names what sort of event this is, and says in short what is in it.
func (e *streamEvent) shape() (shape, text string) {
	switch {
	case e.Data.Notice != nil:
		return "notice " + e.Data.Notice.Code, e.Data.Notice.Code + ": " + e.Data.Notice.Reason
	case e.Data.Alarm != nil:
		edge := Edge{e.Data.Alarm.Code, e.Data.Alarm.Active}
		return fmt.Sprintf("alarm %s %v", e.Service, edge.Active), edge.String()
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(e.Data.Measurements)) {
		m := e.Data.Measurements[name]
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %v %s", name, m.Value, people(m.Unit))))
	}
	parts = append(parts, e.Data.Alarms...)
	return "observation " + e.Data.Sensor.Model + " " + firstName(e), strings.Join(parts, ", ")
}

// firstName tells the messages of one product apart.
func firstName(e *streamEvent) string {
	if len(e.Data.Measurements) == 0 {
		return ""
	}
	return slices.Min(slices.Collect(maps.Keys(e.Data.Measurements)))
}

// people writes a UCUM unit as people do.
func people(unit string) string {
	switch unit {
	case "Cel":
		return "°C"
	case "W.h":
		return "Wh"
	case "deg":
		return "°"
	case "1":
		return ""
	}
	return unit
}
