package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	startsFile   = "starts"
	crashWindow  = 5 * time.Minute
	crashStarts  = 3           // in the window, none of which lived for steadyLife
	steadyLife   = time.Minute // of running
	maxStartsLog = 4 << 10     // bytes that are read back
)

// starts remembers in the buffer's folder the starts that have not come to anything yet, to notice a crash loop. Its
// times are seconds since the machine's boot: the wall clock of a small box may be anything.
type starts struct {
	path   string
	boot   string        // names this boot of the machine
	uptime time.Duration // since then
}

// noteStart notes that the program starts, and says whether it is in a crash loop. What goes wrong here never keeps the
// program from running: it is then not in a crash loop.
func noteStart(dir string) (s starts, looping bool) {
	boot, uptime, err := sinceBoot()
	if err != nil {
		return starts{}, false // not Linux, or no /proc
	}
	s = starts{path: filepath.Join(dir, startsFile), boot: boot, uptime: uptime}
	recent := append(s.recent(), s)
	var text bytes.Buffer
	for _, start := range recent {
		fmt.Fprintf(&text, "%s %.2f\n", start.boot, start.uptime.Seconds())
	}
	s.write(text.Bytes())
	return s, len(recent) >= crashStarts
}

// recent reads the starts of this boot within the window. A line that cannot be read does not count.
func (s starts) recent() []starts {
	file, err := os.Open(s.path)
	if err != nil {
		return nil
	}
	defer file.Close()
	text := make([]byte, maxStartsLog)
	n, _ := file.Read(text)
	var recent []starts
	for line := range strings.Lines(string(text[:n])) {
		var boot string
		var seconds float64
		if _, err := fmt.Sscanf(line, "%s %f\n", &boot, &seconds); err != nil || boot != s.boot {
			continue
		}
		at := time.Duration(seconds * float64(time.Second))
		if at <= s.uptime && s.uptime-at < crashWindow {
			recent = append(recent, starts{boot: boot, uptime: at})
		}
	}
	return recent[max(0, len(recent)-crashStarts):]
}

// write replaces the file. Nothing hangs on it, so it is neither synced nor is an error told.
func (s starts) write(text []byte) {
	temporary := s.path + ".new"
	if os.WriteFile(temporary, text, 0o600) == nil {
		_ = os.Rename(temporary, s.path)
	} else {
		_ = os.Remove(temporary)
	}
}

// forget forgets all starts: this one came to something, or was none.
func (s starts) forget() {
	if s.path != "" {
		_ = os.Remove(s.path)
	}
}

// sinceBoot names this boot of the machine and says how long ago it was, suspended time included.
func sinceBoot() (boot string, uptime time.Duration, err error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0, err
	}
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "", 0, err
	}
	var seconds float64
	if _, err := fmt.Sscan(string(text), &seconds); err != nil {
		return "", 0, fmt.Errorf("/proc/uptime: %w", err)
	}
	return strings.TrimSpace(string(id)), time.Duration(seconds * float64(time.Second)), nil
}
