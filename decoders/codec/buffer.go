package codec

import "github.com/dop251/goja"

// bufferMore adds to the module's Buffer what codecs use of Node.js and it does not have: encodings of one and two bytes a
// character, names in any case, views that share memory, and a few functions.
var bufferMore = goja.MustCompile("buffer", `(function (Buffer) {
	var from = Buffer.from, proto = Buffer.prototype, toString = proto.toString;
	var names = {"utf-8": "utf8", "binary": "latin1", "ucs2": "utf16le", "ucs-2": "utf16le", "utf-16le": "utf16le", "base64url": "base64Url"};
	function named(encoding) {
		if (encoding === undefined || encoding === null) return "utf8";
		encoding = String(encoding).toLowerCase();
		return names[encoding] || encoding;
	}
	function codes(text, mask) {
		var all = new Array(text.length);
		for (var i = 0; i < text.length; i++) all[i] = text.charCodeAt(i) & mask;
		return all;
	}
	function parse(text, encoding) {
		switch (named(encoding)) {
		case "latin1": case "ascii":
			return from(codes(text, 255));
		case "utf16le":
			var bytes = [];
			for (var i = 0; i < text.length; i++) bytes.push(text.charCodeAt(i) & 255, text.charCodeAt(i) >> 8);
			return from(bytes);
		case "hex":
			var digits = /^([0-9a-fA-F]{2})*/.exec(text)[0];
			return from(digits, "hex");
		case "base64": case "base64Url":
			text = text.split("=")[0].replace(/-/g, "+").replace(/_/g, "/").replace(/[^A-Za-z0-9+\/]/g, "");
			if (text.length % 4 === 1) text = text.slice(0, -1);
			while (text.length % 4) text += "=";
			return from(text, "base64");
		}
		return from(text, named(encoding));
	}
	Buffer.from = function (value, encoding, length) {
		if (typeof value === "string") return parse(value, encoding);
		if (value && value.type === "Buffer" && Array.isArray(value.data)) return from(value.data);
		if (value && typeof value === "object" && !(value instanceof ArrayBuffer)) return from(Array.prototype.map.call(value, function (b) { return b & 255; }));
		return from(value, encoding, length);
	};
	function define(on, members) {
		Object.keys(members).forEach(function (name) {
			Object.defineProperty(on, name, {value: members[name], writable: true, configurable: true, enumerable: false});
		});
	}
	function text(view, encoding) {
		var out = "", i;
		switch (encoding) {
		case "latin1":
			for (i = 0; i < view.length; i++) out += String.fromCharCode(view[i]);
			return out;
		case "ascii":
			for (i = 0; i < view.length; i++) out += String.fromCharCode(view[i] & 127);
			return out;
		case "utf16le":
			for (i = 0; i + 1 < view.length; i += 2) out += String.fromCharCode(view[i] | view[i + 1] << 8);
			return out;
		}
		return toString.call(view, encoding);
	}
	function view(start, end) {
		var n = this.length;
		start = start === undefined ? 0 : Math.trunc(Number(start)) || 0;
		end = end === undefined ? n : Math.trunc(Number(end)) || 0;
		start = start < 0 ? Math.max(n + start, 0) : Math.min(start, n);
		end = end < 0 ? Math.max(n + end, 0) : Math.min(end, n);
		return from(this.buffer, this.byteOffset + start, Math.max(end - start, 0));
	}
	define(proto, {
		toString: function (encoding, start, end) {
			return text(start === undefined && end === undefined ? this : view.call(this, start, end), named(encoding));
		},
		slice: view, subarray: view,
		toJSON: function () { return {type: "Buffer", data: Array.prototype.slice.call(this)}; },
		copy: function (target, at, start, end) {
			var part = view.call(this, start, end);
			at = at || 0;
			var n = Math.min(part.length, target.length - at);
			for (var i = 0; i < n; i++) target[at + i] = part[i];
			return Math.max(n, 0);
		},
		compare: function (other) { return Buffer.compare(this, other); },
		swap16: function () { for (var i = 0; i + 1 < this.length; i += 2) { var b = this[i]; this[i] = this[i + 1]; this[i + 1] = b; } return this; }
	});
	define(Buffer, {
		isBuffer: function (value) { return value instanceof Buffer; },
		isEncoding: function (encoding) { return ["utf8", "hex", "base64", "base64Url", "latin1", "ascii", "utf16le"].indexOf(named(encoding)) >= 0; },
		byteLength: function (value, encoding) { return typeof value === "string" ? parse(value, encoding).length : value.byteLength; },
		allocUnsafe: function (size) { return Buffer.alloc(size); },
		compare: function (a, b) {
			for (var i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
			return a.length === b.length ? 0 : a.length < b.length ? -1 : 1;
		}
	});
	return Buffer;
})`, false)
