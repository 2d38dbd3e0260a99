package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestDamagedFolderNeverLoadsHalf damages each file of a valid folder in a hundred ways. Load must not panic, must say
// something when it returns no configuration, and must return a complete one otherwise.
func TestDamagedFolderNeverLoadsHalf(t *testing.T) {
	for _, name := range []string{"belfry.yaml", "sensors/bins.csv", "models/dingtek-df702.yaml", defaultKeyFile} {
		t.Run(name, func(t *testing.T) {
			dir, keys := folderWithKeys(t)
			path := filepath.Join(dir, name)
			original, err := os.ReadFile(path)
			must(t, err)
			rapid.Check(t, func(r *rapid.T) {
				write(t, path, string(damage(r, bytes.Clone(original))))
				config, problems := Load(dir, noModels)
				checkWhole(r, config, problems)
				if found := keys.find(problems.String()); found != "" {
					r.Errorf("%q of a key stands in %v", found, problems)
				}
			})
		})
	}
}

// damage does what editors, disks and people do to a file.
func damage(r *rapid.T, text []byte) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	at := rapid.IntRange(0, len(text)-1).Draw(r, "at")
	line := rapid.IntRange(0, len(lines)-1).Draw(r, "line")
	switch rapid.SampledFrom([]string{"cut", "flip", "insert", "drop", "double", "swap", "byte"}).Draw(r, "damage") {
	case "cut":
		return text[:at]
	case "flip":
		text[at] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
	case "insert":
		junk := rapid.SampledFrom([]string{"\t", "\"", "'", ": ", "- ", "{", "]", "*a", "&a ", "!!int ", "\n", ",", ";", "\x00", "é", "|\n", "<<: "}).Draw(r, "junk")
		return bytes.Join([][]byte{text[:at], []byte(junk), text[at:]}, nil)
	case "drop":
		return bytes.Join(append(lines[:line:line], lines[line+1:]...), nil)
	case "double":
		return bytes.Join(append(lines[:line:line], lines[max(line-1, 0):]...), nil)
	case "swap":
		lines[line], lines[0] = lines[0], lines[line]
		return bytes.Join(lines, nil)
	case "byte":
		return append(text[:at:at], text[at+1:]...)
	}
	return text
}

type failer interface{ Errorf(string, ...any) }

// checkWhole holds what Load returns to its promise.
func checkWhole(t failer, config *Config, problems Problems) {
	for _, problem := range problems {
		if problem.File == "" || problem.Message == "" || strings.Contains(problem.String(), "\n") {
			t.Errorf("a problem that says nothing: %#v", problem)
		}
	}
	if (config == nil) != problems.Fatal() {
		t.Errorf("config is nil: %v, problems: %v", config == nil, problems)
	}
	if config == nil {
		return
	}
	if config.Gateway == "" || config.Town.Name == "" || config.Town.Commune == "" || config.Town.Owner == "" || config.Prefix == "" ||
		len(config.Sources) == 0 || config.Network == nil || config.Inventory == nil || config.Buffer.MaxSize == 0 || config.Status.Listen == "" {
		t.Errorf("half a config: %+v", config)
	}
	for _, sensor := range config.Inventory.Sensors() {
		if sensor.Event.ID == "" || sensor.Event.Device == "" || sensor.Token == "" || sensor.Model == nil || sensor.Service == "" ||
			sensor.Model.Decode == nil || config.Inventory.Sensor(sensor.Event.ID) == nil {
			t.Errorf("half a sensor: %+v", sensor)
		}
	}
}

// FuzzLoad puts any bytes into the place of one file of a valid folder.
func FuzzLoad(f *testing.F) {
	names := []string{"belfry.yaml", "models/dingtek-df702.yaml", "sensors/bins.csv", defaultKeyFile}
	dir, _ := folderWithKeys(f)
	original := map[string]string{}
	for i, name := range names {
		original[name] = readText(f, filepath.Join(dir, name))
		f.Add(uint8(i), []byte(original[name]))
	}
	f.Fuzz(func(t *testing.T, file uint8, text []byte) {
		name := names[int(file)%len(names)]
		write(t, filepath.Join(dir, name), string(text))
		defer write(t, filepath.Join(dir, name), original[name])
		config, problems := Load(dir, noModels)
		checkWhole(t, config, problems)
	})
}
