package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what is reported into the files of testdata/mistakes")

// noModels keeps what is built in out of a test.
var noModels = Env{Models: fstest.MapFS{}}

// TestEveryMistakeIsReportedWithItsPlace replaces files of a valid folder with those of a case.
func TestEveryMistakeIsReportedWithItsPlace(t *testing.T) {
	cases, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := validFolder(t)
			last := len(archive.Files) - 1
			for _, part := range archive.Files[:last] {
				write(t, filepath.Join(dir, part.Name), string(part.Data))
			}
			config, problems := Load(dir, noModels)
			got := strings.ReplaceAll(problems.String(), dir, "DIR")
			if *update {
				archive.Files[last].Data = []byte(got)
				write(t, file, string(txtar.Format(archive)))
			}
			if diff := cmp.Diff(string(archive.Files[last].Data), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if len(problems) == 0 || (config == nil) != problems.Fatal() {
				t.Errorf("config is nil: %v, problems are fatal: %v", config == nil, problems.Fatal())
			}
		})
	}
}

// validFolder returns a copy of the town in testdata.
func validFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/town")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
