package codec

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var limits = Limits{Time: time.Second, Output: 1 << 20}

func run(t testing.TB, source string, c Call) (string, error) {
	t.Helper()
	script, err := Compile("test.js", source)
	if err != nil {
		t.Fatalf("%v in\n%s", err, source)
	}
	result, err := script.Run(&c, limits)
	return string(result), err
}

func TestCodecsAsMakersWriteThemAreRun(t *testing.T) {
	received := time.Date(2026, 1, 14, 17, 2, 10, 412e6, time.UTC)
	uplink := Call{Function: DecodeUplink, Port: 5, Bytes: []byte{1, 2, 0xff}, Received: received, Variables: map[string]string{"k": "v"}}
	for _, c := range []struct {
		name, source string
		call         Call
		want         string
	}{
		{"TS013", `function decodeUplink(input) { return {data: {n: input.bytes.length, p: input.fPort, l: input.bytes[2]}, warnings: ["w"], errors: []}; }`,
			uplink, `{"data":{"n":3,"p":5,"l":255},"warnings":["w"],"errors":[]}`},
		{"errors are kept", `function decodeUplink(input) { return {errors: ["bad"]}; }`, uplink, `{"errors":["bad"]}`},
		{"an arrow function", `const decodeUplink = ({bytes}) => ({data: {sum: bytes.reduce((a, b) => a + b, 0)}});`, uplink, `{"data":{"sum":258}}`},
		{"bytes are a true array", `function decodeUplink(i) { return {data: [Array.isArray(i.bytes), i.bytes.slice(1).concat([7]), Object.prototype.toString.call(i.bytes)]}; }`,
			uplink, `{"data":[true,[2,255,7],"[object Array]"]}`},
		{"the time of reception", `function decodeUplink(i) { return {data: [i.recvTime instanceof Date, i.recvTime.toISOString(), i.recvTime.getHours(), new Date(2026,0,1).getTimezoneOffset()]}; }`,
			uplink, `{"data":[true,"2026-01-14T17:02:10.412Z",17,0]}`},
		{"variables", `function decodeUplink(i) { return {data: i.variables.k}; }`, uplink, `{"data":"v"}`},
		{"undefined is null", `function decodeUplink(i) { return {data: {a: undefined, b: NaN, c: 1, d: [undefined, -Infinity]}}; }`, uplink,
			`{"data":{"a":null,"b":null,"c":1,"d":[null,null]}}`},
		{"sloppy", `function decodeUplink(i) { undeclared = 010; with (Math) { return {data: [undeclared, max(1, 2), this === globalThis, "\101"]}; } }`, uplink,
			`{"data":[8,2,true,"A"]}`},
		{"arguments.callee", `function decodeUplink(i) { var f = function (n) { return n < 2 ? 1 : n * arguments.callee(n - 1); }; return {data: f(5)}; }`, uplink, `{"data":120}`},
		{"Node.js module", `exports.decodeUplink = function (i) { return {data: 1}; };`, uplink, `{"data":1}`},
		{"module.exports", `module.exports = {decodeUplink: (i) => ({data: 2})};`, uplink, `{"data":2}`},
		{"exported only if there is a module", `function decodeUplink(i) { return {data: 3}; } if (typeof module !== "undefined" && module.exports) { module.exports.decodeUplink = decodeUplink; }`,
			uplink, `{"data":3}`},
		{"ES module", "export function decodeUplink(i) { return {data: helper()}; }\nexport const helper = () => 4;\nexport { helper as other };", uplink, `{"data":4}`},
		{"no require", `function decodeUplink(i) { return {data: typeof require + typeof process + typeof Buffer}; }`, uplink, `{"data":"undefinedundefinedfunction"}`},
		{"Buffer", `function decodeUplink(i) { var b = Buffer.from(i.bytes); return {data: [b.readUInt16BE(0), b.toString("hex"), typeof require]}; }`, uplink,
			`{"data":[258,"0102ff","undefined"]}`},
		{"Buffer as Node.js has it", `function decodeUplink(i) {
			var b = Buffer.from([0x41, 0xe9, 0x42, 0x143]), part = b.slice(1, 3);
			part[0] = 0x61;
			return {data: [b.toString("latin1"), Buffer.from("é", "binary").length, Buffer.from("4142zz", "HEX").toString("ascii"), Buffer.isBuffer(part), part.length,
				Buffer.from("QUI", "base64").toString(), Buffer.concat([b, part]).length, Buffer.byteLength("é"), Buffer.from(b.slice(-2)).readUInt16LE(0), b.toString("utf8", 0, 1),
				Buffer.from(new Uint8Array([1, 2]).buffer).readInt16BE(), Buffer.from("ab", "utf16le").toString("hex"), b.subarray(1).readUInt8(0), new Buffer([1, 2]).length]};
		}`, uplink, `{"data":["AaBC",1,"AB",true,2,"AB",6,2,17218,"A",258,"61006200",97,2]}`},
		{"a Buffer as a result", `function decodeUplink(i) { return {data: Buffer.from(i.bytes)}; }`, uplink, `{"data":{"type":"Buffer","data":[1,2,255]}}`},
		{"a Buffer of its own", `var Buffer = {from: function () { return 9; }}; function decodeUplink(i) { return {data: Buffer.from(1)}; }`, uplink, `{"data":9}`},
		{"TextDecoder", `function decodeUplink(i) { return {data: [new TextDecoder().decode(new Uint8Array([0xc3, 0xa9])), new TextDecoder("latin1").decode(new Uint8Array([0xe9])), new TextEncoder().encode("é").length]}; }`,
			uplink, `{"data":["é","é",2]}`},
		{"atob and btoa", `function decodeUplink(i) { return {data: [btoa("\u0001é"), atob("AQI=").charCodeAt(1)]}; }`, uplink, `{"data":["Aek=",2]}`},
		{"console", `function decodeUplink(i) { console.log("x", i); console.error(1); return {data: 1}; }`, uplink, `{"data":1}`},
		{"typed arrays and bits", `function decodeUplink(i) { var v = new DataView(new Uint8Array([0x40, 0x49, 0x0f, 0xdb]).buffer); return {data: [v.getFloat32(0).toFixed(5), (i.bytes[2] << 24) >> 24, 1 << 31 >>> 0]}; }`,
			uplink, `{"data":["3.14159",-1,2147483648]}`},
		{"newer language", `class A { #x = 1n; get x() { return Number(this.#x ?? 0n); } } function decodeUplink(i) { const {bytes: [a, ...rest]} = i; return {data: {...{x: new A()?.x}, a, rest}}; }`,
			uplink, `{"data":{"x":1,"a":1,"rest":[2,255]}}`},
		{"The Things Network v2", `function Decoder(bytes, port) { return {b: bytes.length, p: port}; }`, Call{Function: Decoder, Port: 2, Bytes: []byte{9}}, `{"b":1,"p":2}`},
		{"ChirpStack v3", `function Decode(fPort, bytes, variables) { return {b: bytes[0], p: fPort, v: variables.k}; }`,
			Call{Function: Decode, Port: 2, Bytes: []byte{9}, Variables: map[string]string{"k": "x"}}, `{"b":9,"p":2,"v":"x"}`},
		{"an encoder sees the order of keys", `function encodeDownlink(i) { return {bytes: Object.keys(i.data).map((k) => k.charCodeAt(0)), fPort: 3}; }`,
			Call{Function: EncodeDownlink, Data: []byte(`{"z":1,"a":{"q":1},"m":2}`)}, `{"bytes":[122,97,109],"fPort":3}`},
		{"downlinks are decoded", `function decodeDownlink(i) { return {data: {v: i.bytes[0], p: i.fPort}}; }`, Call{Function: DecodeDownlink, Port: 4, Bytes: []byte{7}}, `{"data":{"v":7,"p":4}}`},
		{"normalised", `function normalizeUplink(i) { return {data: [{air: {temperature: i.data.t}}]}; }`, Call{Function: NormalizeUplink, Data: []byte(`{"t":21.5}`)},
			`{"data":[{"air":{"temperature":21.5}}]}`},
		{"a codec that returns nothing", `function decodeUplink(i) { }`, uplink, `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := run(t, c.source, c.call); err != nil || got != c.want {
				t.Errorf("got %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestNothingStaysFromOneCallToTheNext(t *testing.T) {
	script, err := Compile("test.js", `var count = 0; Array.prototype.extra = (Array.prototype.extra || 0) + 1; Object.prototype.polluted = "x";
		JSON.stringify = function () { return "mine"; };
		function decodeUplink(i) { count++; leak = (typeof leak === "undefined") ? 1 : leak + 1; return {data: [count, leak, [].extra]}; }`)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Compile("other.js", `function decodeUplink(i) { return {data: [typeof leak, typeof [].extra, typeof {}.polluted]}; }`)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got, err := script.Run(&Call{Function: DecodeUplink}, limits)
		if err != nil || string(got) != `{"data":[1,1,1]}` {
			t.Errorf("got %s, %v", got, err)
		}
		got, err = other.Run(&Call{Function: DecodeUplink}, limits)
		if err != nil || string(got) != `{"data":["undefined","undefined","undefined"]}` {
			t.Errorf("another codec: got %s, %v", got, err)
		}
	}
}

func TestCodecsThatFailSayWhy(t *testing.T) {
	short := Limits{Time: 50 * time.Millisecond, Output: 1000}
	for _, c := range []struct {
		name, source string
		want         error
		words        string
	}{
		{"throws", `function decodeUplink() { throw new Error("port 7 is\nnot known"); }`, ErrThrown, "Error: port 7 is"},
		{"throws a text", `function decodeUplink() { throw "just words"; }`, ErrThrown, "just words"},
		{"throws nothing", `function decodeUplink() { throw undefined; }`, ErrThrown, "undefined"},
		{"throws when loaded", `nothere(); function decodeUplink() {}`, ErrThrown, "nothere"},
		{"no function", `function decode() {}`, ErrNoFunction, "decodeUplink"},
		{"asks for a module", `var fs = require("fs"); function decodeUplink() {}`, ErrThrown, "require"},
		{"endless", `function decodeUplink() { while (true) {} }`, ErrTime, ""},
		{"endless when loaded", `for (;;) {}`, ErrTime, ""},
		{"endless as JSON", `function decodeUplink() { return {toJSON: function () { while (true) {} }}; }`, ErrTime, ""},
		{"recursion", `function decodeUplink() { return decodeUplink(); }`, ErrThrown, "too deep"},
		{"cycle", `function decodeUplink() { var a = {}; a.a = a; return a; }`, ErrOutput, ""},
		{"getter that throws", `function decodeUplink() { return {get x() { throw new Error("no"); }}; }`, ErrOutput, "no"},
		{"large", `function decodeUplink() { return {data: "x".repeat(2000)}; }`, ErrOutput, "2011 bytes, at most 1000"},
		{"BigInt", `function decodeUplink() { return {data: 1n}; }`, ErrOutput, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			script, err := Compile("test.js", c.source)
			if err != nil {
				t.Fatal(err)
			}
			result, err := script.Run(&Call{Function: DecodeUplink}, short)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %s, %v, want %v with %q", result, err, c.want, c.words)
			}
		})
	}
	for _, source := range []string{"function decodeUplink( {", "import x from 'y'; function decodeUplink() {}", "\x00"} {
		if _, err := Compile("test.js", source); !errors.Is(err, ErrScript) {
			t.Errorf("%q: got %v, want %v", source, err, ErrScript)
		}
	}
}

const typical = `
function readUInt16LE(b) { return (b[1] << 8) + b[0]; }
function decodeUplink(input) {
	var decoded = {}, bytes = input.bytes;
	for (var i = 0; i < bytes.length;) {
		var channel = bytes[i++], type = bytes[i++];
		if (channel === 0x01 && type === 0x75) { decoded.battery = bytes[i]; i += 1; }
		else if (channel === 0x03 && type === 0x67) { decoded.temperature = readUInt16LE(bytes.slice(i, i + 2)) / 10; i += 2; }
		else if (channel === 0x04 && type === 0x82) { decoded.distance = readUInt16LE(bytes.slice(i, i + 2)); i += 2; }
		else if (channel === 0x05 && type === 0x00) { decoded.position = bytes[i] === 0 ? "normal" : "tilt"; i += 1; }
		else break;
	}
	return {data: decoded};
}`

var typicalFrame = []byte{0x01, 0x75, 0x5c, 0x03, 0x67, 0x01, 0x01, 0x04, 0x82, 0x44, 0x08, 0x05, 0x00, 0x01}

func BenchmarkTypicalCodec(b *testing.B) {
	script, err := Compile("typical.js", typical)
	if err != nil {
		b.Fatal(err)
	}
	call := Call{Function: DecodeUplink, Port: 85, Bytes: typicalFrame}
	for b.Loop() {
		if _, err := script.Run(&call, limits); err != nil {
			b.Fatal(err)
		}
	}
}
