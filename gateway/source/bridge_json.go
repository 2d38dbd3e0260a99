package source

import (
	"errors"
	"math"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"belfry/gateway/lorawan"
	"belfry/gateway/strictjson"
)

// bridgeText is an event "up" in JSON, with names in camelCase or snake_case. What v3 and v4 mean by some of them differs, so
// that these are kept as they are written until the end.
type bridgeText struct {
	bridgeFrame
	gateway           string
	spread, bandwidth uint32
	bits              uint32
	width             uint32
	coding            string
	crc               string
	since             time.Duration
}

func parseBridgeJSON(payload []byte) (bridgeFrame, error) {
	text := string(payload)
	if err := strictjson.Check(text); err != nil {
		return bridgeFrame{}, err
	}
	var f bridgeText
	if err := strictjson.Each(gjson.Parse(text), f.setField); err != nil {
		return bridgeFrame{}, err
	}
	err := f.interpret()
	return f.bridgeFrame, err
}

// interpret makes of the texts what they mean, now that the form is known.
func (f *bridgeText) interpret() error {
	gateway := []byte(f.gateway)
	var err error
	if f.legacy {
		if gateway, err = strictjson.DecodeBase64(f.gateway); err != nil {
			return errors.New("gateway EUI in something else than base64")
		}
	}
	var rate lorawan.DataRate
	if f.width != 0 {
		if rate, err = hopRate(f.width, f.coding); err != nil {
			return err
		}
	}
	if f.spread != 0 {
		lora := f.loraRate(f.spread, f.bandwidth)
		rate.SpreadingFactor, rate.Bandwidth = lora.SpreadingFactor, lora.Bandwidth
	}
	rate.BitRate = int(f.bits)
	f.rate = rate
	f.setGPS(f.since)
	return errors.Join(f.setGateway(gateway), f.setCRC(f.crc))
}

func (f *bridgeText) setField(name string, value gjson.Result) (known strictjson.Field, err error) {
	switch name {
	case "phyPayload", "phy_payload":
		known, err = 1, strictjson.Bytes(&f.phy, value)
	case "txInfo", "tx_info":
		known, err = 2, strictjson.Each(value, f.setTransmission)
	case "rxInfo", "rx_info":
		known, err = 3, strictjson.Each(value, f.setReception)
	}
	return known, err
}

func (f *bridgeText) setTransmission(name string, value gjson.Result) (known strictjson.Field, err error) {
	switch name {
	case "frequency":
		known, err = 1, strictjson.Integer(&f.frequency, value, 0, math.MaxUint32)
	case "modulation": // a text in v3
		known = 2
		if f.legacy = f.legacy || value.Type == gjson.String; value.Type != gjson.String {
			err = strictjson.Each(value, f.setModulation)
		}
	case "loRaModulationInfo", "loraModulationInfo", "lora_modulation_info":
		f.legacy = true
		known, err = 3, strictjson.Each(value, f.setLoRa)
	case "fskModulationInfo", "fsk_modulation_info":
		f.legacy = true
		known, err = 4, strictjson.Each(value, f.setFSK)
	case "lrFHSSModulationInfo", "lrFhssModulationInfo", "lr_fhss_modulation_info":
		f.legacy = true
		known, err = 5, strictjson.Each(value, f.setHopping)
	}
	return known, err
}

func (f *bridgeText) setModulation(name string, value gjson.Result) (known strictjson.Field, err error) {
	switch name {
	case "lora":
		known, err = 1, strictjson.Each(value, f.setLoRa)
	case "fsk":
		known, err = 2, strictjson.Each(value, f.setFSK)
	case "lrFhss", "lr_fhss":
		known, err = 3, strictjson.Each(value, f.setHopping)
	}
	return known, err
}

const maxModulation = 10_000_000 // Hz or bit/s; more than any there is

func (f *bridgeText) setLoRa(name string, value gjson.Result) (strictjson.Field, error) {
	switch name {
	case "bandwidth":
		return 1, strictjson.Integer(&f.bandwidth, value, 0, maxModulation)
	case "spreadingFactor", "spreading_factor":
		return 2, strictjson.Integer(&f.spread, value, 0, 12)
	}
	return 0, nil
}

func (f *bridgeText) setFSK(name string, value gjson.Result) (strictjson.Field, error) {
	if name == "datarate" {
		return 1, strictjson.Integer(&f.bits, value, 0, maxModulation)
	}
	return 0, nil
}

func (f *bridgeText) setHopping(name string, value gjson.Result) (strictjson.Field, error) {
	switch name {
	case "operatingChannelWidth", "operating_channel_width":
		return 1, strictjson.Integer(&f.width, value, 0, maxModulation)
	case "codeRate", "code_rate":
		return 2, strictjson.Text(&f.coding, value)
	}
	return 0, nil
}

func (f *bridgeText) setReception(name string, value gjson.Result) (known strictjson.Field, err error) {
	switch name {
	case "gatewayID":
		f.legacy = true
		known, err = 1, strictjson.Text(&f.gateway, value)
	case "gatewayId", "gateway_id":
		known, err = 1, strictjson.Text(&f.gateway, value)
	case "time": // of v3, and of v4 in the beginning
		known, err = 2, strictjson.Time(&f.time, value)
	case "gwTime", "gw_time":
		known, err = 3, strictjson.Time(&f.time, value)
	case "timeSinceGpsEpoch", "timeSinceGPSEpoch", "time_since_gps_epoch":
		known, err = 4, setSeconds(&f.since, value)
	case "rssi":
		known, err = 5, strictjson.Integer(&f.rssi, value, math.MinInt16, math.MaxInt16)
	case "loRaSNR", "loraSnr", "lora_snr":
		f.legacy = true
		known, err = 6, strictjson.Number(&f.snr, value)
	case "snr":
		known, err = 6, strictjson.Number(&f.snr, value)
	case "board":
		known, err = 7, strictjson.Integer(&f.board, value, 0, math.MaxUint32)
	case "antenna":
		known, err = 8, strictjson.Integer(&f.antenna, value, 0, math.MaxUint32)
	case "context":
		known, err = 9, strictjson.Bytes(&f.context, value)
	case "crcStatus", "crc_status":
		known, err = 10, strictjson.Text(&f.crc, value)
	}
	return known, err
}

// setSeconds takes a duration as protobuf's JSON has it, "1342018830.5s"; null is none.
func setSeconds(to *time.Duration, value gjson.Result) error {
	var text string
	if err := strictjson.Text(&text, value); err != nil || text == "" {
		return err
	}
	number, ok := strings.CutSuffix(text, "s")
	if !ok || strings.Trim(number, ".0123456789") != "" {
		return errors.New("want seconds as 1342018830.5s")
	}
	duration, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("want seconds as 1342018830.5s")
	}
	*to = duration
	return nil
}
