package lorawan

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// Key is an AES-128 key. It is never printed.
type Key [16]byte

const redacted = "[redacted]"

// String implements fmt.Stringer without telling the key.
func (Key) String() string { return redacted }

// Format implements fmt.Formatter without telling the key, whatever the verb.
func (Key) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler (and so JSON) without telling the key.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ParseKey reads 32 hexadecimal digits; blanks, colons and dashes between them are left out. Its errors never show a digit.
func ParseKey(text string) (Key, error) {
	var key Key
	digits := make([]byte, 0, 2*len(key))
	for i := range len(text) {
		switch c := text[i]; {
		case c == ' ' || c == ':' || c == '-':
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			digits = append(digits, c)
		default:
			return key, fmt.Errorf("character %d is no hexadecimal digit", i+1)
		}
	}
	if len(digits) != 2*len(key) {
		return key, fmt.Errorf("%d hexadecimal digits, want %d", len(digits), 2*len(key))
	}
	_, err := hex.Decode(key[:], digits)
	if err == nil && key == (Key{}) {
		err = errors.New("a key of zeros is no key")
	}
	return key, err
}
