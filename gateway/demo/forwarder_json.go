package demo

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// receivedPacket is an element of "rxpk" in a PUSH_DATA.
type receivedPacket struct {
	Time      string      `json:"time,omitempty"` // of GPS, in ISO 8601
	Timestamp uint32      `json:"tmst"`
	Channel   uint32      `json:"chan"`
	Chain     int         `json:"rfch"`
	Frequency json.Number `json:"freq"` // MHz
	CRC       int         `json:"stat"`
	Mode      string      `json:"modu"`
	DataRate  string      `json:"datr"`
	CodeRate  string      `json:"codr"`
	RSSI      int         `json:"rssi"`
	SNR       float64     `json:"lsnr"`
	Size      int         `json:"size"`
	Data      []byte      `json:"data"`
}

// encode writes frames as the body of a PUSH_DATA.
func (f *forwarder) encode(frames []*heard) []byte {
	var body struct {
		Packets []receivedPacket `json:"rxpk"`
	}
	for _, h := range frames {
		packet := receivedPacket{
			Timestamp: f.timestamp(h.end), Channel: h.frequency / 100_000 % 8, CRC: 1, Mode: "LORA", CodeRate: "4/5",
			Frequency: json.Number(fmt.Sprintf("%.6f", float64(h.frequency)/1e6)), DataRate: dataRate(h.rate),
			RSSI: h.rssi, SNR: math.Round(h.snr*10) / 10, Size: len(h.phy), Data: h.phy,
		}
		if f.gps {
			packet.Time = h.end.UTC().Format("2006-01-02T15:04:05.000000Z")
		}
		body.Packets = append(body.Packets, packet)
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err) // numbers and texts only
	}
	return encoded
}

// transmitPacket is "txpk" in a PULL_RESP.
type transmitPacket struct {
	Immediate bool    `json:"imme"`
	Timestamp *uint32 `json:"tmst"`
	Frequency float64 `json:"freq"`
	Power     int     `json:"powe"`
	Mode      string  `json:"modu"`
	DataRate  string  `json:"datr"`
	CodeRate  string  `json:"codr"`
	Inverted  bool    `json:"ipol"`
	Size      int     `json:"size"`
	Data      []byte  `json:"data"`
}

// broadcast is one downlink on air.
type broadcast struct {
	gateway   *forwarder
	at        time.Time
	frequency uint32
	rate      uint8
	phy       []byte
}

// span is when a gateway transmits.
type span struct{ from, to time.Time }

// answer takes a PULL_RESP and says in a TX_ACK whether the downlink is sent.
func (f *forwarder) answer(token uint16, body []byte) {
	b, reason := f.accept(body, time.Now())
	datagram := binary.BigEndian.AppendUint16([]byte{protocolVersion}, token)
	datagram = binary.BigEndian.AppendUint64(append(datagram, txAck), f.eui)
	f.write(f.down, fmt.Appendf(datagram, `{"txpk_ack":{"error":%q}}`, reason))
	if b != nil {
		f.transmit(b)
	}
}

// accept plans a downlink, or says why not in the protocol's words.
func (f *forwarder) accept(body []byte, now time.Time) (*broadcast, string) {
	var message struct {
		Packet transmitPacket `json:"txpk"`
	}
	const tooEarly, power = 15 * time.Second, 27
	err := json.Unmarshal(body, &message)
	p := &message.Packet
	rate, known := parseDataRate(p.DataRate)
	b := &broadcast{gateway: f, frequency: uint32(math.Round(p.Frequency * 1e6)), rate: rate, phy: p.Data}
	switch {
	case err != nil, p.Immediate, p.Timestamp == nil, p.Mode != "LORA", !known, p.CodeRate != "4/5", !p.Inverted, p.Size != len(p.Data):
		return nil, "TX_PARAM" // not one of the protocol's: nothing that a device of the town would hear
	case b.frequency < 863_000_000 || b.frequency > 870_000_000:
		return nil, "TX_FREQ"
	case p.Power > power:
		return nil, "TX_POWER"
	}
	b.at = f.moment(*p.Timestamp, now)
	on := span{b.at, b.at.Add(airtime(rate, len(p.Data)))}
	switch {
	case b.at.Before(now):
		return nil, "TOO_LATE"
	case b.at.After(now.Add(tooEarly)):
		return nil, "TOO_EARLY"
	case !f.occupy(on, now):
		return nil, "COLLISION_PACKET"
	}
	return b, "NONE"
}

// occupy reserves the transmitter.
func (f *forwarder) occupy(on span, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.occupied[:0]
	free := true
	for _, other := range f.occupied {
		if other.to.After(now) {
			kept = append(kept, other)
			free = free && !(on.from.Before(other.to) && other.from.Before(on.to))
		}
	}
	f.occupied = kept
	if free {
		f.occupied = append(f.occupied, on)
	}
	return free
}
