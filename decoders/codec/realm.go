package codec

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"
	"github.com/dop251/goja_nodejs/buffer"
	"github.com/dop251/goja_nodejs/require"
)

// realm is the world of one call: what ECMAScript has, and what codecs find in browsers and Node.js without asking for it.
type realm struct {
	vm    *goja.Runtime
	write goja.Callable // JSON.stringify, before the codec could change it
	read  goja.Callable // JSON.parse
	nulls goja.Value    // the replacer that makes null of undefined
}

// replacer keeps members that have no value: that a reading is missing is what the codec says with them.
var replacer = goja.MustCompile("replacer", `(function (key, value) { return value === undefined ? null : value; })`, false)

func newRealm(vm *goja.Runtime) (*realm, error) {
	r := &realm{vm: vm}
	object := vm.Get("JSON").ToObject(vm)
	r.write, _ = goja.AssertFunction(object.Get("stringify"))
	r.read, _ = goja.AssertFunction(object.Get("parse"))
	nulls, err := vm.RunProgram(replacer)
	if err != nil {
		return nil, err
	}
	r.nulls = nulls
	return r, r.furnish()
}

// furnish adds what is not of the language. What is costly is made when the codec asks for it.
func (r *realm) furnish() error {
	vm := r.vm
	console := vm.NewObject()
	for _, name := range []string{"log", "info", "warn", "error", "debug", "trace", "table", "dir", "assert", "time", "timeEnd"} {
		if err := console.Set(name, func(goja.FunctionCall) goja.Value { return goja.Undefined() }); err != nil {
			return err
		}
	}
	module, exports := vm.NewObject(), vm.NewObject()
	return errors.Join(
		module.Set("exports", exports),
		vm.Set("module", module), vm.Set("exports", exports), vm.Set("console", console), vm.Set("global", vm.GlobalObject()),
		vm.Set("atob", r.atob), vm.Set("btoa", r.btoa),
		r.lazy("Buffer", r.buffer),
		r.lazy("TextDecoder", func() (goja.Value, error) { return r.texts("TextDecoder") }),
		r.lazy("TextEncoder", func() (goja.Value, error) { return r.texts("TextEncoder") }),
	)
}

// lazy defines a global that is made when it is first looked at. A codec may define its own in its place.
func (r *realm) lazy(name string, make func() (goja.Value, error)) error {
	global := r.vm.GlobalObject()
	settle := func(value goja.Value) error {
		return global.DefineDataProperty(name, value, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	return global.DefineAccessorProperty(name, r.vm.ToValue(func(goja.FunctionCall) goja.Value {
		value, err := make()
		if err == nil {
			err = settle(value)
		}
		if err != nil {
			panic(r.vm.NewGoError(err))
		}
		return value
	}), r.vm.ToValue(func(call goja.FunctionCall) goja.Value {
		if err := settle(call.Argument(0)); err != nil {
			panic(r.vm.NewGoError(err))
		}
		return goja.Undefined()
	}), goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// nothing is the module loader: there are no files.
func nothing(string) ([]byte, error) { return nil, require.ModuleFileDoesNotExistError }

var registry = require.NewRegistry(require.WithLoader(nothing))

// buffer makes Buffer of the module of Node.js. The function require that comes with it is taken away again.
func (r *realm) buffer() (goja.Value, error) {
	global := r.vm.GlobalObject()
	before := global.Get("require")
	modules := registry.Enable(r.vm)
	made, err := modules.Require(buffer.ModuleName)
	if before == nil {
		_ = global.Delete("require")
	} else {
		_ = global.Set("require", before)
	}
	if err != nil {
		return nil, err
	}
	more, err := r.vm.RunProgram(bufferMore)
	if err != nil {
		return nil, err
	}
	complete, _ := goja.AssertFunction(more)
	return complete(goja.Undefined(), made.ToObject(r.vm).Get("Buffer"))
}

// textClasses are TextDecoder and TextEncoder for UTF-8 and one-byte encodings, on top of Buffer.
var textClasses = goja.MustCompile("text", `(function (Buffer) {
	function TextDecoder(label) {
		var known = {"utf-8": "utf8", "utf8": "utf8", "ascii": "latin1", "us-ascii": "latin1", "latin1": "latin1", "iso-8859-1": "latin1", "windows-1252": "latin1"};
		label = String(label === undefined ? "utf-8" : label).toLowerCase();
		if (!known[label]) throw new RangeError("the encoding " + label + " is not known");
		this.encoding = label;
		this._ = known[label];
	}
	TextDecoder.prototype.decode = function (bytes) {
		if (bytes === undefined) return "";
		var view = bytes.buffer ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes);
		return Buffer.from(view).toString(this._);
	};
	function TextEncoder() { this.encoding = "utf-8"; }
	TextEncoder.prototype.encode = function (text) { return new Uint8Array(Buffer.from(String(text === undefined ? "" : text), "utf8")); };
	return {TextDecoder: TextDecoder, TextEncoder: TextEncoder};
})`, false)

func (r *realm) texts(name string) (goja.Value, error) {
	made, err := r.vm.RunProgram(textClasses)
	if err != nil {
		return nil, err
	}
	class, _ := goja.AssertFunction(made)
	of, err := r.buffer()
	if err != nil {
		return nil, err
	}
	both, err := class(goja.Undefined(), of)
	if err != nil {
		return nil, err
	}
	return both.ToObject(r.vm).Get(name), nil
}

// atob decodes base64 to a text with a character for each byte.
func (r *realm) atob(call goja.FunctionCall) goja.Value {
	text := strings.Map(func(c rune) rune {
		if strings.ContainsRune(" \t\n\f\r", c) {
			return -1
		}
		return c
	}, call.Argument(0).String())
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		panic(r.vm.NewTypeError("atob: not base64"))
	}
	characters := make([]rune, len(decoded))
	for i, b := range decoded {
		characters[i] = rune(b)
	}
	return r.vm.ToValue(string(characters))
}

// btoa encodes a text of characters up to 255.
func (r *realm) btoa(call goja.FunctionCall) goja.Value {
	text := call.Argument(0).String()
	bytes := make([]byte, 0, len(text))
	for _, c := range text {
		if c > 255 {
			panic(r.vm.NewTypeError("btoa: a character above 255"))
		}
		bytes = append(bytes, byte(c))
	}
	return r.vm.ToValue(base64.StdEncoding.EncodeToString(bytes))
}

// parse makes a value of JSON; without any it is undefined.
func (r *realm) parse(text json.RawMessage) (goja.Value, error) {
	if len(text) == 0 {
		return goja.Undefined(), nil
	}
	value, err := r.read(goja.Undefined(), r.vm.ToValue(string(text)))
	if err != nil {
		return nil, fmt.Errorf("data: %w", thrown(err))
	}
	return value, nil
}

// stringify writes a result as JSON.
func (r *realm) stringify(value goja.Value, limit int) ([]byte, error) {
	written, err := r.write(goja.Undefined(), value, r.nulls)
	if err != nil {
		if err = thrown(err); errors.Is(err, ErrTime) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if goja.IsUndefined(written) {
		return []byte("null"), nil // of a function, say
	}
	text := written.String()
	if len(text) > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrOutput, len(text), limit)
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return []byte(text), nil
}
