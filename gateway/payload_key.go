package gateway

import "fmt"

// PayloadKey is what a sensor's payloads are decrypted with, beside whatever its transport encrypts. It is never printed.
type PayloadKey struct {
	Key   [16]byte
	Meter []byte // address of the meter, decoders.MeterBytes; nil when it is not known
}

const redacted = "[redacted]"

// String implements fmt.Stringer without telling the key.
func (PayloadKey) String() string { return redacted }

// Format implements fmt.Formatter without telling the key, whatever the verb.
func (PayloadKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler (and so JSON) without telling the key.
func (PayloadKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }
