package station

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"belfry/gateway/lorawan"
)

// encode cannot fail: its values have no type that JSON does not know.
func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic("station: " + err.Error())
	}
	return text
}

// TimeSyncAnswer tells a station the time.
func TimeSyncAnswer(query TimeSync, now time.Time) []byte {
	return encode(struct {
		Type    string  `json:"msgtype"`
		TxTime  int64   `json:"txtime"`
		GPSTime int64   `json:"gpstime"`
		MuxTime float64 `json:"MuxTime"`
	}{"timesync", query.TxTime, ToGPS(now), seconds(now)})
}

// ErrorMessage tells a station why it is not served; it logs that.
func ErrorMessage(reason string) []byte {
	return encode(struct {
		Type  string `json:"msgtype"`
		Error string `json:"error"`
	}{"error", reason})
}

const (
	classA      = 0
	priority    = 1
	maxRxDelay  = 15
	windowsGap  = time.Second // RX2 opens so long after RX1
	windowsMost = 2           // that a message can have
)

type dnmsg struct {
	Type     string  `json:"msgtype"`
	DevEUI   string  `json:"DevEui"`
	Class    int     `json:"dC"`
	ID       int64   `json:"diid"`
	PDU      string  `json:"pdu"`
	RxDelay  int64   `json:"RxDelay"`
	RX1DR    int     `json:"RX1DR"`
	RX1Freq  uint32  `json:"RX1Freq"`
	RX2DR    *int    `json:"RX2DR,omitempty"`
	RX2Freq  uint32  `json:"RX2Freq,omitempty"`
	Priority int     `json:"priority"`
	XTime    int64   `json:"xtime"`
	RCtx     int64   `json:"rctx"`
	MuxTime  float64 `json:"MuxTime"`
}

// Downlink tells a station what to send to a class A device, and in which windows. id comes back when it was sent. A second
// window is left out when it does not open a second after the first, for the message has no word for that.
func Downlink(region *lorawan.Region, down lorawan.Downlink, context Context, id int64, now time.Time) ([]byte, error) {
	device, err := ParseID(down.DevEUI)
	if err != nil {
		return nil, err
	}
	if len(down.Windows) == 0 {
		return nil, errors.New("no window to send in")
	}
	if len(down.PHY) == 0 || len(down.PHY) > maxPHY {
		return nil, fmt.Errorf("frame of %d bytes", len(down.PHY))
	}
	rx1 := down.Windows[0]
	delay := rx1.Delay / time.Second
	if delay < 1 || delay > maxRxDelay || rx1.Delay%time.Second != 0 {
		return nil, fmt.Errorf("a window %s after the uplink; stations know whole seconds from 1 to %d", rx1.Delay, maxRxDelay)
	}
	message := dnmsg{
		Type: "dnmsg", DevEUI: device.EUI(), Class: classA, ID: id, PDU: hex.EncodeToString(down.PHY), RxDelay: int64(delay),
		RX1Freq: rx1.Frequency, Priority: priority, XTime: context.XTime, RCtx: context.RCtx, MuxTime: seconds(now),
	}
	if message.RX1DR, err = region.Index(false, rx1.DataRate); err != nil {
		return nil, err
	}
	if len(down.Windows) >= windowsMost && down.Windows[1].Delay == rx1.Delay+windowsGap {
		rate, err := region.Index(false, down.Windows[1].DataRate)
		if err != nil {
			return nil, err
		}
		message.RX2DR, message.RX2Freq = &rate, down.Windows[1].Frequency
	}
	return encode(message), nil
}
