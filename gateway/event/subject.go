package event

import (
	"errors"
	"fmt"
)

const maxToken = 64

// Token escapes an id as one token of a NATS subject: every byte outside of [A-Za-z0-9_-] becomes "_" and two hex digits.
// Two ids may give the same token ("a b" and "a_20b"); the inventory refuses the second.
func Token(id string) (string, error) {
	if id == "" {
		return "", errors.New("empty id")
	}
	token := make([]byte, 0, len(id))
	for i := range len(id) {
		c := id[i]
		if isTokenByte(c) {
			token = append(token, c)
			continue
		}
		const digits = "0123456789abcdef"
		token = append(token, '_', digits[c>>4], digits[c&15])
	}
	if len(token) > maxToken {
		return "", fmt.Errorf("id %q is too long for a NATS subject: %d characters once escaped, at most %d", id, len(token), maxToken)
	}
	return string(token), nil
}

func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// Subject returns the NATS subject "<prefix>.<commune>.<service>.<class>.<token>", with "gateway" for no service.
func Subject(prefix, commune, service, eventType, token string) string {
	if service == "" {
		service = "gateway"
	}
	return prefix + "." + commune + "." + service + "." + class(eventType) + "." + token
}

func class(eventType string) string {
	switch eventType {
	case TypeAlarm:
		return "alarm"
	case TypeNotice:
		return "notice"
	default:
		return "observation"
	}
}
