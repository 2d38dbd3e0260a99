package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"belfry/scripts/campaign/faultfs"
)

var statesCount = flag.Int("states", 300, "how many crash states the test looks at")

// built builds this program, with some files of the module replaced, and returns what parts need.
func built(t *testing.T, replaced map[string]string) *campaign {
	t.Helper()
	if err := faultfs.Available(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	self := filepath.Join(dir, "campaign")
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", self, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return &campaign{self: self, dir: dir, seed: 1, log: slog.New(slog.DiscardHandler)}
}

// mutated returns a copy of a file with one piece of it replaced.
func mutated(t *testing.T, file, old, with string) map[string]string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), old) != 1 {
		t.Fatalf("%s does not have %q once", file, old)
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(copied, []byte(strings.Replace(string(source), old, with, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{path: copied}
}

func TestPowerCutsOfRecordedWritesLoseNothing(t *testing.T) {
	r, err := runStates(context.Background(), built(t, nil), *statesCount)
	if err != nil || r.faults() > 0 || r.cases != *statesCount {
		t.Errorf("%v, error %v", &r, err)
	}
}

// A campaign that cannot fail proves nothing.
func TestStatesNoticeABufferThatBreaksItsPromises(t *testing.T) {
	for name, m := range map[string]struct{ file, old, with string }{
		"does not sync":                 {"buffer/segment.go", "NoStatistics: true,", "NoStatistics: true, NoSync: true,"},
		"acknowledges before commit":    {"buffer/writer.go", "\t\tn := b.commit(items)\n", "\t\tn := len(items)\n\t\tfor i := range items {\n\t\t\titems[i].outcome.Stored = 1\n\t\t\titems[i].finish()\n\t\t\titems[i].request = &request{}\n\t\t}\n\t\tb.commit(items)\n"},
		"does not sync its folder":      {"buffer/dir.go", "return errors.Join(f.Sync(), f.Close())", "return f.Close()"},
		"deletes what is in quarantine": {"buffer/limits.go", "for b.info(s.Number).quarantined > 0 {", "for false {"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := runStates(context.Background(), built(t, mutated(t, m.file, m.old, m.with)), 600)
			if err != nil || r.faults() == 0 {
				t.Errorf("%v, error %v", &r, err)
			}
			t.Log(&r)
		})
	}
}
