package semtech

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"belfry/gateway/lorawan"
	"belfry/gateway/strictjson"
)

// Transmission is a frame that a radio gateway is to send.
type Transmission struct {
	PHY       []byte
	Timestamp uint32 // µs of the radio's own clock
	Frequency uint32 // Hz
	DataRate  lorawan.DataRate
	Power     int // dBm
}

const (
	fskDeviation = 25_000 // Hz, of LoRaWAN in all regions that have FSK
	fskPreamble  = 5      // bytes
)

// PullResp makes the datagram that asks a radio gateway to send.
func (t *Transmission) PullResp(token Token) ([]byte, error) {
	if len(t.PHY) == 0 || len(t.PHY) > maxPHY {
		return nil, fmt.Errorf("frame of %d bytes to send", len(t.PHY))
	}
	to := make([]byte, 0, 512)
	to = append(to, version, token[0], token[1], byte(PullResp))
	to = fmt.Appendf(to, `{"txpk":{"imme":false,"tmst":%d,"freq":%s,"rfch":0,"powe":%d,`,
		t.Timestamp, megahertz(t.Frequency), max(t.Power, 0))
	switch rate := t.DataRate; {
	case rate.SpreadingFactor > 0:
		// A LoRaWAN downlink has its polarisation inverted and no CRC (TS001, section 3.2).
		to = fmt.Appendf(to, `"modu":"LORA","datr":"%s","codr":"4/5","ipol":true,"ncrc":true,`, rate)
	case rate.BitRate > 0:
		to = fmt.Appendf(to, `"modu":"FSK","datr":%d,"fdev":%d,"prea":%d,"ncrc":false,`, rate.BitRate, fskDeviation, fskPreamble)
	default:
		return nil, fmt.Errorf("no radio gateway sends at %s", rate)
	}
	to = fmt.Appendf(to, `"size":%d,"data":"`, len(t.PHY))
	to = base64.StdEncoding.AppendEncode(to, t.PHY)
	return append(to, `"}}`...), nil
}

// megahertz prints a frequency exactly.
func megahertz(hz uint32) string {
	places := strings.TrimRight(fmt.Sprintf("%06d", hz%1_000_000), "0")
	return strings.TrimSuffix(strconv.Itoa(int(hz/1_000_000))+"."+places, ".")
}

// Outcome is what a radio gateway did with a transmission.
type Outcome struct {
	Refused string // one of Refusals; "" when it is sent
	Warned  bool   // it is sent otherwise than asked, with less power for instance
}

// refusals are the errors of a TX_ACK.
var refusals = []string{"TOO_LATE", "TOO_EARLY", "COLLISION_PACKET", "COLLISION_BEACON", "TX_FREQ", "TX_POWER", "GPS_UNLOCKED"}

// OtherRefusal stands for all errors that the protocol does not know.
const OtherRefusal = "OTHER"

// Refusals lists why a radio gateway does not transmit.
func Refusals() []string { return append([]string{OtherRefusal}, refusals...) }

// ParseTxAck reads the body of a TX_ACK. An empty one means that all is well.
func ParseTxAck(body []byte) (Outcome, error) {
	if len(strings.Trim(string(body), " \t\r\n\x00")) == 0 {
		return Outcome{}, nil
	}
	text, err := checkBody(body)
	if err != nil {
		return Outcome{}, err
	}
	var refused, warned string
	found := false
	err = strictjson.Each(gjson.Parse(text), func(name string, value gjson.Result) (strictjson.Field, error) {
		if name != "txpk_ack" {
			return 0, nil
		}
		found = true
		return 1, strictjson.Each(value, func(name string, value gjson.Result) (strictjson.Field, error) {
			switch name {
			case "error":
				return 1, strictjson.Text(&refused, value)
			case "warn":
				return 2, strictjson.Text(&warned, value)
			}
			return 0, nil
		})
	})
	if err == nil && !found {
		err = errors.New("no txpk_ack")
	}
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Refused: refusal(refused), Warned: warned != "" && warned != "NONE"}, nil
}

func refusal(text string) string {
	if text == "" || text == "NONE" {
		return ""
	}
	for _, known := range refusals {
		if text == known {
			return known
		}
	}
	return OtherRefusal
}
