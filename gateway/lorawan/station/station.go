// Package station has the messages of the LNS protocol of LoRa Basics Station: discovery, and the data connection of
// version 2 with its frames, answers, set-up of the radio and time. It knows no connection and no session.
package station

import (
	"fmt"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

// Protocol is the version of the data connection that is understood.
const Protocol = 2

// MaxMessage is how many bytes a message may have.
const MaxMessage = 64 << 10

var limits = strictjson.Limits{Depth: 8, Text: 1 << 10}

// object reads one message, which is a JSON object.
func object(message []byte) (gjson.Result, error) {
	if len(message) > MaxMessage {
		return gjson.Result{}, fmt.Errorf("message of %d bytes, more than %d", len(message), MaxMessage)
	}
	text := string(message)
	if err := limits.Check(text); err != nil {
		return gjson.Result{}, err
	}
	parsed := gjson.Parse(text)
	if !parsed.IsObject() {
		return gjson.Result{}, fmt.Errorf("want an object, not %.20q", text)
	}
	return parsed, nil
}
