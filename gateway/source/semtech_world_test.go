package source_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	radio "github.com/brocaar/lorawan"

	"belfry/gateway/gatewaytest"
	"belfry/gateway/lorawan"
	"belfry/gateway/source"
)

const (
	roofEUI  = "b827ebfffe010203"
	otherEUI = "b827ebfffe0102ff"
)

// abpMeter is a device with a session from its maker, and its next counter.
type abpMeter struct {
	counter      uint32
	network, app radio.AES128Key
	confirmed    bool
}

func newMeter() *abpMeter {
	return &abpMeter{network: radio.AES128Key{1, 2, 3}, app: radio.AES128Key{4, 5, 6}}
}

func (m *abpMeter) device() lorawan.Device {
	network, app := lorawan.Key(m.network), lorawan.Key(m.app)
	return lorawan.Device{DevEUI: "70b3d5e75e000001", DevAddr: "01020304", NwkSKey: &network, AppSKey: &app}
}

// frame makes the device's next frame.
func (m *abpMeter) frame(t testing.TB) []byte {
	t.Helper()
	port := uint8(2)
	phy := radio.PHYPayload{
		MHDR: radio.MHDR{MType: radio.UnconfirmedDataUp},
		MACPayload: &radio.MACPayload{
			FHDR:  radio.FHDR{DevAddr: radio.DevAddr{1, 2, 3, 4}, FCnt: m.counter},
			FPort: &port, FRMPayload: []radio.Payload{&radio.DataPayload{Bytes: fmt.Appendf(nil, "reading %d", m.counter)}},
		},
	}
	if m.confirmed {
		phy.MHDR.MType = radio.ConfirmedDataUp
	}
	m.counter++
	if err := phy.EncryptFRMPayload(m.app); err != nil {
		t.Fatal(err)
	}
	if err := phy.SetUplinkDataMIC(radio.LoRaWAN1_0, 0, 5, 0, m.network, m.network); err != nil {
		t.Fatal(err)
	}
	packed, err := phy.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// roof is a source for radio gateways, under test.
type roof struct {
	*claiming
	t      testing.TB
	listen string
	log    *journal
	meter  *abpMeter
}

func newRoof(t testing.TB, configure func(*source.SemtechOptions)) *roof {
	t.Helper()
	r := &roof{t: t, listen: freeDatagramPort(t), log: new(journal), meter: newMeter()}
	options := lorawan.Defaults()
	options.Collect = 10 * time.Millisecond
	network, err := lorawan.New(options)
	if err != nil {
		t.Fatal(err)
	}
	store := new(memory)
	network.SetDevices([]lorawan.Device{r.meter.device()})
	network.Restore(store)
	env := testEnv(t)
	env.Network, env.Log = network, slog.New(slog.NewTextHandler(r.log, nil))
	made, err := source.New("semtech-udp", env, func(options any) error {
		o := options.(*source.SemtechOptions)
		o.Listen, o.Gateways = r.listen, []source.ForwarderOptions{{EUI: roofEUI}}
		if configure != nil {
			configure(o)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.claiming = &claiming{Source: made, store: store}
	return r
}

func freeDatagramPort(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return socket.LocalAddr().String()
}

// journal is a log.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *journal) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *journal) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Count(b.text.Bytes(), []byte(text))
}

// wait waits until a counter has reached a number.
func (r *roof) wait(name string, n uint64) {
	r.t.Helper()
	gatewaytest.WaitFor(r.t, 10*time.Second, fmt.Sprintf("%s to be %d; counters %v", name, n, r.Counters()), func() bool {
		return r.Counters()[name] >= n
	})
	if got := r.Counters()[name]; got != n {
		r.t.Errorf("%s is %d, want %d", name, got, n)
	}
}

// antenna is a radio gateway: one socket.
type antenna struct {
	t      testing.TB
	socket *net.UDPConn
	eui    []byte
	token  uint16
}

// antenna makes a radio gateway that sends from an address.
func (r *roof) antenna(eui, from string) *antenna {
	r.t.Helper()
	to, err := net.ResolveUDPAddr("udp4", r.listen)
	if err != nil {
		r.t.Fatal(err)
	}
	socket, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, to)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { socket.Close() })
	digits, err := hex.DecodeString(eui)
	if err != nil {
		r.t.Fatal(err)
	}
	return &antenna{t: r.t, socket: socket, eui: digits}
}

const (
	pushData, pushAck, pullData, pullResp, pullAck, txAck = 0, 1, 2, 3, 4, 5
)

// send sends a datagram with a token of its own, which it returns.
func (a *antenna) send(kind byte, body string) uint16 {
	a.t.Helper()
	a.token++
	a.sendAs(kind, a.token, body)
	return a.token
}

func (a *antenna) sendAs(kind byte, token uint16, body string) {
	a.t.Helper()
	datagram := append([]byte{2, byte(token >> 8), byte(token), kind}, a.eui...)
	a.raw(append(datagram, body...))
}

func (a *antenna) raw(datagram []byte) {
	a.t.Helper()
	if _, err := a.socket.Write(datagram); err != nil {
		a.t.Fatal(err)
	}
}

// receive returns the next datagram.
func (a *antenna) receive() (kind byte, token uint16, body []byte) {
	a.t.Helper()
	if err := a.socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		a.t.Fatal(err)
	}
	space := make([]byte, 2048)
	n, err := a.socket.Read(space)
	if err != nil || n < 4 || space[0] != 2 {
		a.t.Fatalf("got % x, %v", space[:n], err)
	}
	return space[3], uint16(space[1])<<8 | uint16(space[2]), space[4:n]
}

// expect expects an acknowledgement as the next datagram: four bytes.
func (a *antenna) expect(kind byte, token uint16) {
	a.t.Helper()
	gotKind, gotToken, body := a.receive()
	if gotKind != kind || gotToken != token || len(body) != 0 {
		a.t.Fatalf("got kind %d, token %d and %d bytes; want kind %d, token %d and none", gotKind, gotToken, len(body), kind, token)
	}
}

// alive proves that nothing is on its way to the radio gateway: the answer to a PULL_DATA is the next that comes.
func (a *antenna) alive() {
	a.t.Helper()
	a.expect(pullAck, a.send(pullData, ""))
}

// quiet proves that nothing comes, after the source has shown that it is done with what was sent.
func (a *antenna) quiet() {
	a.t.Helper()
	if err := a.socket.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		a.t.Fatal(err)
	}
	space := make([]byte, 2048)
	if n, err := a.socket.Read(space); err == nil {
		a.t.Errorf("got % x, want nothing", space[:n])
	}
}

const heardAt = uint32(4_294_000_000) // the radio's clock wraps before the receive windows

func pushBody(status int, frames ...[]byte) string {
	var body bytes.Buffer
	for i, phy := range frames {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"tmst":%d,"chan":2,"rfch":0,"freq":868.100000,"stat":%d,"modu":"LORA","datr":"SF7BW125","codr":"4/5",`+
			`"lsnr":6.2,"rssi":-97,"size":%d,"data":%q}`, heardAt, status, len(phy), base64.StdEncoding.EncodeToString(phy))
	}
	return `{"rxpk":[` + body.String() + `]}`
}
