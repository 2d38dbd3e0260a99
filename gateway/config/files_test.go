package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const withSecrets = `
gateway: mairie
town: {name: Exemple, commune: "99001", owner: "219900016"}
event_key: secrets/event.key
nats: {servers: ["nats://127.0.0.1:4222"], stream: TOWN}
sources:
  - name: lorawan
    kind: chirpstack
    server: tcp://127.0.0.1:1883
    username: belfry
    password_file: secrets/mqtt
`

func folderWithSecrets(t *testing.T) string {
	t.Helper()
	dir := validFolder(t)
	write(t, filepath.Join(dir, "belfry.yaml"), withSecrets)
	write(t, filepath.Join(dir, "secrets/event.key"), "0123456789abcdef\n")
	write(t, filepath.Join(dir, "secrets/mqtt"), "canary\n")
	return dir
}

func TestSecretFilesAreFoundBelowTheFolder(t *testing.T) {
	dir := folderWithSecrets(t)
	if got, want := load(t, dir).EventKeyFile, filepath.Join(dir, "secrets/event.key"); got != want {
		t.Errorf("got event key file %q, want %q", got, want)
	}
}

// TestExposedSecretStopsTheStart goes through what can be wrong with a secret file, for one that the start can do without
// when it is merely missing.
func TestExposedSecretStopsTheStart(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
		fatal bool
	}{
		"readable by the group":  {chmod(0o640), "mode 0640 lets others read it", true},
		"readable by all":        {chmod(0o604), "mode 0604 lets others read it", true},
		"writable by all":        {chmod(0o602), "mode 0602 lets others read it", true},
		"symbolic link":          {symlink, "it is a symbolic link", true},
		"missing":                {func(t *testing.T, path string) { must(t, os.Remove(path)) }, "no such file or directory", false},
		"a folder":               {folder, "not a regular file", false},
		"empty":                  {func(t *testing.T, path string) { write(t, path, "\n") }, "empty secret file", false},
		"far too large":          {func(t *testing.T, path string) { write(t, path, strings.Repeat("x", 65<<10)) }, "larger than 64 KiB", false},
		"below a missing folder": {func(t *testing.T, path string) { must(t, os.RemoveAll(filepath.Dir(path))); key(t, path) }, "no such file", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folderWithSecrets(t)
			test.spoil(t, filepath.Join(dir, "secrets/mqtt"))
			config, problems := Load(dir, noModels)
			if len(problems) != 1 || !strings.Contains(problems[0].Message, test.want) || problems[0].Line != 11 || problems[0].Column != 20 {
				t.Fatalf("got %v, want one at 11:20 with %q", problems, test.want)
			}
			if problems.Fatal() != test.fatal || (config == nil) != test.fatal {
				t.Errorf("got fatal %v, config %v, want fatal %v", problems.Fatal(), config, test.fatal)
			}
			if strings.Contains(problems.String(), "canary") {
				t.Errorf("the secret stands in %q", problems)
			}
		})
	}
}

func TestEventKeyMustBeReadableAndLongEnough(t *testing.T) {
	dir := folderWithSecrets(t)
	path := filepath.Join(dir, "secrets/event.key")
	write(t, path, "canary-is-short")
	config, problems := Load(dir, noModels)
	if config != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "15 bytes are too short") {
		t.Errorf("got %v", problems)
	}
	if strings.Contains(problems.String(), "canary") {
		t.Errorf("the key stands in %q", problems)
	}
	must(t, os.Remove(path))
	if config, problems := Load(dir, noModels); config != nil || !problems.Fatal() {
		t.Errorf("got %v without the key", problems)
	}
}

// TestFilesThatAreNoConfigurationAreNamed has what an editor, a full disk or a wrong copy leave behind.
func TestFilesThatAreNoConfigurationAreNamed(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"no folder": {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
			"DIR: no such folder (give the configuration folder with --config)\n"},
		"a file, not a folder": {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)); write(t, dir, withSecrets) },
			"DIR: is a file (give the folder it is in)\n"},
		"main file is .yml": {func(t *testing.T, dir string) { must(t, os.Rename(dir+"/belfry.yaml", dir+"/belfry.yml")) },
			"belfry.yml: this file would not be read (call it belfry.yaml)\n"},
		"no main file":      {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/belfry.yaml")) }, "belfry.yaml: no such file (give the configuration folder with --config)\n"},
		"main file too big": {func(t *testing.T, dir string) { appendTo(t, dir+"/belfry.yaml", strings.Repeat("#", maxFile)) }, "belfry.yaml: larger than 16 MiB\n"},
		"sheet too big":     {func(t *testing.T, dir string) { appendTo(t, dir+"/sensors/bins.csv", strings.Repeat("\n", maxFile)) }, "sensors/bins.csv: larger than 16 MiB\n"},
		"sheet of Windows-1252": {func(t *testing.T, dir string) { appendTo(t, dir+"/sensors/bins.csv", "caf\xe9,\n") },
			"sensors/bins.csv:5:4: byte 0xE9 is not UTF-8 (save the file as UTF-8)\n"},
		"UTF-16":       {func(t *testing.T, dir string) { write(t, dir+"/belfry.yaml", "\xff\xfeg\x00") }, "belfry.yaml:1:1: byte 0xFF is not UTF-8 (save the file as UTF-8)\n"},
		"lost blocks":  {func(t *testing.T, dir string) { appendTo(t, dir+"/belfry.yaml", "\x00\x00") }, "belfry.yaml:13:1: a zero byte: the file is damaged or not a text\n"},
		"control byte": {func(t *testing.T, dir string) { appendTo(t, dir+"/belfry.yaml", "\x01") }, "belfry.yaml:13:1: control characters are not allowed (value: 1)\n"},
		"pipe": {func(t *testing.T, dir string) { must(t, syscall.Mkfifo(dir+"/sensors/pipe.csv", 0o600)) },
			"sensors/pipe.csv: not a regular file\n"},
		"sensors is a file": {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir+"/sensors")); write(t, dir+"/sensors", "id") },
			"sensors: not a directory\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := validFolder(t)
			test.spoil(t, dir)
			config, problems := Load(dir, noModels)
			if got := strings.ReplaceAll(problems.String(), dir, "DIR"); got != test.want || config != nil {
				t.Errorf("got %q and config %v, want %q", got, config, test.want)
			}
		})
	}
}

// TestEmptyTownStarts has no sensor yet, in the ways that happen: check names it, run can do without.
func TestEmptyTownStarts(t *testing.T) {
	const none = "sensors: no sensor (every message would go to quarantine; add sensors/*.csv)\n"
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"no folder":   {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir+"/sensors")) }, none},
		"only header": {func(t *testing.T, dir string) { write(t, dir+"/sensors/bins.csv", "id,device,model\n") }, none},
		"other folder": {func(t *testing.T, dir string) { must(t, os.Rename(dir+"/sensors", dir+"/sensor")) },
			"sensor: this folder would not be read (did you mean \"sensors\"?)\n" + none},
		"spreadsheet": {func(t *testing.T, dir string) { must(t, os.Rename(dir+"/sensors/bins.csv", dir+"/sensors/bins.xlsx")) },
			none + "sensors/bins.xlsx: this file would not be read (save it as CSV, UTF-8)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := validFolder(t)
			test.spoil(t, dir)
			config, problems := Load(dir, noModels)
			if got := problems.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if config == nil || len(config.Inventory.Sensors()) != 0 {
				t.Errorf("got config %v, want one without sensors", config)
			}
		})
	}
}

func TestFolderThatTheConfigurationNamesIsNoMistake(t *testing.T) {
	dir := folderWithSecrets(t)
	must(t, os.Rename(dir+"/secrets", dir+"/secret"))
	edit(t, dir+"/belfry.yaml", "secrets/event.key", "secret/event.key")
	edit(t, dir+"/belfry.yaml", "secrets/mqtt", "./secret/mqtt")
	load(t, dir)
}

func TestLargestFileIsRead(t *testing.T) {
	dir := validFolder(t)
	path := filepath.Join(dir, "sensors/bins.csv")
	info, err := os.Stat(path)
	must(t, err)
	appendTo(t, path, strings.Repeat("\n", maxFile-int(info.Size())))
	if got := len(load(t, dir).Inventory.Sensors()); got != 3 {
		t.Errorf("got %d sensors, want 3", got)
	}
}

func chmod(mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) { must(t, os.Chmod(path, mode)) }
}

func symlink(t *testing.T, path string) {
	must(t, os.Rename(path, path+".real"))
	must(t, os.Symlink(path+".real", path))
}

func folder(t *testing.T, path string) {
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
}

// key moves the event key out of a folder that is gone.
func key(t *testing.T, path string) {
	dir := filepath.Dir(filepath.Dir(path))
	write(t, filepath.Join(dir, "event.key"), "0123456789abcdef")
	edit(t, filepath.Join(dir, "belfry.yaml"), "secrets/event.key", "event.key")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestExposedKeyOfAListenerStopsTheStart has the files of a TLS server; those of a client are in the cases above.
func TestExposedKeyOfAListenerStopsTheStart(t *testing.T) {
	dir := folderWithSecrets(t)
	write(t, filepath.Join(dir, "belfry.yaml"), withSecrets+`
  - name: stations
    kind: basicstation
    listen: 127.0.0.1:8887
    gateways: [{eui: 0016C001FF10A2B3}]
    tls: {cert: tls/lns.pem, key: secrets/lns.key}
    token_file: secrets/tokens
`)
	write(t, filepath.Join(dir, "tls/lns.pem"), "canary")
	write(t, filepath.Join(dir, "secrets/lns.key"), "canary")
	write(t, filepath.Join(dir, "secrets/tokens"), "canary")
	if _, problems := Load(dir, noModels); problems.Fatal() || len(problems) != 1 || !strings.Contains(problems[0].Message, "sources.stations.tls: tls.cert ") {
		t.Errorf("got %v, want that there is no certificate", problems)
	}
	for _, name := range []string{"secrets/lns.key", "secrets/tokens"} {
		must(t, os.Chmod(filepath.Join(dir, name), 0o644))
	}
	config, problems := Load(dir, noModels)
	if config != nil || len(problems) != 2 || !strings.Contains(problems[0].Message, "sources.stations.tls.key: ") || !strings.Contains(problems[1].Message, "sources.stations.token_file: ") {
		t.Errorf("got %v, want both secrets", problems)
	}
	if strings.Contains(problems.String(), "canary") {
		t.Errorf("a secret stands in %q", problems)
	}
}
