package lorawan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brocaar/lorawan"

	"belfry/gateway"
)

// Options are what an operator decides of the radio network.
type Options struct {
	Region       string        // one of Regions
	NetID        uint32        // 24 bits, of the addresses that joins give out; 0 is for experiments and private networks
	Collect      time.Duration // how long the copies of a frame that other gateways heard are waited for
	Channels     []uint32      // Hz, beside those of the region
	RX1Delay     time.Duration // of the first receive window, whole seconds, 1 to 15
	RX2Frequency uint32        // Hz; 0: the region's
	RX2DataRate  int           // index; negative: the region's
	Log          *slog.Logger  // nil discards
}

// OptionError is a mistake in one option.
type OptionError struct {
	Key string // as in the configuration: "rx1_delay"
	Err error
}

func (e *OptionError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// Defaults are the options of a network in Europe.
func Defaults() Options {
	return Options{
		Region: "EU868", Collect: 200 * time.Millisecond, Channels: DefaultChannels("EU868"), RX1Delay: time.Second, RX2DataRate: -1,
	}
}

// State is what the store knows of the sessions; *buffer.Buffer documents it.
type State interface {
	State(key string) []byte
	EachState(prefix string, f func(key string, value []byte))
}

// Network is all sessions of one gateway, whatever sources their frames come through. A nil Network knows no device.
type Network struct {
	Options
	region  *Region
	devices map[string]*device // by DevEUI; written only by SetDevices
	state   State              // written only by Restore
	strange strangers
	budgets budgets
	lags    lags

	mu        sync.RWMutex
	addresses map[uint32][]*device // who may use a DevAddr, guarded by mu
	groups    map[string]*group    // by PHYPayload: the frames whose copies are waited for, guarded by mu
}

// device is a Device in the network.
type device struct {
	Device
	address  uint32 // ABP
	check    uint32 // of the key that joins are signed with, or of the network key; 0 without a key
	mac      lorawan.MACVersion
	answered atomic.Int64 // when it last had an answer to a frame that it repeated, UnixNano
	joined   atomic.Int64 // when it last joined, since the start, UnixNano
	troubles troubles

	mu   sync.Mutex
	keys map[[2]uint32]sessionKeys // by DevAddr and JoinNonce of the session, guarded by mu
	said *sayings                  // nil before the first frame, guarded by mu
}

const (
	maxCollect  = 5 * time.Second
	maxRX1Delay = 15                     // seconds
	answerTime  = 500 * time.Millisecond // from the end of the collection to the first window: both ways over the network, and the disk
	maxNetID    = 1<<24 - 1
)

// New makes a network without devices. Its errors are *OptionError, several of them joined.
func New(options Options) (*Network, error) {
	var mistakes []error
	mistake := func(key, format string, args ...any) {
		mistakes = append(mistakes, &OptionError{key, fmt.Errorf(format, args...)})
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.NetID > maxNetID {
		mistake("net_id", "%x has more than six hexadecimal digits", options.NetID)
	}
	if options.Collect < 0 || options.Collect > maxCollect {
		mistake("collect", "%s is not between 0s and %s", options.Collect, maxCollect)
	}
	if options.RX1Delay%time.Second != 0 || options.RX1Delay < time.Second || options.RX1Delay > maxRX1Delay*time.Second {
		mistake("rx1_delay", "%s is not a number of seconds between 1s and %ds", options.RX1Delay, maxRX1Delay)
	} else if most := options.RX1Delay - answerTime; options.Collect > most && options.Collect <= maxCollect {
		mistake("collect", "%s leaves no time to answer when devices listen after %s (at most %s, or a longer rx1_delay)", options.Collect, options.RX1Delay, most)
	}
	region, err := newRegion(options)
	if err != nil {
		mistakes = append(mistakes, err)
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return &Network{
		Options: options, region: region, devices: map[string]*device{}, addresses: map[uint32][]*device{}, groups: map[string]*group{},
	}, nil
}

// Region is the radio plan of the network.
func (n *Network) Region() *Region { return n.region }

// SetDevices says whose frames are read. It is called once, before Restore.
func (n *Network) SetDevices(devices []Device) {
	for i := range devices {
		d := &device{Device: devices[i], mac: devices[i].version()}
		switch {
		case d.Activated() && d.NwkSKey != nil:
			d.check = d.checkValue(lorawan.AES128Key(*d.NwkSKey))
		case d.AppKey != nil:
			d.check = d.checkValue(d.joinKey())
		}
		n.devices[d.DevEUI] = d
		if d.Activated() {
			address, err := strconv.ParseUint(d.DevAddr, 16, 32)
			if err != nil {
				n.Log.Error("a DevAddr cannot be read", "device", d.DevEUI, "err", err)
				continue
			}
			d.address = uint32(address)
			n.addresses[d.address] = append(n.addresses[d.address], d)
		}
	}
}

// Restore gives the network its memory: the store, in which it finds its sessions again. It is called once, before the
// first feed runs.
func (n *Network) Restore(state State) {
	n.state = state
	var lost, begun, rekeyed affected
	state.EachState(prefixRecord, func(key string, value []byte) {
		d := n.devices[strings.TrimPrefix(key, prefixRecord)]
		if d == nil {
			return
		}
		r, err := d.read(value)
		switch {
		case err != nil && d.Activated():
			begun.add(d.DevEUI, err)
			return
		case err != nil:
			lost.add(d.DevEUI, err)
			return
		case d.Activated():
			return
		case r.rekeyed:
			rekeyed.add(d.DevEUI, nil)
		}
		for _, s := range d.sessions(r) {
			n.settle(s.devAddr, d)
		}
	})
	rekeyed.report(n.Log.Info, "keys of devices are others than before: they have to join again")
	lost.report(n.Log.Error, "sessions cannot be read: their devices have to join again")
	begun.report(n.Log.Error, "frame counters of devices without join cannot be read: they begin anew, recorded frames may be taken again, "+
		"and devices may take no answer before the downlink counter is where it was")
}

// affected are devices that something happened to, for one line in the log however many they are.
type affected struct {
	devices []string // the first of them
	count   int
	err     error // of the first, if there is one
}

const maxNamed = 10 // devices in one line

func (a *affected) add(device string, err error) {
	if a.count++; a.count == 1 {
		a.err = err
	}
	if len(a.devices) < maxNamed {
		a.devices = append(a.devices, device)
	}
}

func (a *affected) report(log func(message string, args ...any), what string) {
	switch {
	case a.err != nil:
		log(what, "count", a.count, "devices", a.devices, "err", a.err)
	case a.count > 0:
		log(what, "count", a.count, "devices", a.devices)
	}
}

// Devices is how many devices the network knows.
func (n *Network) Devices() int {
	if n == nil {
		return 0
	}
	return len(n.devices)
}

// sessions lists the sessions whose frames are read, the newest first. They are parts of the record; that of a device with
// keys from its maker is made where there is none.
func (d *device) sessions(r *record) []*session {
	if d.Activated() {
		return []*session{d.given(r)}
	}
	var all []*session
	for _, s := range []*session{r.pending, r.active, r.former} {
		if s != nil && s.joined {
			all = append(all, s)
		}
	}
	return all
}

// given is the session of a device with keys from its maker. That of the address before is kept, should the device get that
// again.
func (d *device) given(r *record) *session {
	ours := func(s *session) bool { return s != nil && !s.joined && s.devAddr == d.address }
	if !ours(r.active) {
		before := r.active
		if r.active = r.former; !ours(r.active) {
			r.active = &session{devAddr: d.address}
		}
		r.former = before
	}
	if s := r.active; s.check != 0 && s.check != d.check { // the epoch keeps the identities of its frames apart from those before
		r.active = &session{devAddr: d.address, epoch: s.epoch + 1}
	}
	r.active.check = d.check
	return r.active
}

const maxKeys = 4 // sessions of one device whose keys are kept

// sessionKeys returns the keys of a session.
func (d *device) sessionKeys(s *session) sessionKeys {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := [2]uint32{s.devAddr, s.joinNonce}
	keys, ok := d.keys[id]
	if !ok {
		keys = d.Device.sessionKeys(s)
		if d.keys == nil || len(d.keys) >= maxKeys {
			d.keys = map[[2]uint32]sessionKeys{}
		}
		d.keys[id] = keys
	}
	return keys
}

// at returns who may use a DevAddr.
func (n *Network) at(address uint32) []*device {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.addresses[address]
}

// settle notes that a device may use a DevAddr.
func (n *Network) settle(address uint32, d *device) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, known := range n.addresses[address] {
		if known == d {
			return
		}
	}
	// The old list may be in use.
	n.addresses[address] = append(append([]*device(nil), n.addresses[address]...), d)
}

// leave takes a DevAddr away from a device.
func (n *Network) leave(address uint32, d *device) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var others []*device
	for _, known := range n.addresses[address] {
		if known != d {
			others = append(others, known)
		}
	}
	if len(others) == 0 {
		delete(n.addresses, address)
	} else {
		n.addresses[address] = others
	}
}

// record returns what is committed of a device. One that cannot be read is as if it were not there.
func (d *device) record(state func(key string) []byte) *record {
	r, err := d.read(state(prefixRecord + d.DevEUI))
	if err != nil {
		r, _ = d.read(nil)
	}
	return r
}

// read decodes a record. What was joined with another key than that of today is not in it.
func (d *device) read(data []byte) (*record, error) {
	r, err := decodeRecord(data)
	if err != nil || d.Activated() {
		return r, err
	}
	if r.check != 0 && r.check != d.check {
		r.devNonce, r.active, r.pending, r.former, r.rekeyed = -1, nil, nil, nil, true
	}
	r.check = d.check
	return r, nil
}

func (d *device) save(tx gateway.Transaction, r *record) {
	tx.SetState(prefixRecord+d.DevEUI, r.encode())
}

// identity is the same for the same frame on every way that it may come.
func (d *device) identity(s *session, counter uint32) string {
	b := make([]byte, 0, 64)
	b = append(b, "lorawan:"...)
	b = append(b, d.DevEUI...)
	b = fmt.Appendf(b, ":%08x", s.devAddr)
	for _, number := range []uint32{s.joinNonce, s.epoch, counter} {
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(number), 10)
	}
	return string(b)
}

// Claim is for an uplink that a network server has read: when this network knows the session too, because radio gateways of
// its own may hear the same frame, the uplink takes its counter there, so that both ways together are one event. nil when the
// session is not known here; the uplink then keeps the identity that its network server gave it. devEUI has 16, devAddr 8
// hexadecimal digits in lower case; payload is decrypted.
func (n *Network) Claim(devEUI, devAddr string, counter uint32, port uint8, payload []byte) gateway.Claim {
	if n == nil || n.state == nil {
		return nil
	}
	d := n.devices[devEUI]
	raw, err := strconv.ParseUint(devAddr, 16, 32)
	if d == nil || err != nil {
		return nil
	}
	address := uint32(raw)
	find := func(r *record) *session {
		for _, s := range d.sessions(r) {
			if s.devAddr == address {
				return s
			}
		}
		return nil
	}
	if find(d.record(n.state.State)) == nil {
		return nil
	}
	hash := saying(port, payload)
	return func(tx gateway.Transaction) gateway.Claimed {
		r := d.record(tx.State)
		s := find(r)
		if s == nil {
			return gateway.Claimed{}
		}
		relaxed := d.Relaxed && s != r.former
		s.up.keep(relaxed)
		claimed := gateway.Claimed{}
		switch standing := s.up.standing(counter); standing {
		case fresh:
			if s == r.former {
				claimed.Flags = flagsLate
			}
		case late:
			claimed.Flags = flagsLate
		case taken, gone:
			if standing == gone && !relaxed { // an old copy has the identity of the event that it was, which the store remembers
				claimed.Identity = d.identity(s, counter)
				return claimed
			}
			if same, known := s.up.same(counter, hash); standing == taken && (same || !known) {
				return gateway.Claimed{Discard: discardCopy}
			}
			// The network server let the counter begin anew.
			s.epoch, s.up = s.epoch+1, counters{hashes: s.up.hashes}
			claimed.Flags = flagsReset
		}
		s.up.take(counter, hash)
		r.use(s)
		d.save(tx, r)
		claimed.Identity = d.identity(s, counter)
		return claimed
	}
}

// bigEndian reads an EUI that is in the order in which people write it.
func bigEndian(e lorawan.EUI64) uint64 { return binary.BigEndian.Uint64(e[:]) }
