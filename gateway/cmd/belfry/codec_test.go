package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"belfry/gateway/control"
	"belfry/gateway/gatewaytest"
)

const binCodec = `
// As a maker would publish it.
function decodeUplink(input) {
	switch (input.fPort) {
	case 3:
		if (input.bytes[0] === 0xee) { while (true) {} }
		if (input.bytes.length < 4) return {errors: ["too short"]};
		return {
			data: {level: {distance: (input.bytes[0] << 8) | input.bytes[1], unit: "mm"}, temperatures: [input.bytes[2], input.bytes[3] / 2], full: input.bytes[0] > 10, none: undefined},
			warnings: input.bytes[3] === 1 ? ["cold"] : []
		};
	default:
		return {errors: ["unknown FPort"]};
	}
}`

const codecModel = `model: acme-bin
maker: Acme
product: Bin sensor with a codec
kind: waste_container
service: waste
decoder: codec
codec: {file: codecs/acme-bin.js}
measurements:
  fill_distance: {field: level.distance, unit: mm}
  container_temperature: {field: temperatures, unit: Cel}
alarms:
  container_full: full
examples:
  - name: half full
    port: 3
    hex: 03e8 14 2c
    measurements: {fill_distance: 1000, container_temperature: 20, container_temperature_2: 22}
  - name: full
    port: 3
    hex: 0fa0 14 2c
    measurements: {fill_distance: 4000, container_temperature: 20, container_temperature_2: 22}
    alarms: [container_full]
  - name: cut off
    port: 3
    hex: "03"
    error: too short
`

func TestModelWithTheMakersCodecIsCheckedAndDecodes(t *testing.T) {
	w := newRadioTown(t, 1, false, "")
	w.write("models/acme-bin.yaml", codecModel)
	w.write("models/codecs/acme-bin.js", binCodec)
	code, stdout, stderr := belfry(t, "decode", "--config", w.dir, "--model", "acme-bin", "--port", "3", "0fa0 1401")
	for _, want := range []string{`"fill_distance"`, "4000", `"container_full": true`, "cold"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, no %s in\n%s%s", code, want, stdout, stderr)
		}
	}
	if code, stdout, stderr := belfry(t, "check", "--config", w.dir); code != 0 {
		t.Errorf("check of a good codec: exit code %d\n%s%s", code, stdout, stderr)
	}
	w.write("models/codecs/acme-bin.js", strings.Replace(binCodec, "<< 8", "<< 7", 1))
	code, stdout, stderr = belfry(t, "check", "--config", w.dir)
	if want := "models/acme-bin.yaml:"; code != exitFailed || !strings.Contains(stdout+stderr, want) {
		t.Errorf("a codec that decodes its examples wrong: exit code %d\n%s%s", code, stdout, stderr)
	}
	for text, want := range map[string]string{
		"function (": "SyntaxError", "while (true) {}": "too long", "var x = 1;": "none of decodeUplink", "": "none of decodeUplink",
	} {
		w.write("models/codecs/acme-bin.js", text)
		code, stdout, stderr := belfry(t, "check", "--config", w.dir)
		if code != exitFailed || !strings.Contains(stdout+stderr, "codec.file: ") || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%q: exit code %d, want %q in\n%s%s", text, code, want, stdout, stderr)
		}
	}
}

func TestCodecThatHangsCostsItsOwnSensorOnly(t *testing.T) { // F26, F27, F33
	w := newRadioTown(t, 2, false, "")
	w.write("models/acme-bin.yaml", codecModel)
	w.write("models/codecs/acme-bin.js", binCodec)
	inventory, err := os.ReadFile(filepath.Join(w.dir, "sensors/bins.csv"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("sensors/bins.csv", strings.Replace(string(inventory), "dingtek-df702", "acme-bin", 1))
	process := w.start()
	w.waitReady()
	f := newForwarder(t, w.listen)
	sent := map[string][]int{}
	for n := range 8 {
		f.sends(w.bins[0].sendBytes([]byte{0xee, 1, 2, 3}))
		f.sends(w.bins[1].send(n))
		sent[w.bins[1].id] = append(sent[w.bins[1].id], n)
	}
	got := w.read(8)
	got.checkOnceAndInOrder(t, sent)
	code, stdout, _ := belfry(t, "buffer", "quarantine", "list", "--config", w.dir)
	if code != 0 || strings.Count(stdout, w.bins[0].id) != 8 || !strings.Contains(stdout, "too long") || !strings.Contains(stdout, "not run for a while") {
		t.Errorf("quarantine: exit code %d\n%s", code, stdout)
	}
	hash := fmt.Sprintf("codec sha256:%x", sha256.Sum256([]byte(binCodec)))[:len("codec sha256:")+12]
	says(t, 0, "quarantine list --json --model acme-bin -c "+w.dir, `"decoder":"`+hash+`"`)
	var first control.Record
	if err := json.Unmarshal([]byte(says(t, 0, "quarantine list --json --limit 1 -c "+w.dir)), &first); err != nil {
		t.Fatal(err)
	}
	says(t, 0, fmt.Sprintf("quarantine show %d -c %s", first.Seq, w.dir), "model      acme-bin", "decoder    "+hash)
	hosts := children(process.command.Process.Pid)
	if len(hosts) == 0 && runtime.GOOS == "linux" {
		t.Error("no process runs the codec")
	}
	process.stop(t)
	gatewaytest.WaitFor(t, waitForChildren, "the codecs' processes to end", func() bool { return !anyAlive(hosts) })
}

func TestLinesOfACodecAreRunOneByOne(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bin.js")
	if err := os.WriteFile(file, []byte(binCodec+"\nfunction encodeDownlink(i) { return {bytes: Object.keys(i.data).map(function (k) { return k.charCodeAt(0); }), fPort: 9}; }"), 0o644); err != nil {
		t.Fatal(err)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "decode", "--codec", file, "--lines")
	command.Stdin = strings.NewReader(`{"id":"a","function":"decodeUplink","fport":3,"bytes_hex":"03e8142c"}
{"id":2,"function":"decodeUplink","fport":3,"bytes_hex":"ee00"}
not JSON
{"id":"c","function":"Decoder","fport":3,"bytes_hex":"00"}
{"id":"d","function":"decodeUplink","fport":3,"bytes_hex":"0"}
{"id":"e","function":"encodeDownlink","data":{"z":1,"a":2}}
{"id":"f","function":"nothing"}

{"id":"g","function":"decodeUplink","fport":7,"bytes_hex":"","recv_time":"2026-01-14T17:02:10Z","variables":{"a":"b"}}
`)
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := []string{
		`{"id":"a","output":{"data":{"level":{"distance":1000,"unit":"mm"},"temperatures":[20,22],"full":false,"none":null},"warnings":[]}}`,
		`{"id":2,"error":"the codec took too long"}`,
		`{"id":null,"error":"not a line of JSON`,
		`{"id":"c","error":"the codec has no such function: Decoder"}`,
		`{"id":"d","error":"bytes_hex: `,
		`{"id":"e","output":{"bytes":[122,97],"fPort":9}}`,
		`{"id":"f","error":"function \"nothing\": there are `,
		`{"id":"g","output":{"errors":["unknown FPort"]}}`,
	}
	if len(lines) != len(want) {
		t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(want), out)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d: got %s\nwant %s", i, lines[i], want[i])
		}
	}
}
