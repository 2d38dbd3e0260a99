package buffer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// F39: the n-th fsync of the process fails, of data or of the meta page: what was acknowledged is there, and nothing else.
func TestFailedFsyncCostsNothingAcknowledged(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	met := 0
	for _, n := range []int{1, 2, 3, 5, 8, 13, 21} {
		dir, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
		inject := fmt.Sprintf("inject=fsync,fdatasync:error=EIO:when=%d..%d", n, n+n%2) // counted for each thread
		out, err := faultChild(dir, "strace", "-f", "-qq", "-o", trace, "-e", "trace=fsync,fdatasync", "-e", inject).CombinedOutput()
		text := string(out)
		if err != nil && strings.Contains(text, "strace:") {
			t.Skip("strace cannot work here: ", text)
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", inject, err, text)
		}
		held := said(text, "held")
		calls, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		met += strings.Count(string(calls), "INJECTED")
		b := open(t, small(dir))
		var found []string
		for _, r := range read(t, b, Normal, 0) {
			found = append(found, strings.TrimSuffix(string(r.Data), fmt.Sprintf("%01000d", 0)))
		}
		if !slices.Equal(found, held) {
			t.Errorf("%s: found %v, acknowledged %v\n%s", inject, found, held, text)
		}
		if s := b.Stats(); s.Damaged > 0 && len(held) > 0 {
			t.Errorf("%s: %d records are called damaged", inject, s.Damaged)
		}
		mustPut(t, b, one(Normal, "after"))
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if met < 7 {
		t.Errorf("%d faults were met, want at least one in each run", met)
	}
}
