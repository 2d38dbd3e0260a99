// Package codec runs the JavaScript codecs that makers publish: decodeUplink and its like of LoRa Alliance TS013, and the older
// Decoder and Decode. It does no I/O, and keeps nothing from one call to the next.
package codec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"

	"github.com/dop251/goja"
)

// The functions that a codec may have.
const (
	DecodeUplink    = "decodeUplink"    // TS013
	NormalizeUplink = "normalizeUplink" // TS013
	EncodeDownlink  = "encodeDownlink"  // TS013
	DecodeDownlink  = "decodeDownlink"  // TS013
	Decoder         = "Decoder"         // Decoder(bytes, port): The Things Network v2
	Decode          = "Decode"          // Decode(fPort, bytes, variables): ChirpStack v3
)

// Functions lists their names.
func Functions() []string {
	return []string{DecodeUplink, NormalizeUplink, EncodeDownlink, DecodeDownlink, Decoder, Decode}
}

// Script is a compiled codec. It may be used by several goroutines.
type Script struct {
	Hash    string // SHA-256 of the source in hexadecimal: the codec's version
	program *goja.Program
}

// ErrScript says that a text is no JavaScript that can be run.
var ErrScript = errors.New("not a codec that can be run")

// exported are the export keywords of modules. Codecs that have them are otherwise scripts.
var exported = regexp.MustCompile(`(?m)^(\s*)export\s+(default\s+)?(async\s+function|function|const|let|var|class)\b`)

// exportLists are lists of names behind export, which say nothing that the names themselves do not.
var exportLists = regexp.MustCompile(`(?m)^\s*export\s*(\{[^}]*\}|default\s+[A-Za-z_$][\w$]*)\s*;?\s*$`)

// Compile compiles a codec. name is for messages.
func Compile(name, source string) (*Script, error) {
	program, err := goja.Compile(name, source, false)
	if err != nil {
		plain := exportLists.ReplaceAllString(exported.ReplaceAllString(source, "$1$3"), "")
		var again error
		if program, again = goja.Compile(name, plain, false); plain == source || again != nil {
			return nil, fmt.Errorf("%w: %w", ErrScript, err)
		}
	}
	sum := sha256.Sum256([]byte(source))
	return &Script{Hash: hex.EncodeToString(sum[:]), program: program}, nil
}

// finders are expressions for the functions: a codec may declare them, also with let, or export them as a Node.js module.
var finders = func() map[string]*goja.Program {
	all := map[string]*goja.Program{}
	for _, name := range Functions() {
		all[name] = goja.MustCompile("find", fmt.Sprintf(`(function () {
			if (typeof %[1]s === "function") return %[1]s;
			var e = module.exports;
			if (e && typeof e.%[1]s === "function") return e.%[1]s;
			if (e && e.default && typeof e.default.%[1]s === "function") return e.default.%[1]s;
		})()`, name), false)
	}
	return all
}()
