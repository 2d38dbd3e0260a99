package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// The datagrams of the packet forwarder's protocol, version 2, by their fourth byte.
const (
	protocolVersion = 2

	pushData = 0
	pushAck  = 1
	pullData = 2
	pullResp = 3
	pullAck  = 4
	txAck    = 5
)

const (
	flushInterval  = 10 * time.Millisecond // how often a concentrator is read
	resendInterval = 1200 * time.Millisecond
	pullInterval   = 3 * time.Second
	maxFrames      = 6  // in one datagram
	maxFlights     = 50 // datagrams without an answer
)

// heard is one frame as one radio gateway heard it.
type heard struct {
	phy       []byte
	end       time.Time // of the frame on air
	due       time.Time // when the concentrator has it
	frequency uint32
	rate      uint8
	rssi      int
	snr       float64
	landed    func(late bool) // called once, when a PUSH_ACK says that the server has it
}

// forwarderOptions are what a radio gateway is and whom it tells.
type forwarderOptions struct {
	eui      uint64
	server   string // host:port
	counter  uint32 // of the concentrator at the start, in microseconds
	gps      bool
	transmit func(*broadcast) // called for each downlink that it sends
	seed     uint64
}

// forwarder is a radio gateway: a client of the packet forwarder's protocol that sends again what was not acknowledged.
type forwarder struct {
	forwarderOptions
	booted   time.Time
	up, down *net.UDPConn // frames go up, and answers come down, by sockets of their own, as in the original program

	mu       sync.Mutex // guards all below
	random   *rand.Rand
	waiting  []*heard  // not sent yet
	flights  []*volley // not acknowledged yet, oldest first
	away     time.Time // until when there is no backhaul
	pulled   time.Time // when the last PULL_DATA went out
	reached  bool      // a PULL_ACK came
	occupied []span    // when it transmits
	resent   int
}

// volley is one PUSH_DATA on its way.
type volley struct {
	token    uint16
	datagram []byte
	frames   []*heard
	sent     time.Time
	late     bool // it had to wait for the backhaul
}

// openForwarder makes a gateway's sockets. run closes them.
func openForwarder(options forwarderOptions) (*forwarder, error) {
	address, err := net.ResolveUDPAddr("udp", options.server)
	if err != nil {
		return nil, fmt.Errorf("radio gateway: %w", err)
	}
	f := &forwarder{forwarderOptions: options, booted: time.Now(), random: rand.New(rand.NewPCG(options.seed, options.eui))}
	if f.up, err = net.DialUDP("udp", nil, address); err != nil {
		return nil, fmt.Errorf("radio gateway: %w", err)
	}
	if f.down, err = net.DialUDP("udp", nil, address); err != nil {
		f.up.Close()
		return nil, fmt.Errorf("radio gateway: %w", err)
	}
	return f, nil
}

// run works until ctx is done.
func (f *forwarder) run(ctx context.Context) {
	var readers sync.WaitGroup
	defer readers.Wait()
	defer f.up.Close()
	defer f.down.Close()
	for _, socket := range []*net.UDPConn{f.up, f.down} {
		readers.Go(func() { f.read(socket) })
	}
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.flush(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// hear takes a frame from the air.
func (f *forwarder) hear(h *heard) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, h)
}

// loseBackhaul cuts the gateway off until a moment.
func (f *forwarder) loseBackhaul(until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = until
}

// cutOff says whether the gateway has no backhaul.
func (f *forwarder) cutOff() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.away)
}

// ready says whether the server has answered.
func (f *forwarder) ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reached
}

// resends is how many datagrams were sent again.
func (f *forwarder) resends() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resent
}

// timestamp is the concentrator's counter at a moment.
func (f *forwarder) timestamp(at time.Time) uint32 {
	return f.counter + uint32(at.Sub(f.booted).Microseconds())
}

// moment is when the counter shows a value, near now.
func (f *forwarder) moment(timestamp uint32, now time.Time) time.Time {
	return now.Add(time.Duration(int32(timestamp-f.timestamp(now))) * time.Microsecond)
}

// flush sends what is due: PULL_DATA, frames, and again what nobody acknowledged.
func (f *forwarder) flush(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Before(f.away) {
		return
	}
	if interval := pullInterval; now.Sub(f.pulled) >= interval || !f.reached && now.Sub(f.pulled) >= interval/10 {
		f.pulled = now
		f.write(f.down, f.header(pullData))
	}
	for _, v := range f.flights {
		if now.Sub(v.sent) >= resendInterval {
			v.sent = now
			f.resent++
			f.write(f.up, v.datagram)
		}
	}
	for len(f.flights) < maxFlights {
		frames := f.takeLocked(now)
		if len(frames) == 0 {
			return
		}
		v := &volley{frames: frames, sent: now, late: now.Sub(frames[0].due) > time.Second}
		v.datagram = f.header(pushData)
		v.token = binary.BigEndian.Uint16(v.datagram[1:])
		v.datagram = append(v.datagram, f.encode(frames)...)
		f.flights = append(f.flights, v)
		f.write(f.up, v.datagram)
	}
}

// takeLocked takes the frames of the next datagram.
func (f *forwarder) takeLocked(now time.Time) []*heard {
	var frames, rest []*heard
	for _, h := range f.waiting {
		if len(frames) < maxFrames && !h.due.After(now) {
			frames = append(frames, h)
		} else {
			rest = append(rest, h)
		}
	}
	f.waiting = rest
	return frames
}

// header starts a datagram with a token that is not in use.
func (f *forwarder) header(kind byte) []byte {
	token := uint16(f.random.Uint32())
	for slices.ContainsFunc(f.flights, func(v *volley) bool { return v.token == token }) {
		token++
	}
	datagram := binary.BigEndian.AppendUint16([]byte{protocolVersion}, token)
	return binary.BigEndian.AppendUint64(append(datagram, kind), f.eui)
}

// write sends a datagram. That nobody listens is found out by the missing answer.
func (f *forwarder) write(socket *net.UDPConn, datagram []byte) { _, _ = socket.Write(datagram) }

// read takes the server's datagrams until the socket is closed.
func (f *forwarder) read(socket *net.UDPConn) {
	buffer := make([]byte, 65536)
	for {
		n, err := socket.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 4 || buffer[0] != protocolVersion || f.cutOff() {
			continue // nobody listens there at the moment, or nothing can come
		}
		token := binary.BigEndian.Uint16(buffer[1:])
		switch buffer[3] {
		case pushAck:
			f.acknowledged(token)
		case pullAck:
			f.mu.Lock()
			f.reached = true
			f.mu.Unlock()
		case pullResp:
			f.answer(token, slices.Clone(buffer[4:n]))
		}
	}
}

func (f *forwarder) acknowledged(token uint16) {
	f.mu.Lock()
	i := slices.IndexFunc(f.flights, func(v *volley) bool { return v.token == token })
	if i < 0 {
		f.mu.Unlock()
		return
	}
	v := f.flights[i]
	f.flights = slices.Delete(f.flights, i, i+1)
	f.mu.Unlock()
	for _, h := range v.frames {
		h.landed(v.late)
	}
}
