package lorawan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const someKey = "8d0c41f7a6b35e29d4170fe2936bc85a"

// TestKeysAreNotPrinted prints a key in the ways that reach one: alone, in a device, in a list, by reference.
func TestKeysAreNotPrinted(t *testing.T) {
	key, err := ParseKey(someKey)
	if err != nil {
		t.Fatal(err)
	}
	device := Device{DevEUI: "70b3d5e75e00a1f2", AppKey: &key, NwkKey: &key, NwkSKey: &key, AppSKey: &key, SNwkSIntKey: &key, NwkSEncKey: &key}
	network, err := New(Defaults())
	if err != nil {
		t.Fatal(err)
	}
	network.SetDevices([]Device{device})
	var written bytes.Buffer
	for _, value := range []any{
		key, &key, []Key{key}, map[string]Key{"key": key}, map[Key]int{key: 1}, struct{ Key Key }{key},
		device, &device, []Device{device}, network,
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%08b"} {
			fmt.Fprintf(&written, verb+"\n", value)
		}
		text, err := json.Marshal(value)
		fmt.Fprintf(&written, "%s %v\n", text, err)
		slog.New(slog.NewTextHandler(&written, nil)).Info("m", "value", value)
		slog.New(slog.NewJSONHandler(&written, nil)).Info("m", "value", value)
	}
	for _, form := range []string{someKey, "141 12 65 247", "8d 0c", "0x8d, 0xc, 0x41", "8d0c41", "jQxB96"} {
		if strings.Contains(strings.ToLower(written.String()), strings.ToLower(form)) {
			t.Errorf("%q is in what was printed", form)
		}
	}
	if !strings.Contains(written.String(), redacted) {
		t.Error("nothing says that there is a key")
	}
}

func TestKeysAreReadAsMakersWriteThem(t *testing.T) {
	want, err := ParseKey(someKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, written := range []string{
		strings.ToUpper(someKey), "8D0C41F7 A6B35E29 D4170FE2 936BC85A", "8d:0c:41:f7:a6:b3:5e:29:d4:17:0f:e2:93:6b:c8:5a",
		"8D-0C-41-F7-A6-B3-5E-29-D4-17-0F-E2-93-6B-C8-5A",
	} {
		if got, err := ParseKey(written); err != nil || got != want {
			t.Errorf("%s: got another key, %v", written, err)
		}
	}
	for written, want := range map[string]string{
		"":                                   "0 hexadecimal digits, want 32",
		someKey[1:]:                          "31 hexadecimal digits, want 32",
		someKey + "0":                        "33 hexadecimal digits, want 32",
		someKey[:31] + "g":                   "character 32 is no hexadecimal digit",
		"0x" + someKey:                       "character 2 is no hexadecimal digit",
		strings.Repeat("0", 32):              "a key of zeros is no key",
		"é" + someKey:                        "character 1 is no hexadecimal digit",
		strings.Repeat("0-", 31) + "0\u00a0": "character 64 is no hexadecimal digit",
	} {
		if _, err := ParseKey(written); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %q", written, err, want)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(someKey)
	f.Add("8d:0c:41")
	f.Add("0x" + someKey)
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseKey(text)
		if err == nil && key == (Key{}) {
			t.Errorf("%q: a key of zeros", text)
		}
		if err == nil && !strings.EqualFold(strings.NewReplacer(" ", "", ":", "", "-", "").Replace(text), fmt.Sprintf("%x", key[:])) {
			t.Errorf("%q is read as another key", text)
		}
	})
}
