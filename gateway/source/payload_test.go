package source

import (
	"bytes"
	"strings"
	"testing"
)

func TestPayloadFormsReadBytes(t *testing.T) {
	for _, c := range []struct {
		form, text string
		want       []byte
		fault      string
	}{
		{"", "\x00\x01", []byte{0, 1}, ""},
		{"raw", "text", []byte("text"), ""},
		{"json", `{"a":1}`, []byte(`{"a":1}`), ""},
		{"hex", "00fF10", []byte{0, 255, 16}, ""},
		{"hex", " 00ff\n", []byte{0, 255}, ""},
		{"hex", "00f", nil, "odd number of digits, 3"},
		{"hex", "00xx", nil, "offset 2"},
		{"base64", "AAH/", []byte{0, 1, 255}, ""},
		{"base64", "AAH_", []byte{0, 1, 255}, ""},
		{"base64", "AAE=", []byte{0, 1}, ""},
		{"base64", "AAE", []byte{0, 1}, ""},
		{"base64", "", []byte{}, ""},
		{"base64", "AAE==", nil, "offset"},
		{"base64", "AA!E", nil, "offset 2"},
		{"base64", "A", nil, "offset"},
	} {
		got, err := payloadForms[c.form]([]byte(c.text))
		if !bytes.Equal(got, c.want) || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s %q: got %x, %v, want %x, %q", c.form, c.text, got, err, c.want, c.fault)
		}
	}
}
