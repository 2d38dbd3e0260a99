package demo

import (
	"encoding/binary"
	"math"
)

// lightState is what a NAS UL20xx luminaire controller of firmware 1.1 knows: it dims by DALI broadcast and has a meter.
type lightState struct {
	epoch       uint32
	lux         float64
	level       uint8 // percent
	reason      uint8
	on, failed  bool
	energy      uint32 // watt hours
	power       uint16 // watts
	powerFactor uint8  // percent
	voltage     uint8
	operating   uint32 // seconds
	burning     uint32 // seconds
	temperature int8
	rssi        uint8 // -dBm of the last downlink
	snr         int8
}

const (
	daliBroadcast = 0xfe
	ownMeter      = 0xff
)

// gear is the DALI status byte (IEC 62386-102, query status).
func (s *lightState) gear() uint8 {
	var status uint8
	if s.failed {
		status |= 0x02
	}
	if s.on {
		status |= 0x04
	}
	return status
}

// status is the frame of port 23.
func (s *lightState) status() []byte {
	frame := []byte{0x01} // layout since firmware 1.1.4
	frame = binary.LittleEndian.AppendUint32(frame, s.epoch)
	frame = append(frame, 0x80, 0x00) // the relay is closed; nothing else to tell
	frame = append(frame, s.rssi, uint8(s.snr), uint8(s.temperature))
	frame = append(frame, 0x00)                                      // no metering alert in the last 24 hours
	frame = append(frame, 3, 0x02)                                   // 3 bytes of sensors: a light sensor
	raw := uint16(math.Round(4000 * math.Log10(max(s.lux*1000, 1)))) // 10^(raw/4000) millilux
	frame = binary.LittleEndian.AppendUint16(frame, min(raw, 0x7fff))
	return append(frame, daliBroadcast, s.reason, s.level, s.gear())
}

// usage is the frame of port 26.
func (s *lightState) usage() []byte {
	const energy, power, powerFactor, voltage, operating, burning = 1, 2, 16, 32, 64, 128
	frame := []byte{0x00, ownMeter, energy | power | powerFactor | voltage | operating | burning}
	frame = binary.LittleEndian.AppendUint32(frame, s.energy)
	frame = binary.LittleEndian.AppendUint16(frame, s.power)
	frame = append(frame, s.powerFactor, s.voltage)
	frame = binary.LittleEndian.AppendUint32(frame, s.operating)
	return binary.LittleEndian.AppendUint32(frame, s.burning)
}

// alert is the frame of port 61 that says how a driver is.
func (s *lightState) alert() []byte {
	return []byte{0x83, 0x20, daliBroadcast, s.gear()} // 0x20: two bytes follow
}
