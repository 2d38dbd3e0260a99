package demo

import (
	"encoding/binary"
	"math"
)

// dingtekBin is a bin with a Dingtek DF702 sensor.
type dingtekBin struct {
	*bin
	sent  uint16
	flags [2]byte // as last sent
}

func (d *dingtekBin) onBattery() {}

func (d *dingtekBin) live(m moment) []report {
	d.pass(m)
	d.sent++
	return []report{{
		port: 3, payload: d.frame(),
		levels: map[string]bool{
			"container_full": d.full(), "container_fire": !d.fire.IsZero(), "container_tipped": !d.tilt.IsZero(),
			"battery_low": d.low(),
		},
		observations: []Observation{{Values: map[string]float64{
			"fill_distance": float64(d.distance()), "container_temperature": math.Round(d.temperature), "tilt": float64(d.angle),
		}}},
	}}
}

// frame is the message of 17 bytes, without a position.
func (d *dingtekBin) frame() []byte {
	const heartbeat, alarm = 0x01, 0x02
	flags := [2]byte{nibbles(d.full(), !d.fire.IsZero()), nibbles(!d.tilt.IsZero(), d.low())}
	kind := byte(heartbeat)
	if flags != d.flags {
		kind, d.flags = alarm, flags
	}
	frame := []byte{0x80, 0x00, 0x01, kind, 17}
	frame = binary.BigEndian.AppendUint16(frame, d.distance())
	frame = append(frame, 0x00, byte(int8(math.Round(d.temperature))), 0x00, d.angle, flags[0], flags[1])
	frame = binary.BigEndian.AppendUint16(frame, d.sent)
	return append(frame, 0x00, 0x81)
}

func (d *dingtekBin) low() bool { return d.voltage < 3 }

// nibbles puts two flags into the halves of a byte.
func nibbles(high, low bool) uint8 {
	var b uint8
	if high {
		b |= 0x10
	}
	if low {
		b |= 0x01
	}
	return b
}
