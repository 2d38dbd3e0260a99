package source

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

// ttnMessage is what we need of the messages up and join of The Things Stack. Protobuf's JSON, which they are, leaves out
// what is zero or empty.
type ttnMessage struct {
	networkUplink
	application string
	device      string // its name
	simulated   bool
	session     string // session_key_id
	received    time.Time
	taken       time.Time // by the network server, before anybody else
	hasUplink   bool
	hasJoin     bool
}

const maxSession = 128 // characters; it is the base64 of 16 bytes

func parseTTN(kind string, payload []byte) (ttnMessage, error) {
	var m ttnMessage
	text := string(payload)
	if err := strictjson.Check(text); err != nil {
		return m, err
	}
	if err := strictjson.Each(gjson.Parse(text), m.setField); err != nil {
		return ttnMessage{}, err
	}
	if err := m.check(kind); err != nil {
		return ttnMessage{}, err
	}
	return m, nil
}

func (m *ttnMessage) check(kind string) error {
	switch {
	case m.simulated:
		return nil // nobody's
	case kind == "up" && !m.hasUplink:
		return errors.New("no uplink_message")
	case kind == "join" && !m.hasJoin:
		return errors.New("no join_accept")
	case m.devEUI == "":
		return errors.New("no dev_eui (a device that is activated by personalization may have none in The Things Stack: enter one there)")
	case len(m.session) > maxSession:
		return fmt.Errorf("session_key_id of %d characters", len(m.session))
	}
	return m.networkUplink.check()
}

// checkTopic compares whose message it is with whose it was published as. The topic has the tenant too.
func (m *ttnMessage) checkTopic(application, device string) error {
	application, _, _ = strings.Cut(application, "@")
	switch {
	case m.simulated:
		return nil
	case m.device != device:
		return errors.New("the device in the topic is not the one in the message")
	case m.application != application:
		return errors.New("the application in the topic is not the one in the message")
	}
	return nil
}

// heardAt is when the network heard of it, if no gateway has a better time.
func (m *ttnMessage) heardAt() time.Time {
	for _, at := range []time.Time{m.time, m.taken} {
		if !at.IsZero() {
			return at
		}
	}
	return m.received
}

// identity is that of the frame. A device whose counter began anew has the same session and counter again, not the same time.
func (m *ttnMessage) identity(kind string) string {
	const prefix = "tts:"
	switch {
	case kind == "join" && m.session == "":
		return ""
	case kind == "join":
		return prefix + m.devEUI + ":" + m.session + ":" + kind
	case m.taken.IsZero():
		return m.frame()
	}
	counter := strconv.FormatUint(uint64(m.counter), 10)
	return prefix + m.devEUI + ":" + m.session + ":" + counter + ":" + m.taken.UTC().Format(time.RFC3339Nano)
}

func (m *ttnMessage) setField(name string, value gjson.Result) (known strictjson.Field, err error) {
	switch name {
	case "end_device_ids":
		known, err = 1, strictjson.Each(value, m.setDevice)
	case "received_at":
		known, err = 2, strictjson.Time(&m.received, value)
	case "uplink_message":
		m.hasUplink = value.IsObject()
		known, err = 3, strictjson.Each(value, m.setUplink)
	case "join_accept":
		m.hasJoin = value.IsObject()
		known, err = 4, strictjson.Each(value, m.setJoin)
	case "simulated":
		known, err = 5, strictjson.Bool(&m.simulated, value)
	}
	return known, err
}

func (m *ttnMessage) setDevice(name string, value gjson.Result) (strictjson.Field, error) {
	switch name {
	case "device_id":
		return 1, strictjson.Text(&m.device, value)
	case "application_ids":
		return 2, strictjson.Each(value, func(name string, value gjson.Result) (strictjson.Field, error) {
			if name == "application_id" {
				return 1, strictjson.Text(&m.application, value)
			}
			return 0, nil
		})
	case "dev_eui":
		return 3, strictjson.Text(&m.devEUI, value)
	case "dev_addr":
		return 4, strictjson.Text(&m.devAddr, value)
	}
	return 0, nil
}

func (m *ttnMessage) setJoin(name string, value gjson.Result) (strictjson.Field, error) {
	switch name {
	case "session_key_id":
		return 1, strictjson.Text(&m.session, value)
	case "received_at":
		return 2, strictjson.Time(&m.taken, value)
	}
	return 0, nil
}

func (m *ttnMessage) setUplink(name string, value gjson.Result) (known strictjson.Field, err error) {
	switch name {
	case "session_key_id":
		known, err = 1, strictjson.Text(&m.session, value)
	case "f_port":
		known, err = 2, strictjson.Integer(&m.port, value, 0, math.MaxUint8)
	case "f_cnt":
		known, err = 3, strictjson.Integer(&m.counter, value, 0, math.MaxUint32)
	case "frm_payload":
		known, err = 4, strictjson.Bytes(&m.data, value)
	case "rx_metadata":
		known, err = 5, m.setReceptions(value)
	case "settings":
		known, err = 6, strictjson.Each(value, m.setSettings)
	case "received_at":
		known, err = 7, strictjson.Time(&m.taken, value)
	case "app_s_key": // stands there only when the application server did not use it
		known, m.secret = 8, value.IsObject()
	}
	return known, err
}

// setSettings goes down settings.data_rate.lora.spreading_factor; the names on this way stand nowhere else.
func (m *ttnMessage) setSettings(name string, value gjson.Result) (strictjson.Field, error) {
	switch name {
	case "data_rate", "lora":
		return 1, strictjson.Each(value, m.setSettings)
	case "spreading_factor":
		return 2, strictjson.Integer(&m.spread, value, 0, 12)
	case "time":
		return 3, strictjson.Time(&m.time, value)
	}
	return 0, nil
}

func (m *ttnMessage) setReceptions(list gjson.Result) error {
	return strictjson.List(list, func(value gjson.Result) error {
		var r ttnReception
		if err := strictjson.Each(value, r.setField); err != nil {
			return err
		}
		m.hear(r.reception())
		return nil
	})
}
