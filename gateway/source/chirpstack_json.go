package source

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// parseChirpJSON reads the JSON form, with names in camelCase or snake_case. Unknown names are left alone; a known one
// that stands twice or has another type is an error, never a guess.
func parseChirpJSON(_ string, payload []byte) (chirpEvent, error) {
	text := string(payload)
	if err := checkJSON(text); err != nil {
		return chirpEvent{}, err
	}
	var e chirpEvent
	err := eachField(gjson.Parse(text), e.setField)
	return e, err
}

// field is the number of a known name in its object, 0 for the unknown, which may stand as often as they like.
type field uint

// eachField calls set with every member of an object, in order. set returns the number of the name it knew.
func eachField(object gjson.Result, set func(name string, value gjson.Result) (field, error)) error {
	if object.Type == gjson.Null {
		return nil
	}
	if !object.IsObject() {
		return errors.New("want an object, not " + typeName(object))
	}
	var seen uint
	var failed error
	object.ForEach(func(key, value gjson.Result) bool {
		known, err := set(key.Str, value)
		switch {
		case err != nil:
			failed = fmt.Errorf("%s: %w", key.Str, err)
		case known > 0 && seen&(1<<known) != 0:
			failed = fmt.Errorf("%s: stands twice", key.Str)
		}
		seen |= 1 << known
		return failed == nil
	})
	return failed
}

func (e *chirpEvent) setField(name string, value gjson.Result) (known field, err error) {
	switch name {
	case "deduplicationId", "deduplication_id":
		known, err = 1, setText(&e.deduplication, value)
	case "time":
		known, err = 2, setTime(&e.time, value)
	case "deviceInfo", "device_info":
		known, err = 3, eachField(value, e.setDevice)
	case "devAddr", "dev_addr":
		known, err = 4, setText(&e.devAddr, value)
	case "fCnt", "f_cnt":
		known, err = 5, setInteger(&e.counter, value, 0, math.MaxUint32)
	case "fPort", "f_port":
		known, err = 6, setInteger(&e.port, value, 0, math.MaxUint8)
	case "data":
		known, err = 7, setBytes(&e.data, value)
	case "rxInfo", "rx_info":
		known, err = 8, e.setReceptions(value)
	case "txInfo", "tx_info":
		known, err = 9, eachField(value, e.setTransmission)
	case "margin":
		known, err = 10, setInteger(&e.margin, value, math.MinInt32, math.MaxInt32)
	case "externalPowerSource", "external_power_source":
		known, err = 11, setBool(&e.externalPower, value)
	case "batteryLevelUnavailable", "battery_level_unavailable":
		known, err = 12, setBool(&e.batteryUnknown, value)
	case "batteryLevel", "battery_level":
		known, err = 13, setNumber(&e.battery, value)
	case "level":
		known, err = 14, setText(&e.level, value)
	case "code":
		known, err = 15, setText(&e.code, value)
	case "devEUI", "applicationID", "applicationName":
		err = errors.New("this is a ChirpStack v3 message (v4 is wanted; it names the device in deviceInfo.devEui)")
	}
	return known, err
}

func (e *chirpEvent) setDevice(name string, value gjson.Result) (field, error) {
	if name == "devEui" || name == "dev_eui" {
		return 1, setText(&e.devEUI, value)
	}
	return 0, nil
}

func (e *chirpEvent) setReceptions(list gjson.Result) error {
	if list.Type == gjson.Null {
		return nil
	}
	if !list.IsArray() {
		return errors.New("want a list, not " + typeName(list))
	}
	var failed error
	list.ForEach(func(_, value gjson.Result) bool {
		var r reception
		if failed = eachField(value, r.setField); failed == nil {
			e.hear(r)
		}
		return failed == nil
	})
	return failed
}

func (r *reception) setField(name string, value gjson.Result) (field, error) {
	switch name {
	case "gwTime", "gw_time":
		return 1, setTime(&r.time, value)
	case "rssi":
		return 2, setInteger(&r.rssi, value, math.MinInt16, math.MaxInt16)
	case "snr":
		return 3, setNumber(&r.snr, value)
	}
	return 0, nil
}

// setTransmission goes down txInfo.modulation.lora.spreadingFactor; the names on this way stand nowhere else.
func (e *chirpEvent) setTransmission(name string, value gjson.Result) (field, error) {
	switch name {
	case "modulation", "lora":
		return 1, eachField(value, e.setTransmission)
	case "spreadingFactor", "spreading_factor":
		return 2, setInteger(&e.spread, value, 0, 12)
	}
	return 0, nil
}

func setText(to *string, value gjson.Result) error {
	switch value.Type {
	case gjson.String:
		*to = value.Str
	case gjson.Null:
	default:
		return errors.New("want a text, not " + typeName(value))
	}
	return nil
}

func setBool(to *bool, value gjson.Result) error {
	switch value.Type {
	case gjson.True, gjson.False:
		*to = value.Type == gjson.True
	case gjson.Null:
	default:
		return errors.New("want true or false, not " + typeName(value))
	}
	return nil
}

func setNumber(to *float64, value gjson.Result) error {
	switch {
	case value.Type == gjson.Null:
	case value.Type != gjson.Number:
		return errors.New("want a number, not " + typeName(value))
	case math.IsInf(value.Num, 0) || math.IsNaN(value.Num):
		return errors.New("number is too large")
	default:
		*to = value.Num
	}
	return nil
}

func setInteger[T ~int | ~uint8 | ~uint32](to *T, value gjson.Result, lowest, highest int64) error {
	if value.Type == gjson.Null {
		return nil
	}
	if value.Type != gjson.Number {
		return errors.New("want a number, not " + typeName(value))
	}
	number, err := strconv.ParseInt(value.Raw, 10, 64)
	if err != nil && value.Num == math.Trunc(value.Num) && math.Abs(value.Num) < 1<<53 {
		number, err = int64(value.Num), nil // 5.0 and 1e3 are integers in JSON
	}
	if err != nil || number < lowest || number > highest {
		return fmt.Errorf("want an integer between %d and %d", lowest, highest)
	}
	*to = T(number)
	return nil
}

func setTime(to *time.Time, value gjson.Result) error {
	var text string
	if err := setText(&text, value); err != nil || text == "" {
		return err
	}
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return errors.New("want a time as 2026-01-14T17:02:10Z")
	}
	*to = parsed
	return nil
}

func setBytes(to *[]byte, value gjson.Result) error {
	var text string
	if err := setText(&text, value); err != nil || text == "" {
		return err
	}
	decoded, err := decodeBase64(text)
	if err != nil {
		return fmt.Errorf("base64: %w", err)
	}
	*to = decoded
	return nil
}

func typeName(value gjson.Result) string {
	switch {
	case value.IsObject():
		return "an object"
	case value.IsArray():
		return "a list"
	case value.Type == gjson.String:
		return "a text"
	case value.Type == gjson.Number:
		return "a number"
	case value.Type == gjson.Null:
		return "null"
	default:
		return "true or false"
	}
}
