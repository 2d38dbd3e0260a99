package main

import (
	"strings"
	"testing"
)

const testedModel = `model: box
kind: waste_container
service: waste
decoder: json
json:
  fields:
    - {name: level, path: level, unit: "%"}
    - {name: fire, path: fire}
measurements: {fill_level: level}
alarms: {container_fire: fire}
examples:
  - {name: half full, text: '{"level": 50}', measurements: {fill_level: 50}}
`

func TestTestRunsEveryExampleOfTheBuiltInModels(t *testing.T) {
	code, stdout, stderr := belfry(t, "test")
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, %s\n%s", code, stderr, stdout)
	}
	if !strings.Contains(stdout, " dingtek-df702 ") || !strings.Contains(stdout, " passed, 0 failed") {
		t.Errorf("got\n%s", stdout)
	}
}

func TestTestShowsWhatCameOutAndWhatWasWanted(t *testing.T) {
	dir := writeFolder(t, "models/box.yaml", testedModel+`  - {name: wrong level, text: '{"level": 60}', measurements: {fill_level: 61}}
  - {name: wrong alarm, text: '{"level": 60, "fire": true}', measurements: {fill_level: 60}}
  - {name: wrong error, text: '{"level": 60}', error: malformed}
`)
	code, stdout, _ := belfry(t, "test", "--config", dir, "--model", "box")
	want := `          model examples   passed   failed
[1/1]     box          4        1        3

box, examples[1] "wrong level"
  {"level": 60}
  got fill_level = 60, want 61

box, examples[2] "wrong alarm"
  {"level": 60, "fire": true}
  got alarms [container_fire], want []

box, examples[3] "wrong error"
  {"level": 60}
  want an error with "malformed", got <nil>

1 model, 4 examples: 1 passed, 3 failed
`
	if code != exitFailed || stdout != want {
		t.Errorf("exit code %d, got\n%s\nwant\n%s", code, stdout, want)
	}
}

func TestTestFailsForAModelThatCannotBeRun(t *testing.T) {
	dir := writeFolder(t, "models/box.yaml", strings.Replace(testedModel, "fill_level: level", "fill_levl: level", 1))
	code, stdout, stderr := belfry(t, "test", "--config", dir)
	if code != exitFailed || !strings.Contains(stderr, "models/box.yaml:9:") || !strings.Contains(stdout, " dingtek-df702 ") {
		t.Errorf("exit code %d, %s\n%s", code, stderr, stdout)
	}
	if code, _, stderr := belfry(t, "test", "--model", "dingtek-df70"); code != exitFailed || !strings.Contains(stderr, `did you mean "dingtek-df702"?`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
