package demo

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// attackerEUI is the attacker's own gateway, which no town has on its list.
const attackerEUI = 0x02be1f0000a00066

const (
	maxRecorded = 500
	replayAge   = 2 * time.Second // younger frames may still be on their way
)

// attacker records frames and sends them again. It belongs to the loop of Air.
type attacker struct {
	station  *forwarder // never runs; it only makes datagrams
	random   *rand.Rand
	recorded []recording
	next     int
}

// recording is a frame that the server has acknowledged.
type recording struct {
	phy []byte
	at  time.Time
}

func openAttacker(server string, seed uint64) (*attacker, error) {
	socket, err := net.Dial("udp", server)
	if err != nil {
		return nil, fmt.Errorf("attacker: %w", err)
	}
	station := &forwarder{
		forwarderOptions: forwarderOptions{eui: attackerEUI}, booted: time.Now(), up: socket.(*net.UDPConn),
		random: rand.New(rand.NewPCG(seed, attackerEUI)),
	}
	return &attacker{station: station, random: rand.New(rand.NewPCG(seed, 1))}, nil
}

// record keeps a frame for later.
func (a *attacker) record(phy []byte) {
	if r := (recording{phy, time.Now()}); len(a.recorded) < maxRecorded {
		a.recorded = append(a.recorded, r)
	} else {
		a.recorded[a.next] = r
		a.next = (a.next + 1) % maxRecorded
	}
}

// choose picks a frame that is old enough, nil when there is none.
func (a *attacker) choose() []byte {
	for range 10 {
		if len(a.recorded) == 0 {
			return nil
		}
		if r := a.recorded[a.random.IntN(len(a.recorded))]; time.Since(r.at) > replayAge {
			return bytes.Clone(r.phy)
		}
	}
	return nil
}

// push sends a frame as the attacker's own gateway heard it.
func (a *attacker) push(phy []byte) {
	now := time.Now()
	frames := []*heard{{phy: phy, end: now, due: now, frequency: euChannels[0], rate: 5, rssi: -50, snr: 10}}
	a.station.write(a.station.up, append(a.station.header(pushData), a.station.encode(frames)...))
}

func (a *attacker) close() { a.station.up.Close() }
