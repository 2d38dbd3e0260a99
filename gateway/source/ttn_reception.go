package source

import (
	"errors"
	"math"
	"time"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

// ttnReception is an entry of rx_metadata. Gateways of other networks come through the Packet Broker, all under one name.
type ttnReception struct {
	heard     reception
	satellite time.Time // gps_time
	rssi      float64
	name, eui string
}

func (r *ttnReception) setField(name string, value gjson.Result) (strictjson.Field, error) {
	switch name {
	case "gateway_ids":
		return 1, strictjson.Each(value, func(name string, value gjson.Result) (strictjson.Field, error) {
			switch name {
			case "gateway_id":
				return 1, strictjson.Text(&r.name, value)
			case "eui":
				return 2, strictjson.Text(&r.eui, value)
			}
			return 0, nil
		})
	case "time":
		return 2, strictjson.Time(&r.heard.time, value)
	case "gps_time":
		return 3, strictjson.Time(&r.satellite, value)
	case "rssi":
		return 4, r.setRSSI(value)
	case "snr":
		return 5, strictjson.Number(&r.heard.snr, value)
	}
	return 0, nil
}

// setRSSI reads a number that may have decimals.
func (r *ttnReception) setRSSI(value gjson.Result) error {
	if err := strictjson.Number(&r.rssi, value); err != nil {
		return err
	}
	if math.Abs(r.rssi) > math.MaxInt16 {
		return errors.New("number is too large")
	}
	return nil
}

func (r *ttnReception) reception() reception {
	heard := r.heard
	heard.rssi = int(math.Round(r.rssi))
	if !r.satellite.IsZero() {
		heard.time = r.satellite
	}
	switch {
	case r.eui != "":
		heard.gateway = r.eui
	case r.name != "packetbroker":
		heard.gateway = r.name
	}
	return heard
}
