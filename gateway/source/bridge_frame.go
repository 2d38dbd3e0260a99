package source

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"belfry/gateway/lorawan"
)

// bridgeFrame is an event "up" of a gateway bridge.
type bridgeFrame struct {
	bridgeForm
	gateway   string // EUI in lower case; "" when it is not told
	phy       []byte
	frequency uint32 // Hz
	rate      lorawan.DataRate
	rssi      int
	snr       float64
	time      time.Time // when the frame was heard; zero when the gateway has no time
	gps       bool      // time is by GPS
	badCRC    bool
}

// bridgeForm is how a bridge writes, and what it wants to have back with an answer.
type bridgeForm struct {
	packed  bool // protobuf instead of JSON
	legacy  bool // the names of v3 instead of v4
	board   uint32
	antenna uint32
	context []byte
}

const (
	maxPHY     = 255 // bytes; no modem sends more
	maxContext = 128 // bytes; bridges use 4 to 24
)

// parseBridgeFrame reads an event as JSON or protobuf, with the names of v3 or v4, whichever it is. Protobuf does not begin
// with a brace: that would be a group, which it no longer has. It may begin with a line feed and a brace.
func parseBridgeFrame(payload []byte) (bridgeFrame, error) {
	parse := parseBridgeProto
	if len(payload) > 0 && payload[0] == '{' {
		parse = parseBridgeJSON
	}
	f, err := parse(payload)
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return bridgeFrame{}, err
	}
	return f, nil
}

func (f *bridgeFrame) check() error {
	switch {
	case len(f.phy) == 0:
		return errors.New("no phyPayload")
	case len(f.phy) > maxPHY:
		return fmt.Errorf("phyPayload of %d bytes, at most %d can be sent", len(f.phy), maxPHY)
	case len(f.context) > maxContext:
		return fmt.Errorf("context of %d bytes, more than %d", len(f.context), maxContext)
	case f.frequency == 0:
		return errors.New("no frequency")
	}
	return checkRate(f.rate)
}

// checkRate checks that the modulation is one, and a possible one.
func checkRate(rate lorawan.DataRate) error {
	kinds := 0
	for _, value := range []int{rate.SpreadingFactor, rate.BitRate, rate.OccupiedWidth} {
		if value != 0 {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return errors.New("no modulation, or several")
	case rate.SpreadingFactor != 0 && (rate.SpreadingFactor < 5 || rate.SpreadingFactor > 12):
		return fmt.Errorf("spreading factor %d is not between 5 and 12", rate.SpreadingFactor)
	case rate.SpreadingFactor != 0 && (rate.Bandwidth < 1 || rate.Bandwidth > 2000):
		return fmt.Errorf("bandwidth of %d kHz is not between 1 and 2000", rate.Bandwidth)
	case rate.BitRate < 0 || rate.OccupiedWidth < 0:
		return errors.New("modulation out of range")
	}
	return nil
}

// loraRate is LoRa with the bandwidth as it is written: v3 has kHz, v4 Hz.
func (f *bridgeFrame) loraRate(spread, bandwidth uint32) lorawan.DataRate {
	if !f.legacy {
		bandwidth /= 1000
	}
	return lorawan.DataRate{SpreadingFactor: int(spread), Bandwidth: int(bandwidth)}
}

// hopRate is LR-FHSS, with the coding rate as regions call it.
func hopRate(width uint32, coding string) (lorawan.DataRate, error) {
	switch coding {
	case "CR_2_6", "2/6", "1/3":
		coding = "1/3"
	case "CR_4_6", "4/6", "2/3":
		coding = "2/3"
	default:
		return lorawan.DataRate{}, errors.New("unknown coding rate of LR-FHSS")
	}
	return lorawan.DataRate{OccupiedWidth: int(width), CodingRate: coding}, nil
}

// setGateway takes the gateway's EUI: v3 has its bytes, v4 its digits.
func (f *bridgeFrame) setGateway(eui []byte) error {
	if len(eui) == 0 {
		return nil
	}
	text := string(eui)
	if f.legacy {
		text = hex.EncodeToString(eui)
	}
	checked, err := checkDigits("gateway EUI", text, 16)
	f.gateway = checked
	return err
}

var errCRC = errors.New("unknown CRC status")

// setCRC takes the radio's verdict. A frame without a checksum is none that is damaged.
func (f *bridgeFrame) setCRC(status string) error {
	switch status {
	case "", "NO_CRC", "CRC_OK":
	case "BAD_CRC":
		f.badCRC = true
	default:
		return errCRC
	}
	return nil
}

var gpsEpoch = time.Date(1980, 1, 6, 0, 0, 0, 0, time.UTC)

// gpsAhead is how far GPS time is ahead of UTC: the leap seconds since 1980, the last of which was in 2016.
const gpsAhead = 18 * time.Second

// setGPS takes the time since GPS's first day, which is better than that of the gateway's own clock.
func (f *bridgeFrame) setGPS(since time.Duration) {
	if since > 0 {
		f.time, f.gps = gpsEpoch.Add(since-gpsAhead), true
	}
}
