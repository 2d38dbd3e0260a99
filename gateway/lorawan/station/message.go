package station

import (
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

// Message is what a station sends on the data connection. At most one of the pointers is set; the others are of no concern.
type Message struct {
	Type     string // "version", "updf", ...
	Version  *Version
	Uplink   *Uplink
	TimeSync *TimeSync
}

// Version is how a station introduces itself.
type Version struct {
	Station, Firmware, Package, Model string
	Protocol                          int
	Features                          string // words with blanks between them
}

// TimeSync asks for the time.
type TimeSync struct {
	TxTime int64 // µs of the station's own clock, to be sent back
}

const maxType = 40 // bytes

// Parse reads a message of a station.
func Parse(text []byte) (Message, error) {
	var message Message
	parsed, err := object(text)
	if err != nil {
		return message, err
	}
	err = strictjson.Each(parsed, func(name string, value gjson.Result) (strictjson.Field, error) {
		if name != "msgtype" {
			return 0, nil
		}
		return 1, strictjson.Text(&message.Type, value)
	})
	switch {
	case err != nil:
	case message.Type == "" || len(message.Type) > maxType:
		err = errors.New("no msgtype")
	default:
		if err = message.read(parsed); err != nil {
			err = fmt.Errorf("%.40q: %w", message.Type, err)
		}
	}
	return message, err
}

func (m *Message) read(object gjson.Result) (err error) {
	switch m.Type {
	case "version":
		m.Version, err = readVersion(object)
	case "jreq":
		m.Uplink, err = readJoin(object)
	case "updf":
		m.Uplink, err = readData(object)
	case "timesync":
		m.TimeSync, err = readTimeSync(object)
	}
	return err
}

func readVersion(object gjson.Result) (*Version, error) {
	version := &Version{}
	err := strictjson.Each(object, func(name string, value gjson.Result) (strictjson.Field, error) {
		switch name {
		case "station":
			return 1, strictjson.Text(&version.Station, value)
		case "firmware":
			return 2, strictjson.Text(&version.Firmware, value)
		case "package":
			return 3, strictjson.Text(&version.Package, value)
		case "model":
			return 4, strictjson.Text(&version.Model, value)
		case "protocol":
			return 5, strictjson.Integer(&version.Protocol, value, 0, 1000)
		case "features":
			if value.Type != gjson.String {
				return 6, nil // some send a list
			}
			return 6, strictjson.Text(&version.Features, value)
		}
		return 0, nil
	})
	return version, err
}

func readTimeSync(object gjson.Result) (*TimeSync, error) {
	sync, found := &TimeSync{}, false
	err := strictjson.Each(object, func(name string, value gjson.Result) (strictjson.Field, error) {
		if name != "txtime" {
			return 0, nil
		}
		found = value.Type != gjson.Null
		return 1, integer64(&sync.TxTime, value)
	})
	if err == nil && !found {
		err = errors.New("no txtime")
	}
	return sync, err
}
