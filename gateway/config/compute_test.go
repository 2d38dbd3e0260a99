package config

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"belfry/decoders"
)

// TestComputedValuesOfAModel has its expectations in the examples of the model, which are run when it is loaded.
func TestComputedValuesOfAModel(t *testing.T) {
	text, err := os.ReadFile("testdata/compute.yaml")
	must(t, err)
	dir := validFolder(t)
	write(t, filepath.Join(dir, "models/boxes.yaml"), string(text))
	model := load(t, dir).Models["boxes"]
	output, err := decoders.Run(model.Decode, decoders.Uplink{Payload: []byte(`{"distance": 500, "empty": 0}`)})
	want := "  json: distance=500mm empty=0\n  warning: fill_level cannot be computed: not a finite number\n"
	if got := show(output, err); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestMistakeInComputeOfABrokenDecoderIsReportedToo(t *testing.T) {
	_, problems := TestedModels("", Env{Models: fstest.MapFS{"models/boxes.yaml": &fstest.MapFile{Data: []byte(`model: boxes
kind: waste_container
service: waste
decoder: jsn
compute: [{name: fill_level, value: "1 +"}]
measurements: {fill_level: fill_level}
`)}}})
	if len(problems) != 2 || problems[0].Line != 4 || problems[1].Line != 5 {
		t.Errorf("got\n%s, want one in line 4 and one in line 5", problems)
	}
}
