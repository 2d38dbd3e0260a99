package codechost

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"belfry/decoders/codec"
)

const childArgument = "codec-host-of-a-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArgument {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newPool(t testing.TB, size int) *Pool {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(size, self, childArgument)
	t.Cleanup(p.Close)
	return p
}

func mustLoad(t testing.TB, p *Pool, source string) *Codec {
	t.Helper()
	c, err := p.Load("test.js", source)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const canary = `var seen = 0; function decodeUplink(i) { seen++; return {data: {sum: i.bytes.reduce(function (a, b) { return a + b; }, 0), seen: seen, clean: {}.polluted === undefined}}; }`

var uplink = codec.Call{Function: codec.DecodeUplink, Port: 3, Bytes: []byte{1, 2, 3}}

// hostile are codecs that no maker publishes and somebody may.
var hostile = map[string]string{
	"endless loop":             `function decodeUplink() { while (true) {} }`,
	"endless loop when loaded": `var n = 0; function decodeUplink() { for (;;) { n += Math.sqrt(n); } }`,
	"huge text":                `function decodeUplink() { return {data: 'x'.repeat(Math.pow(2, 40))}; }`,
	"text that doubles":        `function decodeUplink() { var s = 'xxxxxxxxxxxxxxxx'; while (true) { s += s; } }`,
	"array bomb":               `function decodeUplink() { var a = []; while (true) { a.push(new Array(1e6).fill(7)); } }`,
	"join of nothing":          `function decodeUplink() { return {data: new Array(1e9).join('x')}; }`,
	"catastrophic expression":  `function decodeUplink() { return {data: /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!')}; }`,
	"backreferences":           `function decodeUplink() { return {data: /^(?=(a+))\1*(b|(a|a)+)*c\1$/.test('a'.repeat(60))}; }`,
	"prototype pollution":      `Object.prototype.polluted = 1; Array.prototype.reduce = function () { return 666; }; function decodeUplink() { return {data: 1}; }`,
	"deep recursion":           `function f(n) { return f(n + 1) + f(n + 2); } function decodeUplink() { return {data: f(0)}; }`,
	"deep object":              `function decodeUplink() { var o = {}; for (var i = 0; i < 1e6; i++) { o = {o: o}; } return {data: o}; }`,
	"getter that throws":       `function decodeUplink() { return {get data() { throw {toString: function () { while (true) {} }}; }}; }`,
	"cyclic result":            `function decodeUplink() { var a = {}; a.a = a; return {data: a}; }`,
	"10 MB result":             `function decodeUplink() { return {data: 'x'.repeat(10 << 20)}; }`,
	"timers and processes":     `function decodeUplink() { if (typeof process !== "undefined") process.exit(0); setTimeout(function () {}, 1); }`,
	"reads files":              `function decodeUplink() { return {data: require('fs').readFileSync('/etc/passwd')}; }`,
	"many keys":                `function decodeUplink() { var o = {}; for (var i = 0; ; i++) { o['k' + i] = i; } }`,
	"typed arrays":             `function decodeUplink() { var all = []; while (true) { all.push(new Uint8Array(1 << 24)); } }`,
}

func TestHostileCodecsHarmNobody(t *testing.T) { // F27-F31
	p := newPool(t, 1)
	good := mustLoad(t, p, canary)
	want, err := good.Call(uplink)
	if err != nil || string(want) != `{"data":{"sum":6,"seen":1,"clean":true}}` {
		t.Fatalf("got %s, %v", want, err)
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, source := range hostile {
		bad := mustLoad(t, p, source)
		began := time.Now()
		result, err := bad.Call(uplink)
		took := time.Since(began)
		if name != "prototype pollution" && err == nil && string(result) != `{"data":false}` { // the engine reads some of the expressions in linear time
			t.Errorf("%s: got %.100s, want an error", name, result)
		}
		if took > 2*time.Second { // 200 ms where nothing else runs; it is logged
			t.Errorf("%s took %s", name, took)
		}
		t.Logf("%-26s %8s  %v", name, took.Round(100*time.Microsecond), err)
		if got, err := good.Call(uplink); err != nil || string(got) != string(want) {
			t.Errorf("after %s: got %s, %v, want %s", name, got, err, want)
		}
	}
	runtime.GC()
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 10<<20 {
		t.Errorf("the heap of the gateway grew by %d bytes", grown)
	}
}

func TestCodecThatIsKilledAgainAndAgainIsSuspendedAndOthersGoOn(t *testing.T) { // F33
	p := newPool(t, 1)
	good, bad := mustLoad(t, p, canary), mustLoad(t, p, hostile["endless loop"])
	for i := range maxStrikes {
		if _, err := bad.Call(uplink); !errors.Is(err, codec.ErrTime) {
			t.Errorf("call %d: got %v", i, err)
		}
	}
	began := time.Now()
	for range 100 {
		if _, err := bad.Call(uplink); !errors.Is(err, ErrSuspended) || !strings.Contains(err.Error(), "tried again in") {
			t.Fatalf("got %v, want %v", err, ErrSuspended)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("100 calls of a suspended codec took %s", took)
	}
	if _, err := good.Call(uplink); err != nil {
		t.Errorf("another codec: %v", err)
	}
	if p.Kills() != maxStrikes {
		t.Errorf("%d kills are counted, want %d", p.Kills(), maxStrikes)
	}
}

func TestCodecsThatCannotBeLoadedSayWhy(t *testing.T) {
	p := newPool(t, 1)
	if _, err := p.Load("a.js", "function ("); !errors.Is(err, codec.ErrScript) || !strings.Contains(err.Error(), "a.js") {
		t.Errorf("got %v", err)
	}
	if _, err := p.Load("b.js", "while (true) {}"); !errors.Is(err, codec.ErrTime) {
		t.Errorf("got %v", err)
	}
	c := mustLoad(t, p, "function Decoder(bytes, port) { return {}; } function encodeDownlink(i) { return {}; }")
	if got := fmt.Sprint(c.Functions); got != "[encodeDownlink Decoder]" {
		t.Errorf("got functions %s", got)
	}
	if _, err := NewPool(1, "/nonexistent/belfry").Load("c.js", canary); err == nil {
		t.Error("a program that is not there runs")
	}
}

func TestChildThatDiesIsReplaced(t *testing.T) {
	p := newPool(t, 2)
	good := mustLoad(t, p, canary)
	for range 4 {
		if _, err := good.Call(uplink); err != nil {
			t.Fatal(err)
		}
		h := <-p.slots
		if h != nil {
			_ = h.command.Process.Kill()
		}
		p.slots <- h
		if h != nil {
			_, _ = good.Call(uplink) // the one that was killed, or the other
			_, _ = good.Call(uplink)
		}
	}
	if got, err := good.Call(uplink); err != nil || len(got) == 0 {
		t.Errorf("got %s, %v", got, err)
	}
}

func BenchmarkTypicalCodecInAChild(b *testing.B) {
	c := mustLoad(b, newPool(b, 1), `
function decodeUplink(input) {
	var d = {}, b = input.bytes;
	for (var i = 0; i < b.length;) {
		var channel = b[i++], type = b[i++];
		if (channel === 0x01 && type === 0x75) { d.battery = b[i]; i += 1; }
		else if (channel === 0x03 && type === 0x67) { d.temperature = ((b[i + 1] << 8) + b[i]) / 10; i += 2; }
		else if (channel === 0x04 && type === 0x82) { d.distance = (b[i + 1] << 8) + b[i]; i += 2; }
		else if (channel === 0x05 && type === 0x00) { d.position = b[i] === 0 ? "normal" : "tilt"; i += 1; }
		else break;
	}
	return {data: d};
}`)
	call := codec.Call{Function: codec.DecodeUplink, Port: 85, Bytes: []byte{0x01, 0x75, 0x5c, 0x03, 0x67, 0x01, 0x01, 0x04, 0x82, 0x44, 0x08, 0x05, 0x00, 0x01}}
	for b.Loop() {
		if _, err := c.Call(call); err != nil {
			b.Fatal(err)
		}
	}
}
