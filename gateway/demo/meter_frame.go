package demo

import (
	"encoding/binary"
	"time"
)

// meterState is what an Axioma Qalcosonic W1 water meter sends.
type meterState struct {
	time   time.Time // whole seconds
	status uint8
	volume uint32    // litres
	hour   time.Time // of the last log
	log    [logged]uint32
}

// volumes is the frame of port 100: the volume now, the oldest of the log, and the steps from there, hour by hour.
func (s *meterState) volumes() []byte {
	frame := binary.LittleEndian.AppendUint32(nil, uint32(s.time.Unix()))
	frame = append(frame, s.status)
	frame = binary.LittleEndian.AppendUint32(frame, s.volume)
	frame = binary.LittleEndian.AppendUint32(frame, uint32(s.logTime(0).Unix()))
	frame = binary.LittleEndian.AppendUint32(frame, s.log[0])
	for i := range logged - 1 {
		frame = binary.LittleEndian.AppendUint16(frame, uint16(min(s.log[i+1]-s.log[i], 0xffff)))
	}
	return frame
}

// alarm is the frame of port 103.
func (s *meterState) alarm() []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(s.time.Unix())), s.status)
}

func (s *meterState) logTime(i int) time.Time {
	return s.hour.Add(-time.Duration(logged-1-i) * time.Hour)
}

// observations are the events that the frame of port 100 must become: one for each volume.
func (s *meterState) observations() []Observation {
	observations := make([]Observation, 0, logged+1)
	for i, volume := range s.log {
		observations = append(observations, Observation{Time: s.logTime(i), Values: litres(volume)})
	}
	return append(observations, Observation{Time: s.time, Values: litres(s.volume)})
}

func litres(volume uint32) map[string]float64 {
	return map[string]float64{"water_volume": float64(volume)}
}
