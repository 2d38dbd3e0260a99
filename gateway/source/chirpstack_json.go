package source

import (
	"errors"
	"math"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

// parseChirpJSON reads the JSON form, with names in camelCase or snake_case. Unknown names are left alone; a known one
// that stands twice or has another type is an error, never a guess.
func parseChirpJSON(_ string, payload []byte) (chirpEvent, error) {
	text := string(payload)
	if err := strictjson.Check(text); err != nil {
		return chirpEvent{}, err
	}
	var e chirpEvent
	err := strictjson.Each(gjson.Parse(text), e.setField)
	return e, err
}

func (e *chirpEvent) setField(name string, value gjson.Result) (known strictjson.Field, err error) {
	switch name {
	case "deduplicationId", "deduplication_id":
		known, err = 1, strictjson.Text(&e.deduplication, value)
	case "time":
		known, err = 2, strictjson.Time(&e.time, value)
	case "deviceInfo", "device_info":
		known, err = 3, strictjson.Each(value, e.setDevice)
	case "devAddr", "dev_addr":
		known, err = 4, strictjson.Text(&e.devAddr, value)
	case "fCnt", "f_cnt":
		known, err = 5, strictjson.Integer(&e.counter, value, 0, math.MaxUint32)
	case "fPort", "f_port":
		known, err = 6, strictjson.Integer(&e.port, value, 0, math.MaxUint8)
	case "data":
		known, err = 7, strictjson.Bytes(&e.data, value)
	case "rxInfo", "rx_info":
		known, err = 8, e.setReceptions(value)
	case "txInfo", "tx_info":
		known, err = 9, strictjson.Each(value, e.setTransmission)
	case "margin":
		known, err = 10, strictjson.Integer(&e.margin, value, math.MinInt32, math.MaxInt32)
	case "externalPowerSource", "external_power_source":
		known, err = 11, strictjson.Bool(&e.externalPower, value)
	case "batteryLevelUnavailable", "battery_level_unavailable":
		known, err = 12, strictjson.Bool(&e.batteryUnknown, value)
	case "batteryLevel", "battery_level":
		known, err = 13, strictjson.Number(&e.battery, value)
	case "level":
		known, err = 14, strictjson.Text(&e.level, value)
	case "code":
		known, err = 15, strictjson.Text(&e.code, value)
	case "joinServerContext", "join_server_context": // stands there when a join server keeps the AppSKey
		known, e.secret = 16, value.IsObject()
	case "devEUI", "applicationID", "applicationName":
		err = errors.New("this is a ChirpStack v3 message (v4 is wanted; it names the device in deviceInfo.devEui)")
	}
	return known, err
}

func (e *chirpEvent) setDevice(name string, value gjson.Result) (strictjson.Field, error) {
	if name == "devEui" || name == "dev_eui" {
		return 1, strictjson.Text(&e.devEUI, value)
	}
	return 0, nil
}

func (e *chirpEvent) setReceptions(list gjson.Result) error {
	return strictjson.List(list, func(value gjson.Result) error {
		var r chirpReception
		if err := strictjson.Each(value, r.setField); err != nil {
			return err
		}
		e.hear(reception(r))
		return nil
	})
}

// chirpReception is a reception as ChirpStack writes it.
type chirpReception reception

func (r *chirpReception) setField(name string, value gjson.Result) (strictjson.Field, error) {
	switch name {
	case "gwTime", "gw_time":
		return 1, strictjson.Time(&r.time, value)
	case "rssi":
		return 2, strictjson.Integer(&r.rssi, value, math.MinInt16, math.MaxInt16)
	case "snr":
		return 3, strictjson.Number(&r.snr, value)
	case "gatewayId", "gateway_id":
		return 4, strictjson.Text(&r.gateway, value)
	}
	return 0, nil
}

// setTransmission goes down txInfo.modulation.lora.spreadingFactor; the names on this way stand nowhere else.
func (e *chirpEvent) setTransmission(name string, value gjson.Result) (strictjson.Field, error) {
	switch name {
	case "modulation", "lora":
		return 1, strictjson.Each(value, e.setTransmission)
	case "spreadingFactor", "spreading_factor":
		return 2, strictjson.Integer(&e.spread, value, 0, 12)
	}
	return 0, nil
}
