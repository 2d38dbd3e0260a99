package source

import (
	"slices"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

// parseBridgeAck reads an event "ack", and says whether the radio gateway sent the answer.
func parseBridgeAck(payload []byte) (sent bool, err error) {
	if len(payload) > 0 && payload[0] == '{' {
		return parseJSONAck(payload)
	}
	return parseProtoAck(payload)
}

func parseJSONAck(payload []byte) (sent bool, err error) {
	text := string(payload)
	if err := strictjson.Check(text); err != nil {
		return false, err
	}
	var statuses []string
	var failure string // of a v3 that knew one window only
	err = strictjson.Each(gjson.Parse(text), func(name string, value gjson.Result) (strictjson.Field, error) {
		switch name {
		case "items":
			return 1, strictjson.List(value, func(item gjson.Result) error {
				status := ""
				err := strictjson.Each(item, func(name string, value gjson.Result) (strictjson.Field, error) {
					if name == "status" {
						return 1, strictjson.Text(&status, value)
					}
					return 0, nil
				})
				statuses = append(statuses, status)
				return err
			})
		case "error":
			return 2, strictjson.Text(&failure, value)
		}
		return 0, nil
	})
	return failure == "" && wasSent(statuses), err
}

// wasSent says whether one of the windows was used. Without any the event only says that there was no error.
func wasSent(statuses []string) bool { return len(statuses) == 0 || slices.Contains(statuses, "OK") }
