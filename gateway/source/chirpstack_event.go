package source

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"belfry/gateway/event"
)

// chirpEvent is what we need of the events up, join, status and log; each has some of it.
type chirpEvent struct {
	deduplication string
	time          time.Time
	devEUI        string // 16 digits, lower case
	devAddr       string

	counter  uint32
	port     uint8
	data     []byte
	best     reception
	gateways int
	spread   int // spreading factor, 0 when not LoRa

	margin         int
	externalPower  bool
	batteryUnknown bool
	battery        float64 // %

	level, code string
}

// reception is how one gateway heard an uplink.
type reception struct {
	time time.Time // the gateway's own clock; zero without one
	rssi int
	snr  float64
}

// parseChirpEvent reads an event as JSON or protobuf, whichever it is.
func parseChirpEvent(kind string, payload []byte) (chirpEvent, error) {
	parse := parseChirpProto
	if text := bytes.TrimLeft(payload, " \t\r\n"); len(text) > 0 && text[0] == '{' {
		parse = parseChirpJSON
	}
	e, err := parse(kind, payload)
	if err != nil {
		return chirpEvent{}, err
	}
	if e.devEUI, err = checkEUI(e.devEUI); err != nil {
		return chirpEvent{}, err
	}
	if len(e.deduplication) > maxDeduplication {
		return chirpEvent{}, fmt.Errorf("deduplication id of %d bytes", len(e.deduplication))
	}
	return e, nil
}

const maxDeduplication = 64 // bytes; it is a UUID

// checkEUI returns a device's EUI in lower case.
func checkEUI(text string) (string, error) {
	if text == "" {
		return "", errors.New("no device EUI")
	}
	if len(text) != 16 {
		return "", fmt.Errorf("device EUI of %d characters instead of 16", len(text))
	}
	for i := range len(text) {
		c := text[i] | 0x20
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", errors.New("device EUI with a character that is no hexadecimal digit")
		}
	}
	return strings.Clone(strings.ToLower(text)), nil
}

// hear keeps the best of the receptions: the one with the best signal to noise, then the strongest.
func (e *chirpEvent) hear(r reception) {
	e.gateways++
	if e.gateways == 1 || r.snr > e.best.snr || r.snr == e.best.snr && r.rssi > e.best.rssi {
		e.best = r
	}
}

func (e *chirpEvent) link() *event.Link {
	if e.gateways == 0 {
		return nil
	}
	return &event.Link{RSSI: e.best.rssi, SNR: e.best.snr, SpreadingFactor: e.spread, Gateways: e.gateways}
}

// identity is that of the frame. An uplink that carries a device status makes two events with one deduplication id.
func (e *chirpEvent) identity(kind string) string {
	switch {
	case e.deduplication != "" && kind == "up":
		return "ns:" + e.deduplication
	case e.deduplication != "":
		return "ns:" + e.deduplication + ":" + kind
	case kind == "up":
		return "lorawan:" + e.devEUI + ":" + e.devAddr + ":" + strconv.FormatUint(uint64(e.counter), 10)
	default:
		return ""
	}
}
