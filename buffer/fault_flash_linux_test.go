package buffer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// written returns what this process has had written to disks so far.
func written(t *testing.T) (bytes uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("no way to count what is written: ", err)
	}
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "write_bytes: %d", &bytes) // the other lines have other names
	}
	return bytes
}

// F52: at 20 events of 700 bytes a second less than 10 GB a day is written, and the status says how much it is. The test runs
// at five times the speed, in a segment that is half full, with what is published marked.
func TestADayOfEventsIsLessThanTenGigabytesOnFlash(t *testing.T) {
	const speed, perSecond, size, most = 5, 20, 700, 10e9
	dir := t.TempDir()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Type == 0x01021994 {
		t.Skip("needs a disk, not a tmpfs")
	}
	b := open(t, Options{Dir: dir, CommitDelay: defaultDelay / speed})
	for range 80 {
		mustPut(t, b, many(Normal, 256, size)...)
	}
	before, writtenBefore := b.Stats(), written(t)
	random := rand.New(rand.NewPCG(1, 2))
	began := time.Now()
	for time.Since(began) < 4*time.Second {
		time.Sleep(time.Duration(random.ExpFloat64() * float64(time.Second) / (speed * perSecond)))
		if err := b.Append(t.Context(), many(Normal, 1, size), nil); err != nil {
			t.Fatal(err)
		}
		b.Published(Normal, b.Stats().LastSeq)
	}
	took := time.Since(began).Seconds() * speed
	after := b.Stats()
	events, commits := after.Appended-before.Appended, float64(after.Commits-before.Commits)/took
	aDay := func(bytes uint64) float64 { return float64(bytes) / float64(events) * perSecond * 86400 }
	said, did := aDay(after.CommitBytes-before.CommitBytes), aDay(written(t)-writtenBefore)
	t.Logf("%d events, %.1f commits a second, %.1f GB a day, of them %.1f GB pages", events, commits, did/1e9, said/1e9)
	if commits > 4 {
		t.Errorf("%.1f commits a second, want at most 4", commits)
	}
	if did > most || said > did {
		t.Errorf("%.1f GB a day are written, the status says %.1f, want less than %.0f", did/1e9, said/1e9, most/1e9)
	}
}
