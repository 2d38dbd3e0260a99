package source

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"belfry/gateway/strictjson"
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
	payload, err := strictjson.DecodeBase64(bytes.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("base64 payload: %w", err)
	}
	return payload, nil
}
