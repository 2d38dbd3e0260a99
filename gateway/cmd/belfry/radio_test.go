package main

import (
	"crypto/aes"
	"encoding/base64"
	endian "encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brocaar/lorawan"

	"belfry/gateway/gatewaytest"
)

// radioTown is a town whose bins are heard by one radio gateway with a packet forwarder.
type radioTown struct {
	*town
	listen string
	bins   []*radioBin
}

// radioBin is a LoRaWAN 1.0 device that sends what a DF702 sends.
type radioBin struct {
	id       string
	eui      lorawan.EUI64
	appKey   lorawan.AES128Key // OTAA
	nonce    uint16
	address  lorawan.DevAddr
	nwk, app lorawan.AES128Key
	counter  uint32
}

const radioEUI = "0016c001f153a14c"

// newRadioTown writes a folder with bins that have their session from their maker, or none yet.
func newRadioTown(t testing.TB, bins int, joining bool, more string) *radioTown {
	t.Helper()
	w := &radioTown{town: newTown(t, "tcp://127.0.0.1:1", 0, ""), listen: freeUDPAddress(t)}
	w.write("belfry.yaml", fmt.Sprintf(`gateway: box
town: {name: Belfry-sur-Seine, commune: "99001", owner: "219900016"}
sources:
  - name: roofs
    kind: semtech-udp
    listen: %q
    downlink: true
    rate: 10000
    gateways: [{eui: %s}]
%s
nats: {servers: [%q], stream: %s, create: true}
buffer: {dir: %q}
status: {listen: %q}
`, w.listen, radioEUI, more, w.nats.URL(), stream, filepath.Join(w.dir, "data"), w.status))
	inventory, keys := []string{"id,device,model,dev_addr"}, []string{"device,app_key,nwk_s_key,app_s_key"}
	for i := range bins {
		b := &radioBin{id: binID(i)}
		raw, _ := hex.DecodeString(binEUI(i))
		copy(b.eui[:], raw)
		endian.BigEndian.PutUint64(b.appKey[:], uint64(i)*0x9e3779b97f4a7c15+0xfeedc0de)
		endian.BigEndian.PutUint64(b.appKey[8:], uint64(i)*0xbf58476d1ce4e5b9+0x12345678)
		if joining {
			inventory = append(inventory, fmt.Sprintf("%s,%s,dingtek-df702,", b.id, b.eui))
			keys = append(keys, fmt.Sprintf("%s,%s,,", b.eui, b.appKey))
		} else {
			endian.BigEndian.PutUint32(b.address[:], 0x01000000+uint32(i))
			b.nwk, b.app = b.appKey, b.appKey
			b.app[0] ^= 0x55
			inventory = append(inventory, fmt.Sprintf("%s,%s,dingtek-df702,%s", b.id, b.eui, b.address))
			keys = append(keys, fmt.Sprintf("%s,,%s,%s", b.eui, b.nwk, b.app))
		}
		w.bins = append(w.bins, b)
	}
	w.write("sensors/bins.csv", strings.Join(inventory, "\n")+"\n")
	w.write("secrets/lorawan-keys.csv", strings.Join(keys, "\n")+"\n")
	if err := os.Chmod(filepath.Join(w.dir, "secrets/lorawan-keys.csv"), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func freeUDPAddress(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return socket.LocalAddr().String()
}

// send makes the bin's next frame, which reads a distance.
func (b *radioBin) send(distance int) []byte { return b.sendBytes(frame(distance)) }

func (b *radioBin) sendBytes(payload []byte) []byte {
	port := uint8(3)
	phy := lorawan.PHYPayload{MHDR: lorawan.MHDR{MType: lorawan.UnconfirmedDataUp}, MACPayload: &lorawan.MACPayload{
		FHDR: lorawan.FHDR{DevAddr: b.address, FCnt: b.counter}, FPort: &port,
		FRMPayload: []lorawan.Payload{&lorawan.DataPayload{Bytes: payload}},
	}}
	b.counter++
	must(phy.EncryptFRMPayload(b.app))
	must(phy.SetUplinkDataMIC(lorawan.LoRaWAN1_0, 0, 0, 0, b.nwk, b.nwk))
	packed, err := phy.MarshalBinary()
	must(err)
	return packed
}

// join makes a join-request.
func (b *radioBin) join() []byte {
	b.nonce++
	phy := lorawan.PHYPayload{MHDR: lorawan.MHDR{MType: lorawan.JoinRequest}, MACPayload: &lorawan.JoinRequestPayload{
		JoinEUI: lorawan.EUI64{1, 2, 3}, DevEUI: b.eui, DevNonce: lorawan.DevNonce(b.nonce),
	}}
	must(phy.SetUplinkJoinMIC(b.appKey))
	packed, err := phy.MarshalBinary()
	must(err)
	return packed
}

// joined takes a join-accept, and says whether it is for the bin.
func (b *radioBin) joined(packed []byte) bool {
	var phy lorawan.PHYPayload
	if phy.UnmarshalBinary(packed) != nil || phy.DecryptJoinAcceptPayload(b.appKey) != nil {
		return false
	}
	answer := phy.MACPayload.(*lorawan.JoinAcceptPayload)
	if ok, err := phy.ValidateDownlinkJoinMIC(lorawan.JoinRequestType, lorawan.EUI64{1, 2, 3}, lorawan.DevNonce(b.nonce), b.appKey); err != nil || !ok {
		return false
	}
	derive := func(constant byte) (key lorawan.AES128Key) {
		n, id := uint32(answer.JoinNonce), answer.HomeNetID
		block := []byte{constant, byte(n), byte(n >> 8), byte(n >> 16), id[2], id[1], id[0], byte(b.nonce), byte(b.nonce >> 8), 15: 0}
		cipher, err := aes.NewCipher(b.appKey[:])
		must(err)
		cipher.Encrypt(key[:], block)
		return key
	}
	b.nwk, b.app, b.address, b.counter = derive(1), derive(2), answer.DevAddr, 0
	return true
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// forwarder is a radio gateway with a packet forwarder, protocol version 2.
type forwarder struct {
	t      testing.TB
	socket *net.UDPConn
	began  time.Time

	mu    sync.Mutex
	token uint16               // guarded by mu
	acked map[uint16]time.Time // PUSH_ACKs, by token, guarded by mu
	down  [][]byte             // PHYPayloads of PULL_RESPs, guarded by mu
	at    []time.Time          // when they came, guarded by mu
}

func newForwarder(t testing.TB, server string) *forwarder {
	t.Helper()
	address, err := net.ResolveUDPAddr("udp", server)
	must(err)
	socket, err := net.DialUDP("udp", nil, address)
	must(err)
	f := &forwarder{t: t, socket: socket, began: time.Now(), acked: map[uint16]time.Time{}}
	var reading sync.WaitGroup
	reading.Go(f.read)
	t.Cleanup(func() { socket.Close(); reading.Wait() })
	return f
}

// read takes what the gateway sends until the socket is closed.
func (f *forwarder) read() {
	datagram := make([]byte, 1<<16)
	for {
		n, err := f.socket.Read(datagram)
		if err != nil {
			if strings.Contains(err.Error(), "closed") {
				return
			}
			time.Sleep(10 * time.Millisecond) // nobody listens at the moment
			continue
		}
		if n < 4 || datagram[0] != 2 {
			f.t.Errorf("got a datagram of %d bytes, version %d", n, datagram[0])
			continue
		}
		f.mu.Lock()
		switch datagram[3] {
		case 1:
			f.acked[endian.BigEndian.Uint16(datagram[1:])] = time.Now()
		case 3:
			var response struct{ Txpk struct{ Data string } }
			must(json.Unmarshal(datagram[4:n], &response))
			phy, err := base64.StdEncoding.DecodeString(response.Txpk.Data)
			must(err)
			f.down, f.at = append(f.down, phy), append(f.at, time.Now())
		}
		f.mu.Unlock()
	}
}

func (f *forwarder) header(kind byte) (token uint16, header []byte) {
	f.mu.Lock()
	f.token++
	token = f.token
	f.mu.Unlock()
	eui, _ := hex.DecodeString(radioEUI)
	return token, append([]byte{2, byte(token >> 8), byte(token), kind}, eui...)
}

// pull says where downlinks go.
func (f *forwarder) pull() {
	_, header := f.header(2)
	_, _ = f.socket.Write(header)
}

// push gives a frame to the gateway.
func (f *forwarder) push(phy []byte) (token uint16) {
	token, datagram := f.header(0)
	datagram = fmt.Appendf(datagram, `{"rxpk":[{"tmst":%d,"chan":0,"rfch":1,"freq":868.100000,"stat":1,"modu":"LORA","datr":"SF7BW125",`+
		`"codr":"4/5","lsnr":8.5,"rssi":-61,"size":%d,"data":%q}]}`, uint32(time.Since(f.began).Microseconds()), len(phy), base64.StdEncoding.EncodeToString(phy))
	_, _ = f.socket.Write(datagram) // an error says that nobody listens at the moment
	return token
}

func (f *forwarder) isAcked(token uint16) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.acked[token].IsZero()
}

// sends gives a frame to the gateway until it is acknowledged.
func (f *forwarder) sends(phy []byte) {
	f.t.Helper()
	f.settle([][]byte{phy}, [][]uint16{{f.push(phy)}})
}

// settle sends what is not acknowledged again, as radio gateways with a memory do, until all is. tokens are those under which
// each frame was sent.
func (f *forwarder) settle(phys [][]byte, tokens [][]uint16) {
	f.t.Helper()
	open := func(i int) bool { return !slices.ContainsFunc(tokens[i], f.isAcked) }
	for late := time.Now().Add(60 * time.Second); time.Now().Before(late); {
		waiting := 0
		for again := time.Now().Add(2 * time.Second); time.Now().Before(again); time.Sleep(2 * time.Millisecond) {
			waiting = 0
			for i := range phys {
				if open(i) {
					waiting++
				}
			}
			if waiting == 0 {
				return
			}
		}
		for i := range phys {
			if open(i) {
				tokens[i] = append(tokens[i], f.push(phys[i]))
			}
		}
	}
	f.t.Fatal("not all frames are acknowledged")
}

// joins lets a bin join.
func (f *forwarder) joins(b *radioBin) (took time.Duration) {
	f.t.Helper()
	f.mu.Lock()
	before := len(f.down)
	f.mu.Unlock()
	began := time.Now()
	f.push(b.join())
	gatewaytest.WaitFor(f.t, 20*time.Second, "a join-accept", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for ; before < len(f.down); before++ {
			if b.joined(f.down[before]) {
				took = f.at[before].Sub(began)
				return true
			}
		}
		return false
	})
	return took
}

// counter reads a counter of the source from the metrics.
func (w *radioTown) counter(what string) (value int) {
	_, metrics := w.get("/metrics")
	_, after, ok := strings.Cut(metrics, fmt.Sprintf("belfry_source_total{source=\"roofs\",what=%q} ", what))
	if !ok {
		return 0
	}
	_, _ = fmt.Sscan(after, &value)
	return value
}

func TestAcknowledgedRadioFramesAreOnTheStreamOnceOverKills(t *testing.T) {
	const sensors, rounds = 200, 12
	w := newRadioTown(t, sensors, false, "")
	process := w.start()
	w.waitReady()
	f := newForwarder(t, w.listen)
	sent := map[string][]int{}
	var recorded [][]byte
	for round := range rounds {
		phys, tokens := make([][]byte, sensors), make([][]uint16, sensors)
		for i, b := range w.bins {
			phys[i] = b.send(round*sensors + i)
			tokens[i] = append(tokens[i], f.push(phys[i]))
			if i == 50+round*7 && round%4 == 1 {
				process.kill() // what was acknowledged before must be there, and of the rest each frame once
				process = w.start()
			}
			if i%20 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		f.settle(phys, tokens)
		for i := range phys {
			sent[w.bins[i].id] = append(sent[w.bins[i].id], round*sensors+i)
		}
		recorded = append(recorded, phys[0], phys[sensors/2])
	}
	process.kill()
	process = w.start()
	w.waitReady()
	for _, phy := range recorded {
		f.sends(phy)
	}
	got := w.read(sensors * rounds)
	got.checkOnceAndInOrder(t, sent)
	checkSchema(t, got.bodies)
	if repeated := w.counter("repeated"); repeated != len(recorded) {
		t.Errorf("%d of %d recorded frames were refused", repeated, len(recorded))
	}
	process.stop(t)
	w.checkLedger(t, w.read(sensors*rounds).ids)
}

func TestDeviceNeedNotJoinAgainAfterAKill(t *testing.T) {
	w := newRadioTown(t, 1, true, "")
	process := w.start()
	w.waitReady()
	f := newForwarder(t, w.listen)
	f.pull()
	f.joins(w.bins[0])
	sent := map[string][]int{}
	send := func(from, to int) {
		for n := from; n < to; n++ {
			f.sends(w.bins[0].send(n))
			sent[w.bins[0].id] = append(sent[w.bins[0].id], n)
		}
	}
	send(0, 10)
	process.kill()
	process = w.start()
	send(10, 20)
	got := w.read(20)
	got.checkOnceAndInOrder(t, sent)
	if n := w.counter("joins"); n != 0 {
		t.Errorf("%d joins after the kill, want none", n)
	}
	process.stop(t)
	w.checkLedger(t, w.read(20).ids)
}

// TestJoinAcceptIsInTime looks for what is far too slow; BenchmarkJoinAccept measures.
func TestJoinAcceptIsInTime(t *testing.T) {
	times := joinTimes(t, 10)
	if slowest := times[len(times)-1]; slowest > 3*time.Second {
		t.Errorf("a join-accept took %s, the window opens after 5 s", slowest)
	}
}

func BenchmarkJoinAccept(b *testing.B) {
	times := joinTimes(b, max(b.N, 20))
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms/median")
	b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "ms/slowest")
	b.ReportMetric(0, "ns/op")
}

// joinTimes lets bins join while others send 100 uplinks a second, and returns how long each join-accept took, sorted.
func joinTimes(t testing.TB, joins int) []time.Duration {
	const talking = 100
	w := newRadioTown(t, talking+1, true, "")
	w.start()
	w.waitReady()
	f := newForwarder(t, w.listen)
	f.pull()
	for _, b := range w.bins {
		f.joins(b)
	}
	stop := make(chan struct{})
	var talk sync.WaitGroup
	talk.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				f.push(w.bins[n%talking].send(n % 5000))
			}
		}
	})
	var times []time.Duration
	for range joins {
		times = append(times, f.joins(w.bins[talking]))
	}
	close(stop)
	talk.Wait()
	slices.Sort(times)
	return times
}
