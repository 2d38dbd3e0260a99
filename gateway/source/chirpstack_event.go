package source

import (
	"bytes"
	"fmt"
)

// chirpEvent is what we need of the events up, join, status and log; each has some of it.
type chirpEvent struct {
	networkUplink
	deduplication string

	margin         int
	externalPower  bool
	batteryUnknown bool
	battery        float64 // %

	level, code string
}

// parseChirpEvent reads an event as JSON or protobuf, whichever it is.
func parseChirpEvent(kind string, payload []byte) (chirpEvent, error) {
	parse := parseChirpProto
	if isJSON(payload) {
		parse = parseChirpJSON
	}
	e, err := parse(kind, payload)
	if err != nil {
		return chirpEvent{}, err
	}
	if err := e.check(); err != nil {
		return chirpEvent{}, err
	}
	if len(e.deduplication) > maxDeduplication {
		return chirpEvent{}, fmt.Errorf("deduplication id of %d bytes", len(e.deduplication))
	}
	return e, nil
}

const maxDeduplication = 64 // bytes; it is a UUID

// isJSON tells an object in JSON from protobuf.
func isJSON(payload []byte) bool {
	text := bytes.TrimLeft(payload, " \t\r\n")
	return len(text) > 0 && text[0] == '{'
}

// identity is that of the frame. An uplink that carries a device status makes two events with one deduplication id.
func (e *chirpEvent) identity(kind string) string {
	switch {
	case e.deduplication != "" && kind == "up":
		return "ns:" + e.deduplication
	case e.deduplication != "":
		return "ns:" + e.deduplication + ":" + kind
	case kind == "up":
		return e.frame()
	default:
		return ""
	}
}
