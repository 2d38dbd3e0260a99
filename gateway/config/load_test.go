package config

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"belfry/buffer"
	"belfry/decoders"
	"belfry/gateway"
	"belfry/gateway/event"
)

func load(t testing.TB, dir string) *Config {
	t.Helper()
	config, problems := Load(dir, noModels)
	if len(problems) > 0 {
		t.Fatalf("problems:\n%s", problems)
	}
	return config
}

func TestValidFolderBecomesACompleteConfig(t *testing.T) {
	dir := validFolder(t)
	got := load(t, dir)
	want := &Config{
		Dir: dir, Gateway: "mairie", Prefix: "town",
		Town: Town{Name: "Ville d'Exemple", Commune: "99001", Owner: "219900016"},
		Buffer: buffer.Options{
			Dir: "/var/lib/belfry", MaxSize: 1 << 30, MaxAge: 720 * time.Hour, Hold: 5 * time.Minute, CommitDelay: 250 * time.Millisecond,
		},
		Status: Status{Listen: "127.0.0.1:9469"},
		Log:    Log{Format: "text", Level: slog.LevelInfo},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(buffer.Options{}), cmpopts.IgnoreFields(Config{}, "Network", "Sources", "Inventory", "Models", "NATS")); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got.NATS.ClientName != "mairie" || got.NATS.Prefix != "town" || got.NATS.Dir != dir || got.NATS.Stream != "TOWN" {
		t.Errorf("got NATS %+v", got.NATS)
	}
	if len(got.Sources) != 1 || got.Sources[0].Name() != "lorawan" {
		t.Errorf("got sources %v, want lorawan", got.Sources)
	}
	if model := got.Models["dingtek-df702"]; model == nil || len(model.Examples) != 2 || len(model.Mapping.Measurements) != 2 {
		t.Errorf("got model %+v", model)
	}
}

func TestSensorsTakeFromTheirModelWhatTheirLineLeavesOpen(t *testing.T) {
	config := load(t, validFolder(t))
	model := config.Models["dingtek-df702"]
	want := []gateway.Sensor{
		{
			Event: event.Sensor{
				ID: "BAC-0001", Kind: "waste_container", Model: "dingtek-df702", Device: "0012000000000012",
				Location: &event.Point{Longitude: 2.3712, Latitude: 48.9105},
			},
			Service: "waste", Asset: "rue du Test", Interval: 12 * time.Hour, Token: "BAC-0001",
		},
		{
			Event:   event.Sensor{ID: "BAC-0002", Kind: "bottle_bank", Model: "dingtek-df702", Device: "70b3d5e75e00a1f2"},
			Service: "sanitation", Source: "lorawan", Interval: 24 * time.Hour, Token: "BAC-0002",
		},
		{
			Event:   event.Sensor{ID: "BAC 3/é", Kind: "waste_container", Model: "dingtek-df702", Device: "70b3d5e75e00a1f3"},
			Service: "waste", Interval: 24 * time.Hour, Token: "BAC_203_2f_c3_a9",
		},
	}
	got := config.Inventory.Sensors()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(gateway.Sensor{}, "Model")); diff != "" {
		t.Errorf("sensors (-want +got):\n%s", diff)
	}
	for i := range got {
		if got[i].Model != model {
			t.Errorf("sensor %s has another model", got[i].Event.ID)
		}
	}
	if sensor := config.Inventory.Find("lorawan", "70b3d5e75e00a1f2"); sensor == nil || sensor.Event.ID != "BAC-0002" {
		t.Errorf("found %v by source and device", sensor)
	}
}

// TestSheetsOfSpreadsheetsAreRead writes the same sensors as programs in town halls do.
func TestSheetsOfSpreadsheetsAreRead(t *testing.T) {
	const plain = "id,device,model,lat,lon\nBAC-1,0012000000000012,dingtek-df702,48.9105,-2.5\n"
	want := sensorsOf(t, plain)
	for name, text := range map[string]string{
		"semicolons and decimal commas": "id;device;model;lat;lon\nBAC-1;0012000000000012;dingtek-df702;48,9105;-2,5\n",
		"byte order mark, CRLF":         "\ufeffid;device;model;lat;lon\r\nBAC-1;00:12:00:00:00:00:00:12;dingtek-df702;48,9105;-2,5\r\n;;;;\r\n\r\n",
		"quoted, blanks, other order":   "LAT , \"lon\",Model,ID,Device\n\"48.9105\",-2.50, dingtek-df702,\"BAC-1\",00 12 00 00 00 00 00 12\n",
		"tabs, empty cells":             "id\tdevice\tasset\tmodel\tlat\tlon\tnote\nBAC-1\t0012000000000012\t\tdingtek-df702\t48,9105\t-2,5\t\n",
		"line sep=;":                    "\ufeffsep=;\r\nid;device;model;lat;lon\r\nBAC-1;0012000000000012;dingtek-df702;48,9105;-2,5\r\n",
		"line sep=, in quotes":          "\"sep=,\"\nid,device,model,lat,lon\nBAC-1,0012000000000012,dingtek-df702,48.9105,-2.5\n",
		"line sep=|":                    "SEP=|\nid|device|model|lat|lon|note\nBAC-1|0012000000000012|dingtek-df702|48.9105|-2.5|a;b;c;d;e;f\n",
		"no line end at the end":        strings.TrimSuffix(plain, "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, sensorsOf(t, text), cmpopts.IgnoreFields(gateway.Sensor{}, "Model")); diff != "" {
				t.Errorf("sensors (-want +got):\n%s", diff)
			}
		})
	}
}

func sensorsOf(t *testing.T, sheet string) []gateway.Sensor {
	t.Helper()
	dir := validFolder(t)
	write(t, filepath.Join(dir, "sensors/bins.csv"), sheet)
	return load(t, dir).Inventory.Sensors()
}

func TestValuesOfYAMLStayAsTheyAreWritten(t *testing.T) {
	dir := validFolder(t)
	edit(t, filepath.Join(dir, "belfry.yaml"), `"99001"`, "01004")
	edit(t, filepath.Join(dir, "belfry.yaml"), `"219900016"`, "219900016")
	edit(t, filepath.Join(dir, "belfry.yaml"), "mairie", "0012")
	config := load(t, dir)
	if config.Town.Commune != "01004" || config.Town.Owner != "219900016" || config.Gateway != "0012" {
		t.Errorf("got commune %q, owner %q, gateway %q", config.Town.Commune, config.Town.Owner, config.Gateway)
	}
}

func TestModelOfTheTownTakesThePlaceOfTheBuiltInOne(t *testing.T) {
	dir := validFolder(t)
	builtIn := os.DirFS(validFolder(t))
	edit(t, filepath.Join(dir, "models/dingtek-df702.yaml"), "maker: Dingtek", "maker: Ours")
	config, problems := Load(dir, Env{Models: builtIn})
	if len(problems) > 0 || config.Models["dingtek-df702"].Maker != "Ours" {
		t.Fatalf("got %v, problems %v", config, problems)
	}
	if err := os.RemoveAll(filepath.Join(dir, "models")); err != nil {
		t.Fatal(err)
	}
	config, problems = Load(dir, Env{Models: builtIn})
	if len(problems) > 0 || config.Models["dingtek-df702"].Maker != "Dingtek" {
		t.Fatalf("got %v, problems %v", config, problems)
	}
}

func TestModelSaysWhichDecoderItHasInWhichVersion(t *testing.T) {
	models, problems := BuiltinModels()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for name, model := range models {
		native := "native " + name
		if decoders.Native(name) != nil && model.Version != native || !regexp.MustCompile(`^(native [a-z0-9.-]+|[a-z]+ sha256:[0-9a-f]{12})$`).MatchString(model.Version) {
			t.Errorf("model %s has decoder %q", name, model.Version)
		}
	}
}

func TestBuiltInModelsAreGood(t *testing.T) {
	models, problems := BuiltinModels()
	if len(problems) > 0 {
		t.Errorf("problems:\n%s", problems)
	}
	for name, model := range models {
		if len(model.Examples) == 0 {
			t.Errorf("model %s has no example", name)
		}
	}
}

func TestSecondsOfHoldMayBeNone(t *testing.T) {
	dir := validFolder(t)
	appendTo(t, filepath.Join(dir, "belfry.yaml"), "buffer: {hold: 0s, when_full: refuse, dir: held, max_size: 1.5 GiB, max_age: 1d12h}\n")
	got := load(t, dir).Buffer
	want := buffer.Options{
		Dir: filepath.Join(dir, "held"), Hold: -1, Refuse: true, MaxSize: 3 << 29, MaxAge: 36 * time.Hour, CommitDelay: 250 * time.Millisecond,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(buffer.Options{})); diff != "" {
		t.Errorf("buffer (-want +got):\n%s", diff)
	}
}

// TestSensorLimitIsExact loads as many sensors as may be, and one more.
func TestSensorLimitIsExact(t *testing.T) {
	dir := validFolder(t)
	write(t, filepath.Join(dir, "sensors/bins.csv"), sheetOf(maxSensors))
	if got := len(load(t, dir).Inventory.Sensors()); got != maxSensors {
		t.Errorf("got %d sensors, want %d", got, maxSensors)
	}
	write(t, filepath.Join(dir, "sensors/one.csv"), "id,device,model\nlast,0012000000000012,dingtek-df702\n")
	_, problems := Load(dir, noModels)
	if got, want := problems.String(), "sensors/one.csv:2:1: more than 50000 sensors (divide the town between gateways)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProblemsOfOneFileAreBounded(t *testing.T) {
	dir := validFolder(t)
	write(t, filepath.Join(dir, "sensors/bins.csv"), strings.ReplaceAll(sheetOf(2000), "dingtek-df702", "no-such-model"))
	config, problems := Load(dir, noModels)
	if config != nil || len(problems) != maxProblems+1 {
		t.Fatalf("got %d problems, want %d", len(problems), maxProblems+1)
	}
	if got, want := problems[maxProblems].String(), "sensors/bins.csv: 1500 more problems in this file"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func edit(t testing.TB, path, old, with string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("no %q in %s", old, path)
	}
	write(t, path, strings.Replace(string(text), old, with, 1))
}

func appendTo(t testing.TB, path, text string) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(old)+text)
}
