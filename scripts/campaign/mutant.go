package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mutant is a changed program that breaks a promise.
type mutant struct {
	name  string
	does  string // what it does wrong
	edits []edit
	parts []string // that should notice: the first that can run on this machine
	cases int      // of one attempt
}

// edit replaces a text that is there exactly once.
type edit struct{ file, old, new string }

// mutants each take away what one promise rests on.
var mutants = []mutant{
	{
		name: "no-sync", does: "does not wait for the disk", parts: []string{"box", "states"}, cases: 6,
		edits: []edit{{"buffer/segment.go", "\tdb.AllocSize = s.sizes.alloc\n", "\tdb.AllocSize = s.sizes.alloc\n\tdb.NoSync = !readOnly\n"}},
	},
	{
		name: "early-acknowledgement", does: "acknowledges before the commit", parts: []string{"kill"}, cases: 30,
		edits: []edit{{"buffer/writer.go", `		n := b.commit(items)
		b.queue.acknowledge(n)
		for i := range items[:n] {
			items[i].finish()
		}
		b.queue.acknowledged()
		items = items[n:]
`, `		for i := range items {
			items[i].finish()
		}
		for len(items) > 0 {
			n := b.commit(items)
			b.queue.acknowledge(n)
			b.queue.acknowledged()
			items = items[n:]
		}
`}},
	},
	{
		name: "no-hold", does: "forgets a record when NATS has acknowledged it", parts: []string{"server"}, cases: 4,
		edits: []edit{
			{"buffer/limits.go", "time.Since(s.releasedAt) >= max(0, b.options.Hold)", "b.options.Hold != 0"},
			{"gateway/forward/verify.go", "\t\tif t.back[i] < mark {\n", "\t\tif t.back[i] < mark && l == nil {\n"},
		},
	},
	{
		name: "no-read-back", does: "never asks the stream what it has", parts: []string{"kill"}, cases: 20,
		edits: []edit{
			{"gateway/forward/publish.go", "\t\tif s.sure {\n", "\t\tif s != nil {\n"},
			{"gateway/forward/publish.go", "\tif s.conflicts < giveUpExpecting {\n", "\tif s.conflicts < -giveUpExpecting {\n"},
			{"gateway/forward/verify.go", "\tcase r.lost:\n", "\tcase r.lost && f == nil:\n"},
		},
	},
	{
		name: "no-marks", does: "does not recognise what the broker repeats", parts: []string{"kill"}, cases: 20,
		edits: []edit{{"buffer/batch.go", "marked && g.Once && bt.repeated(g.Mark)", "marked && g.Once && bt.repeated(g.Mark) && bt == nil"}},
	},
	{
		name: "early-mark", does: "takes a record to be published when it was sent", parts: []string{"kill"}, cases: 20,
		edits: []edit{{"gateway/forward/lane.go", "\tif l.first != nil {\n\t\treturn l.first.record.Seq - 1\n", "\tif l == nil {\n\t\treturn l.first.record.Seq - 1\n"}},
	},
}

// overlay writes the changed files into dir, with the file that tells the compiler of them.
func (m mutant) overlay(source, dir string) (path string, err error) {
	replace := map[string]string{}
	for i, e := range m.edits {
		original, err := filepath.Abs(filepath.Join(source, e.file))
		if err != nil {
			return "", err
		}
		from := original
		if changed, ok := replace[original]; ok {
			from = changed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(text), e.old); n != 1 {
			return "", fmt.Errorf("mutant %s does not apply any more: in %s there is not one but %d times:\n%s", m.name, e.file, n, e.old)
		}
		changed := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(e.file)))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600); err != nil {
			return "", err
		}
		replace[original] = changed
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

// build makes the mutant's programs in dir.
func (m mutant) build(ctx context.Context, source, dir string) error {
	overlay, err := m.overlay(source, dir)
	if err != nil {
		return err
	}
	for name, path := range map[string]string{"belfry": "./gateway/cmd/belfry", "campaign": "./scripts/campaign"} {
		if name == "campaign" && len(m.parts) < 2 { // nothing of it is in what notices
			continue
		}
		build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", filepath.Join(dir, name), path)
		build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build mutant %s: %w\n%s", m.name, errors.Join(ctx.Err(), err), out)
		}
	}
	return nil
}
