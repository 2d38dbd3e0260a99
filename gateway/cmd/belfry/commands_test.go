package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// belfry runs one command line in this process.
func belfry(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(program{t.Context(), &out, &errs}, args)
	return code, out.String(), errs.String()
}

// writeFolder writes a configuration folder: names and contents in turn.
func writeFolder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const smallYAML = `gateway: box
town: {name: Town, commune: "99001", owner: "219900016"}
sources:
  - {name: radio, kind: chirpstack, server: "tcp://127.0.0.1:1883"}
nats: {servers: ["nats://127.0.0.1:4222"], stream: TOWN}
`

func TestCheckSaysEveryMistakeAtOnceWithItsPlace(t *testing.T) {
	dir := writeFolder(t,
		"belfry.yaml", strings.Replace(smallYAML, "stream: TOWN", "streem: TOWN", 1)+"buffer: {hold: 5}\n",
		"sensors/a.csv", "id,device,model\nB1,70b3d5e75e00a1f2,dingtek-df702\nB1,70b3d5e75e00a1,dingtek-df70\n")
	code, _, stderr := belfry(t, "check", "--config", dir)
	if code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	for _, want := range []string{
		"belfry.yaml:5:44: ", "did you mean", "belfry.yaml:6:16: ", "sensors/a.csv:3:1: ", "sensors/a.csv:3:4: ", "sensors/a.csv:3:19: ",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in\n%s", want, stderr)
		}
	}
	if code, _, stderr := belfry(t, "run", "--config", dir); code != exitFailed || !strings.Contains(stderr, "belfry.yaml:5:44: ") ||
		!strings.Contains(stderr, "not started because of") {
		t.Errorf("run: exit code %d\n%s", code, stderr)
	}
}

func TestCheckOfAGoodFolderSaysWhatIsInIt(t *testing.T) {
	dir := writeFolder(t, "belfry.yaml", smallYAML, "sensors/a.csv", "id,device,model\nB1,70b3d5e75e00a1f2,dingtek-df702\n")
	code, stdout, stderr := belfry(t, "check", "--config", dir)
	if code != 0 || !strings.Contains(stdout, "good. Gateway box of Town: 1 source, 1 sensor, ") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestCheckCountsTheKeysOfSensors(t *testing.T) {
	const sensors = "id,device,model,dev_addr\nB1,70b3d5e75e00a1f2,dingtek-df702,\nB2,70b3d5e75e00a1f3,dingtek-df702,26011f3a\nB3,70b3d5e75e00a1f4,dingtek-df702,\n"
	const join = "device,app_key,nwk_s_key,app_s_key\n70b3d5e75e00a1f2,8d0c41f7a6b35e29d4170fe2936bc85a,,\n"
	const abp = "70b3d5e75e00a1f3,,41f7a6b35e29d4170fe2936bc85a8d0c,35e29d4170fe2936bc85a8d0c41f7a6b\n"
	for _, c := range []struct{ sensors, keys, want string }{
		{strings.ReplaceAll(sensors, "26011f3a", ""), join, ": 1 source, 3 sensors (1 with LoRaWAN keys: OTAA), "},
		{sensors, join + abp, ": 1 source, 3 sensors (2 with LoRaWAN keys: 1 OTAA, 1 ABP), "},
		{sensors, strings.SplitAfter(join, "\n")[0] + abp, ": 1 source, 3 sensors (1 with LoRaWAN keys: ABP), "},
	} {
		dir := writeFolder(t, "belfry.yaml", smallYAML, "sensors/a.csv", c.sensors, "secrets/lorawan-keys.csv", c.keys)
		if err := os.Chmod(filepath.Join(dir, "secrets/lorawan-keys.csv"), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, stdout, stderr := belfry(t, "check", "--config", dir); code != 0 || !strings.Contains(stdout, c.want) {
			t.Errorf("exit code %d\n%s%s\nwant %q", code, stdout, stderr, c.want)
		}
	}
}

func TestCheckFailsForASecretThatIsNotThere(t *testing.T) {
	dir := writeFolder(t, "belfry.yaml",
		strings.Replace(smallYAML, `1883"`, `1883", username: belfry, password_file: secrets/mqtt`, 1))
	code, _, stderr := belfry(t, "check", "--config", dir)
	if code != exitFailed || !strings.Contains(stderr, "secrets/mqtt") || !strings.Contains(stderr, "belfry.yaml:4:") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestSecretThatOthersCanReadStopsTheStart(t *testing.T) {
	dir := writeFolder(t, "secrets/mqtt", "hush", "belfry.yaml",
		strings.Replace(smallYAML, `1883"`, `1883", username: belfry, password_file: secrets/mqtt`, 1))
	code, _, stderr := belfry(t, "run", "--config", dir)
	if code != exitFailed || !strings.Contains(stderr, "chmod 600") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if strings.Contains(stderr, "hush") {
		t.Errorf("the secret is in the message: %s", stderr)
	}
}

func TestDecodeWithAModelShowsMeasurementsAlarmsAndTheRawOutput(t *testing.T) {
	code, stdout, stderr := belfry(t, "decode", "--model", "dingtek-df702", "--port", "3", "80 00 01 01 11 03 84 00 15 00 00 00 10 00 00 00 81")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var got decoded
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if len(got.Samples) != 1 {
		t.Fatalf("got %s", stdout)
	}
	s := got.Samples[0]
	if m := s.Measurements["fill_distance"]; m.Value.Number() != 900 || m.Unit != "mm" {
		t.Errorf("fill_distance is %+v, want 900 mm", m)
	}
	if !s.Alarms["container_tipped"] || s.Alarms["container_full"] {
		t.Errorf("alarms are %v, want container_tipped alone", s.Alarms)
	}
	if len(s.Raw) <= len(s.Measurements) {
		t.Errorf("raw output is %v, want all that the decoder said", s.Raw)
	}
}

func TestDecodeAsASensorPrintsItsEvent(t *testing.T) {
	dir := writeFolder(t, "belfry.yaml", smallYAML, "sensors/a.csv", "id,device,model,lat,lon\nB1,70b3d5e75e00a1f2,dingtek-df702,48.91,2.37\n")
	code, stdout, stderr := belfry(t, "decode", "--config", dir, "--sensor", "B1", "--port", "3", "800001011107d000190000000000000081")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	checkSchema(t, [][]byte{[]byte(stdout)})
	if !strings.Contains(stdout, `"value": 2000`) || !strings.Contains(stderr, "sensor B1, model dingtek-df702, port 3, 17 bytes") {
		t.Errorf("got\n%s\n%s", stderr, stdout)
	}
}

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	dir := writeFolder(t, "belfry.yaml", smallYAML, "sensors/a.csv", "id,device,model\nB1,70b3d5e75e00a1f2,dingtek-df702\n")
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"--model", "dingtek-df70", "00"}, `did you mean "dingtek-df702"?`, exitFailed},
		{[]string{"--model", "dingtek-df702", "--port", "3", "8000"}, "malformed", exitFailed},
		{[]string{"--model", "dingtek-df702", "--port", "3", "xyz"}, "write it in hex", exitFailed},
		{[]string{"--config", dir, "--sensor", "B2", "00"}, `no sensor "B2"`, exitFailed},
		{[]string{"--config", dir, "--sensor", "B1", "--port", "2", "00"}, `to quarantine at stage "decode"`, exitFailed},
		{[]string{"00"}, "--sensor", exitUsage},
		{[]string{"--model", "a", "--sensor", "b", "00"}, "--sensor", exitUsage},
	} {
		code, _, stderr := belfry(t, append([]string{"decode"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("decode %v: exit code %d, %s\nwant %d with %q", c.args, code, stderr, c.code, c.want)
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	if code, stdout, _ := belfry(t, "version"); code != 0 || !strings.HasPrefix(stdout, "belfry ") {
		t.Errorf("version: exit code %d, %s", code, stdout)
	}
	if code, stdout, _ := belfry(t); code != 0 || !strings.Contains(stdout, "decode") {
		t.Errorf("no command: exit code %d, %s", code, stdout)
	}
	if code, _, stderr := belfry(t, "fly"); code != exitUsage || !strings.Contains(stderr, "fly") {
		t.Errorf("unknown command: exit code %d, %s", code, stderr)
	}
}
