package lorawan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brocaar/lorawan"

	"belfry/buffer"
	"belfry/gateway"
)

// ground is a gateway in small: it commits what feeds emit, in order, and keeps what came of it.
type ground struct {
	mu       sync.Mutex
	state    map[string][]byte
	uplinks  []kept
	dropped  map[string]int
	commits  int
	refuse   error         // what Emit returns
	fail     error         // what done gets
	hold     chan struct{} // a commit waits for it to be closed, when not nil
	counts   map[string]int
	sent     []sentFrame
	transmit error
	last     chan struct{} // closed when the last batch is done
}

type kept struct {
	gateway.Uplink
	gateway.Claimed
}

type sentFrame struct {
	Downlink
	gateway string
	at      time.Time
}

func newGround() *ground {
	return &ground{state: map[string][]byte{}, dropped: map[string]int{}, counts: map[string]int{}}
}

func (g *ground) State(key string) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state[key]
}

func (g *ground) EachState(prefix string, f func(key string, value []byte)) {
	g.mu.Lock()
	all := maps.Clone(g.state)
	g.mu.Unlock()
	for key, value := range all {
		if strings.HasPrefix(key, prefix) {
			f(key, value)
		}
	}
}

// transaction is what a Claim sees; nothing counts before commit.
type transaction struct {
	ground  *ground
	overlay map[string][]byte
}

func (t *transaction) State(key string) []byte {
	if value, ok := t.overlay[key]; ok {
		return value
	}
	return t.ground.state[key]
}
func (t *transaction) SetState(key string, value []byte)     { t.overlay[key] = slices.Clone(value) }
func (t *transaction) Append(buffer.Lane, []byte) buffer.Seq { return 0 }
func (t *transaction) Mark(buffer.Mark) bool                 { return false }
func (t *transaction) Discard(string)                        {}
func (g *ground) count(what string)                          { g.mu.Lock(); g.counts[what]++; g.mu.Unlock() }
func (g *ground) Counted(what string) int                    { g.mu.Lock(); defer g.mu.Unlock(); return g.counts[what] }
func (g *ground) Dropped(why string) int                     { g.mu.Lock(); defer g.mu.Unlock(); return g.dropped[why] }
func (g *ground) Commits() int                               { g.mu.Lock(); defer g.mu.Unlock(); return g.commits }
func (g *ground) Uplinks() []kept                            { g.mu.Lock(); defer g.mu.Unlock(); return slices.Clone(g.uplinks) }
func (g *ground) Sent() []sentFrame                          { g.mu.Lock(); defer g.mu.Unlock(); return slices.Clone(g.sent) }
func (g *ground) set(f func())                               { g.mu.Lock(); defer g.mu.Unlock(); f() }

// emit is a gateway.Emit.
func (g *ground) emit(ctx context.Context, uplinks []gateway.Uplink, done func(error)) error {
	g.mu.Lock()
	refuse, fail, hold := g.refuse, g.fail, g.hold
	g.mu.Unlock()
	if refuse != nil {
		return refuse
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	before, after := g.last, make(chan struct{})
	g.last = after
	g.mu.Unlock()
	go func() { // as the store: on another goroutine, later, in order
		defer close(after)
		if before != nil {
			<-before
		}
		if hold != nil {
			<-hold
		}
		if fail == nil {
			g.commit(uplinks)
		}
		done(fail)
	}()
	return nil
}

func (g *ground) commit(uplinks []gateway.Uplink) {
	g.mu.Lock()
	defer g.mu.Unlock()
	tx := &transaction{g, map[string][]byte{}}
	for _, u := range uplinks {
		var claimed gateway.Claimed
		if u.Claim != nil {
			if rand.IntN(4) == 0 { // the transaction may have to be made anew
				again := &transaction{g, maps.Clone(tx.overlay)}
				u.Claim(again)
			}
			claimed = u.Claim(tx)
		}
		if claimed.Discard != "" {
			g.dropped[claimed.Discard]++
			continue
		}
		g.uplinks = append(g.uplinks, kept{u, claimed})
	}
	maps.Copy(g.state, tx.overlay)
	g.commits++
}

// radio is a network on a ground, with one feed that runs.
type radio struct {
	*ground
	t       testing.TB
	network *Network
	feed    *Feed
	ended   chan error
	stop    context.CancelFunc
}

// start starts a network with devices, on ground as it was left.
func start(t testing.TB, g *ground, configure func(*Options), devices ...Device) *radio {
	t.Helper()
	options := Defaults()
	options.Collect = 10 * time.Millisecond
	if configure != nil {
		configure(&options)
	}
	n, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	n.SetDevices(devices)
	n.Restore(g)
	r := &radio{ground: g, t: t, network: n, ended: make(chan error, 1)}
	r.feed = n.NewFeed(FeedOptions{Source: "roofs", Emit: g.emit, Downlink: true, Count: g.count})
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.ended <- r.feed.Run(ctx) }() // end waits for it
	t.Cleanup(r.end)
	return r
}

func (r *radio) end() {
	r.stop()
	select {
	case err := <-r.ended:
		r.ended <- err
	case <-time.After(10 * time.Second):
		r.t.Error("the feed does not end")
	}
}

// heardBy is a reception by one of the radio gateways.
func (r *radio) heardBy(number int, phy []byte) Reception {
	name := fmt.Sprintf("00000000000000%02x", number)
	return Reception{
		Gateway: name, PHY: phy, Frequency: 868_100_000, DataRate: DataRate{SpreadingFactor: 7, Bandwidth: 125}, RSSI: -60 - number,
		SNR: 9 - float64(number), Received: time.Now(),
		Transmit: func(d Downlink) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.transmit == nil {
				r.sent = append(r.sent, sentFrame{d, name, time.Now()})
			}
			return r.transmit
		},
	}
}

// hear gives frames to the network, one radio gateway each, and waits until all are settled.
func (r *radio) hear(frames ...[]byte) {
	r.t.Helper()
	receptions := make([]Reception, len(frames))
	for i, phy := range frames {
		receptions[i] = r.heardBy(i+1, phy)
	}
	if err := r.receive(receptions...); err != nil {
		r.t.Fatalf("not held: %v", err)
	}
}

func (r *radio) receive(receptions ...Reception) error {
	r.t.Helper()
	done := make(chan error, 1)
	if !r.feed.Receive(receptions, func(err error) { done <- err }) {
		return errors.New("not taken")
	}
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		r.t.Fatal("not settled within 10 s")
		return nil
	}
}

// wait waits until a condition holds.
func (r *radio) wait(what string, holds func() bool) {
	r.t.Helper()
	for late := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			r.t.Fatalf("%s: not within 10 s; counts %v", what, r.counts)
		}
	}
}

// unit is a device in the field: it signs with the library, and derives its keys by itself.
type unit struct {
	eui             string
	address         lorawan.DevAddr
	forward, serve  lorawan.AES128Key
	encrypt, app    lorawan.AES128Key
	version         lorawan.MACVersion
	rate, channel   uint8
	counter         uint32
	adr, adrAsks    bool
	confirmed       bool
	commands        []lorawan.Payload
	appKey, nwkKey  lorawan.AES128Key
	nonce           uint16
	joinEUI, devEUI lorawan.EUI64
}

func key(seed byte) lorawan.AES128Key {
	var k lorawan.AES128Key
	for i := range k {
		k[i] = seed ^ byte(i*37+11)
	}
	return k
}

// abp makes a device with a session, and how it stands in the inventory.
func abp(number byte, address uint32) (*unit, Device) {
	u := &unit{eui: fmt.Sprintf("70b3d5e75e0000%02x", number), app: key(number), forward: key(number + 100), version: lorawan.LoRaWAN1_0, rate: 5}
	binary.BigEndian.PutUint32(u.address[:], address)
	u.serve, u.encrypt = u.forward, u.forward
	network, app := Key(u.forward), Key(u.app)
	return u, Device{DevEUI: u.eui, DevAddr: fmt.Sprintf("%08x", address), NwkSKey: &network, AppSKey: &app}
}

// send makes the device's next frame.
func (u *unit) send(port uint8, payload string) []byte {
	phy := u.frame(u.counter, port, []byte(payload))
	u.counter++
	return phy
}

func (u *unit) frame(counter uint32, port uint8, payload []byte) []byte {
	phy := lorawan.PHYPayload{MHDR: lorawan.MHDR{MType: lorawan.UnconfirmedDataUp}}
	if u.confirmed {
		phy.MHDR.MType = lorawan.ConfirmedDataUp
	}
	mac := &lorawan.MACPayload{FHDR: lorawan.FHDR{
		DevAddr: u.address, FCnt: counter, FCtrl: lorawan.FCtrl{ADR: u.adr, ADRACKReq: u.adrAsks}, FOpts: u.commands,
	}}
	if port > 0 || len(payload) > 0 {
		mac.FPort = &port
		mac.FRMPayload = []lorawan.Payload{&lorawan.DataPayload{Bytes: slices.Clone(payload)}}
	}
	phy.MACPayload = mac
	app := u.app
	if port == 0 {
		app = u.encrypt
	}
	check(phy.EncryptFRMPayload(app))
	if u.version == lorawan.LoRaWAN1_1 {
		check(phy.EncryptFOpts(u.encrypt))
	}
	check(phy.SetUplinkDataMIC(u.version, 0, u.rate, u.channel, u.forward, u.serve))
	packed, err := phy.MarshalBinary()
	check(err)
	return packed
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
