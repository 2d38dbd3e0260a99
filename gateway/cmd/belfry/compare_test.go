package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belfry/buffer"
	"belfry/gateway/event"
)

// comparedTown is a configuration with the model acme-bin, and in quarantine frames that its codec refused, as it does
// those with 0xee and those of port 4; and one of another model.
func comparedTown(t *testing.T) (config string) {
	t.Helper()
	config, dir := filledTown(t)
	if err := os.MkdirAll(filepath.Join(config, "models/codecs"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(config, "models/acme-bin.yaml"), codecModel)
	write(t, filepath.Join(config, "models/codecs/acme-bin.js"), binCodec)
	b, err := buffer.Open(buffer.Options{Dir: dir, CommitDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var groups []buffer.Group
	for _, q := range []event.Quarantined{
		{Model: "acme-bin", Port: 4, Payload: []byte{3, 0xe8, 20, 44}},
		{Model: "acme-bin", Port: 3, Payload: []byte{0xee, 0, 0, 0}},
		{Model: "acme-bin", Port: 9, Payload: []byte{1, 2}},
		{Model: "other", Port: 4, Payload: []byte{3, 0xe8, 20, 44}},
	} {
		q.Stage, q.Reason, q.Source, q.Sensor, q.Received = "decode", "refused", "radio", "BIN-0007", time.Now()
		groups = append(groups, buffer.Group{Build: func(tx *buffer.Tx) error { tx.Append(buffer.Quarantine, q.Append(nil)); return nil }})
	}
	done := make(chan error, 1)
	if err := b.Append(t.Context(), groups, func(_ buffer.Outcome, err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return config
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// compared runs decode --compare.
func compared(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	got, stdout, stderr := belfry(t, append([]string{"decode", "--compare"}, args...)...)
	if got != code {
		t.Errorf("%v: exit code %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	return stdout, stderr
}

func TestComparisonOfCodecsShowsWhatANewOneChanges(t *testing.T) {
	config := comparedTown(t)
	old, dir := filepath.Join(config, "models/codecs/acme-bin.js"), t.TempDir()
	for _, c := range []struct {
		name, codec string
		code        int
		wants       []string
		not         string
	}{
		{"the same", binCodec + "\n", 0, []string{"acme-bin: 6 same, 0 better, 0 worse, 0 changed (3 messages in quarantine, 3 examples)"}, "port"},
		{"knows port 4", strings.Replace(binCodec, "case 3:", "case 3: case 4:", 1), 0, []string{
			"better: quarantine 5, sensor BIN-0007, port 4, 03e8142c\n", "  - error: malformed", "  + fill_distance: 1000 mm\n", "  + alarm container_full: not active\n",
			"5 same, 1 better, 0 worse, 0 changed",
		}, "quarantine 7"},
		{"does not hang", strings.Replace(binCodec, "while (true) {}", "", 1), 0, []string{"better: quarantine 6", "took too long", "  + fill_distance: 60928 mm"}, "quarantine 5"},
		{"reads otherwise", strings.Replace(binCodec, "input.bytes[3] / 2", "input.bytes[3] / 4", 1), 0, []string{
			"changed: example half full, port 3, 03e8142c\n  - container_temperature_2: 22 Cel\n  + container_temperature_2: 11 Cel\n", "4 same, 0 better, 0 worse, 2 changed",
		}, "fill_distance"},
		{"refuses more", strings.Replace(binCodec, "length < 4", "length < 5", 1), exitFailed, []string{
			"worse: example full, port 3, 0fa0142c\n  - alarm container_full: active\n", "  + error: malformed", "too short", "2 worse",
		}, ""},
		{"calls it something else", strings.NewReplacer("distance:", "range:", "temperatures:", "t:", "full:", "f:").Replace(binCodec), exitFailed, []string{
			"worse: example half full", "  - fill_distance: 1000 mm\n", "  + nothing to publish\n",
		}, ""},
		{"throws for another port", strings.Replace(binCodec, `return {errors: ["unknown FPort"]}`, `null.port`, 1), 0, []string{"changed: quarantine 5", "  - error: ", "  + error: "}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, _ := compared(t, c.code, old, write(t, filepath.Join(dir, "new.js"), c.codec), "--config", config)
			for _, want := range c.wants {
				if !strings.Contains(stdout, want) {
					t.Errorf("no %q in\n%s", want, stdout)
				}
			}
			if c.not != "" && strings.Contains(stdout, c.not) {
				t.Errorf("%q in\n%s", c.not, stdout)
			}
		})
	}
}

func TestPlaceOfAnErrorInACodecIsNoDifference(t *testing.T) {
	config := comparedTown(t)
	old := write(t, filepath.Join(t.TempDir(), "a.js"), strings.Replace(binCodec, `return {errors: ["unknown FPort"]}`, `null.port`, 1))
	text, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	moved := write(t, filepath.Join(t.TempDir(), "b.js"), "// one\n// more\n"+string(text))
	if stdout, _ := compared(t, 0, old, moved, "--model", "acme-bin", "--config", config); !strings.HasPrefix(stdout, "acme-bin: 6 same") {
		t.Errorf("got %s", stdout)
	}
}

func TestComparisonBesideARunningGatewayInJSON(t *testing.T) {
	config := comparedTown(t)
	runTown(t, config)
	moved := write(t, filepath.Join(t.TempDir(), "new.js"), strings.Replace(binCodec, "case 3:", "case 4:", 1))
	stdout, stderr := compared(t, exitFailed, filepath.Join(config, "models/codecs/acme-bin.js"), moved, "--json", "--config", config)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var first comparison
	var last summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Verdicts[worse] != 2 || last.Verdicts[better] != 1 || last.Frames["quarantine"] != 3 || last.Model != "acme-bin" {
		t.Errorf("got %s, %v", lines[len(lines)-1], err)
	}
	var raw map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &raw); err != nil || raw["payload"] != "03e8142c" || raw["from"] != "quarantine" {
		t.Errorf("got %s, %v", lines[0], err)
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first.Verdict != better || first.Before.Error == "" || len(first.After.Samples) != 1 || first.Seq != 5 {
		t.Errorf("got %s, %v", lines[0], err)
	}
	if !strings.Contains(stderr, "not kept") {
		t.Errorf("nothing of the frames that are not there in %s", stderr)
	}
}

func TestModelsAreComparedUnderAnyFileName(t *testing.T) {
	config := comparedTown(t)
	changedModel := strings.NewReplacer("fill_distance: {field: level.distance, unit: mm}", "fill_distance: {field: level.distance, unit: cm}").Replace(codecModel)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "codecs"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "codecs/acme-bin.js"), binCodec)
	proposed := write(t, filepath.Join(dir, "proposed.yaml"), changedModel)
	old := filepath.Join(config, "models/acme-bin.yaml")
	stdout, _ := compared(t, 0, old, proposed, "--config", config)
	if !strings.Contains(stdout, "  - fill_distance: 1000 mm\n  + fill_distance: 10000 mm\n") || !strings.Contains(stdout, "4 same, 0 better, 0 worse, 2 changed") {
		t.Errorf("got %s", stdout)
	}
	stdout, stderr := compared(t, 0, old, proposed) // no configuration
	if !strings.Contains(stdout, "1 same, 0 better, 0 worse, 2 changed (0 messages in quarantine, 3 examples)") || !strings.Contains(stderr, "No configuration") {
		t.Errorf("got %s%s", stdout, stderr)
	}
}

func TestComparisonSaysWhatIsWrong(t *testing.T) {
	config := comparedTown(t)
	old, other := filepath.Join(config, "models/codecs/acme-bin.js"), write(t, filepath.Join(t.TempDir(), "other.js"), binCodec+"// ")
	broken := write(t, filepath.Join(t.TempDir(), "broken.js"), "function (")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{old}, exitUsage, "OLD and NEW"},
		{[]string{old, "--config", config}, exitUsage, "OLD and NEW"},
		{[]string{old, "new.txt"}, exitUsage, "neither a codec (.js) nor a model (.yaml)"},
		{[]string{old, other, "--sensor", "S1"}, exitUsage, "one of --codec, --sensor, --model and --compare"},
		{[]string{old, other, "00"}, exitUsage, "no payload"},
		{[]string{other, other, "--config", config}, exitFailed, "--model NAME"},
		{[]string{old, other, "--config", config, "--model", "acme-bim"}, exitFailed, `did you mean "acme-bin"?`},
		{[]string{old, other, "--config", config, "--model", "dingtek-df702"}, exitFailed, "not decoded by a codec"},
		{[]string{old, broken, "--config", config}, exitFailed, "SyntaxError"},
		{[]string{old, "absent.js", "--config", config}, exitFailed, "absent.js"},
		{[]string{old, "absent.yaml", "--config", config}, exitFailed, "absent.yaml"},
	} {
		if _, stderr := compared(t, c.code, c.args...); !strings.Contains(stderr, c.want) {
			t.Errorf("%v: no %q in %s", c.args, c.want, stderr)
		}
	}
	if code, _, stderr := belfry(t, "decode", "--model", "dingtek-df702", "--json", "00"); code != exitUsage || !strings.Contains(stderr, "--json goes with --compare") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestComparisonGoesOnOverFramesThatHang(t *testing.T) {
	config := comparedTown(t)
	hanging := write(t, filepath.Join(t.TempDir(), "new.js"), "function decodeUplink() { while (true) {} }")
	stdout, _ := compared(t, exitFailed, filepath.Join(config, "models/codecs/acme-bin.js"), hanging, "--config", config)
	if strings.Contains(stdout, "not run for a while") || strings.Count(stdout, "+ error: the codec took too long") != 5 || !strings.Contains(stdout, "1 same, 0 better, 2 worse, 3 changed") {
		t.Errorf("got %s", stdout)
	}
}
