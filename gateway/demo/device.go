package demo

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// activation is how a device comes to its session.
type activation uint8

const (
	otaa10 activation = iota // LoRaWAN 1.0.x, joins with its AppKey
	otaa11                   // LoRaWAN 1.1, joins with NwkKey and AppKey
	abp10                    // LoRaWAN 1.0.x, has its session from the factory
)

// joinEUI stands for the town's join server, which nobody asks.
const joinEUI = 0x02be1f0000000001

// device is one LoRaWAN sensor on air: class A, in Europe. All but what is atomic belongs to the loop of Air.
type device struct {
	sensor     Sensor
	eui        uint64
	activation activation
	address    uint32 // ABP
	app, net   aesKey // root keys; ABP: AppSKey and NwkSKey; 1.0.x OTAA: both are the AppKey
	random     *rand.Rand

	rate     uint8 // of its uplinks
	rssi     int   // at the gateway that hears it best
	coverage []int // gateways that may hear it, the best first

	session   *session // nil until joined
	nonce     uint16   // DevNonce of the next join
	joinNonce uint32   // the newest that the network gave, with 1.1
	queue     []*errand
	unsettled []*errand // transmitted, and no gateway has an acknowledgement of it
	current   *errand
	window    window

	active atomic.Bool  // it has a session
	busy   atomic.Int32 // errands that it has not finished
}

// errand is one report on its way.
type errand struct {
	message Message
	landed  func(Message)
	frame   uplinkFrame
	tries   int
	since   time.Time // first transmission
	acked   bool      // the network acknowledged it, when it is confirmed
	settled bool      // a gateway has a PUSH_ACK for it
	asked   []byte    // MAC commands that want an answer
}

// fragile says whether the order of the errand among others matters: it raises or clears an alarm.
func (e *errand) fragile() bool { return len(e.message.Expect.Alarms) > 0 }

// window is when a device listens.
type window struct {
	open      bool
	join      bool
	nonce     uint16 // of the join
	end       time.Time
	delay     time.Duration
	frequency uint32
	rate      uint8 // of the first window
	rate2     uint8
}

const windowTolerance = time.Millisecond

// hears says whether a downlink falls into one of the device's two windows.
func (w *window) hears(b *broadcast) bool {
	near := func(delay time.Duration) bool { return b.at.Sub(w.end.Add(delay)).Abs() <= windowTolerance }
	return w.open && (near(w.delay) && b.frequency == w.frequency && b.rate == w.rate ||
		near(w.delay+time.Second) && b.frequency == rx2Frequency && b.rate == w.rate2)
}

// sharedAddress is how many ABP devices there are for one that has the address of another: that is allowed, and happens.
const sharedAddress = 8

// newDevice makes the device of a sensor. The same seed and sensor give the same keys, whatever the rest of the town.
func newDevice(seed uint64, sensor Sensor) *device {
	var eui uint64
	if _, err := fmt.Sscanf(sensor.Device, "%x", &eui); err != nil {
		panic(err) // the town made it
	}
	number := eui & 0xffffff
	d := &device{
		sensor: sensor, eui: eui, activation: activation(number % 3), random: rand.New(rand.NewPCG(seed, eui)),
		address: newAddress(seed, eui),
	}
	if number/3%sharedAddress == 1 {
		d.address = newAddress(seed, eui-3)
	}
	d.app, d.net = d.key(), d.key()
	if d.activation == otaa10 {
		d.net = d.app
	}
	d.rate, d.rssi = uint8(max(2+d.random.IntN(4), 2+d.random.IntN(4))), -75-d.random.IntN(40) // most are near
	d.coverage = d.random.Perm(gatewayCount)[:1+d.random.IntN(gatewayCount)]
	return d
}

// newAddress is the DevAddr of an ABP device, in the network 000000, which is everybody's.
func newAddress(seed, eui uint64) uint32 {
	return rand.New(rand.NewPCG(seed, ^eui)).Uint32N(1 << 25)
}

func (d *device) key() aesKey {
	var key aesKey
	binary.LittleEndian.PutUint64(key[:], d.random.Uint64())
	binary.LittleEndian.PutUint64(key[8:], d.random.Uint64())
	return key
}

// personalise gives an ABP device its session, with the counter where it left off.
func (d *device) personalise(counter uint32) {
	d.session = personalised(d.address, d.net, d.app, counter)
	d.active.Store(true)
}

// ready says whether the sensor may report: it has a session and nothing else to send.
func (d *device) ready() bool { return d.active.Load() && d.busy.Load() == 0 }

// ask makes the next join-request.
func (d *device) ask() (frame []byte, nonce uint16) {
	nonce = d.nonce
	d.nonce++
	return joinRequest(d.net, joinEUI, d.eui, nonce), nonce
}

// admit takes a join-accept.
func (d *device) admit(frame []byte) error {
	answer, err := openJoinAccept(d.net, d.activation == otaa11, joinEUI, d.eui, d.window.nonce, frame)
	if err != nil {
		return err
	}
	if answer.newer() {
		number := uint32(answer.nonce[0]) | uint32(answer.nonce[1])<<8 | uint32(answer.nonce[2])<<16
		if d.session != nil && number <= d.joinNonce {
			return fmt.Errorf("%w: JoinNonce %d after %d", errDownlink, number, d.joinNonce)
		}
		d.joinNonce = number
	}
	d.session = answer.session(d.app, d.net, joinEUI, d.window.nonce)
	d.active.Store(true)
	return nil
}

// compose makes the frame of an errand; further tries keep the counter.
func (d *device) compose(e *errand, channel uint8) []byte {
	s := d.session
	if e.tries == 0 {
		e.frame.counter, e.frame.answers = s.counter, s.confirmed
		s.counter, s.confirmed = s.counter+1, nil
		if !s.rekeyed {
			e.frame.options = append([]byte{commandRekey, 1}, e.frame.options...)
		}
		e.frame.options = append(e.frame.options, e.asked...)
	}
	e.tries++
	e.frame.rate, e.frame.channel = d.rate, channel
	return s.seal(&e.frame)
}

// take takes a data downlink and returns what it answered of the commands that were asked for.
func (d *device) take(frame []byte, end time.Time) (*downlinkFrame, int, error) {
	s, e := d.session, d.current
	downlink, err := s.open(frame, e.frame.counter)
	if err != nil {
		return nil, 0, err
	}
	if downlink.confirmed {
		s.confirmed = &downlink.counter
	}
	if downlink.ack {
		if !e.frame.confirmed {
			return nil, 0, fmt.Errorf("%w: it acknowledges an uplink that asked for nothing", errDownlink)
		}
		e.acked = true
	}
	answers := 0
	for commands := downlink.commands; len(commands) > 0; {
		length, err := d.obey(commands, end)
		if err != nil {
			return nil, 0, err
		}
		commands = commands[length:]
		answers++
	}
	return downlink, answers, nil
}

// obey takes one MAC command and returns its length.
func (d *device) obey(commands []byte, end time.Time) (int, error) {
	lengths := map[byte]int{commandLinkCheck: 3, commandDeviceTime: 6, commandRekey: 2}
	length, known := lengths[commands[0]]
	if !known || length > len(commands) {
		return 0, fmt.Errorf("%w: MAC commands %x", errDownlink, commands)
	}
	switch commands[0] {
	case commandLinkCheck:
		if commands[2] == 0 {
			return 0, fmt.Errorf("%w: a link check that no gateway heard", errDownlink)
		}
	case commandRekey:
		d.session.rekeyed = true
	case commandDeviceTime:
		told := gpsEpoch.Add(time.Duration(binary.LittleEndian.Uint32(commands[1:]))*time.Second - leap)
		if told.Sub(end).Abs() > 5*time.Second {
			return 0, fmt.Errorf("%w: it says that it is %s, it is %s", errDownlink, told.UTC(), end.UTC())
		}
	}
	return length, nil
}

// gpsEpoch is where the time that the network tells begins; it knows no leap seconds.
var gpsEpoch = time.Date(1980, 1, 6, 0, 0, 0, 0, time.UTC)

const leap = 18 * time.Second // since 2017
