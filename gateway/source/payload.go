package source

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// payloadForms are the ways in which devices write bytes.
var payloadForms = map[string]func([]byte) ([]byte, error){
	"":       rawPayload,
	"raw":    rawPayload,
	"json":   rawPayload, // its decoder reads the text
	"hex":    hexPayload,
	"base64": base64Payload,
}

func rawPayload(text []byte) ([]byte, error) { return text, nil }

func hexPayload(text []byte) ([]byte, error) {
	text = bytes.TrimSpace(text)
	payload := make([]byte, hex.DecodedLen(len(text)))
	n, err := hex.Decode(payload, text)
	switch {
	case errors.Is(err, hex.ErrLength):
		return nil, fmt.Errorf("hexadecimal payload: odd number of digits, %d", len(text))
	case err != nil:
		return nil, fmt.Errorf("hexadecimal payload: offset %d is no digit", 2*n)
	}
	return payload, nil
}

func base64Payload(text []byte) ([]byte, error) {
	payload, err := decodeBase64(bytes.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("base64 payload: %w", err)
	}
	return payload, nil
}

// decodeBase64 reads the standard and the URL alphabet, with and without padding.
func decodeBase64[T ~string | ~[]byte](text T) ([]byte, error) {
	encoding := base64.StdEncoding
	trimmed := bytes.TrimRight([]byte(text), "=")
	padded := len(trimmed) < len(text)
	if bytes.ContainsAny(trimmed, "-_") {
		encoding = base64.URLEncoding
	}
	if !padded {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	encoding = encoding.Strict()
	payload := make([]byte, encoding.DecodedLen(len(text)))
	n, err := encoding.Decode(payload, []byte(text))
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) {
		return nil, fmt.Errorf("bad character or end at offset %d", int64(corrupt))
	}
	return payload[:n], err
}
