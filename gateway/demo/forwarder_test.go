package demo

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// udpServer speaks the server's side of the packet forwarder's protocol.
type udpServer struct {
	t      *testing.T
	socket *net.UDPConn

	mu      sync.Mutex
	silent  func(gateway uint64, packets []receivedPacket) bool // do not acknowledge these; may be nil
	heard   []arrival
	pullers map[uint64]*net.UDPAddr
	answers []string // of TX_ACK
}

// arrival is one packet of a PUSH_DATA.
type arrival struct {
	gateway uint64
	token   uint16
	packet  receivedPacket
	at      time.Time
}

func startUDPServer(t *testing.T) *udpServer {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &udpServer{t: t, socket: socket, pullers: map[uint64]*net.UDPAddr{}}
	var serving sync.WaitGroup
	serving.Go(s.serve)
	t.Cleanup(func() {
		socket.Close()
		serving.Wait()
	})
	return s
}

// ignore says which datagrams get no acknowledgement; the function is called by the server, and guarded by mu.
func (s *udpServer) ignore(silent func(gateway uint64, packets []receivedPacket) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = silent
}

func (s *udpServer) address() string { return s.socket.LocalAddr().String() }

func (s *udpServer) serve() {
	buffer := make([]byte, 65536)
	for {
		n, from, err := s.socket.ReadFromUDP(buffer)
		if err != nil {
			return
		}
		s.take(slices.Clone(buffer[:n]), from)
	}
}

func (s *udpServer) take(datagram []byte, from *net.UDPAddr) {
	if len(datagram) < 12 || datagram[0] != 2 {
		s.t.Errorf("datagram %x", datagram)
		return
	}
	gateway, token := binary.BigEndian.Uint64(datagram[4:]), binary.BigEndian.Uint16(datagram[1:])
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := byte(pullAck)
	switch datagram[3] {
	case pushData:
		var body struct {
			Packets []receivedPacket `json:"rxpk"`
		}
		if err := json.Unmarshal(datagram[12:], &body); err != nil {
			s.t.Error(err)
		}
		for _, p := range body.Packets {
			s.heard = append(s.heard, arrival{gateway, token, p, time.Now()})
		}
		if s.silent != nil && s.silent(gateway, body.Packets) {
			return
		}
		reply = pushAck
	case pullData:
		s.pullers[gateway] = from
	case txAck:
		s.answers = append(s.answers, string(datagram[12:]))
		return
	}
	_, _ = s.socket.WriteToUDP([]byte{2, datagram[1], datagram[2], reply}, from)
}

// send gives a gateway a downlink.
func (s *udpServer) send(gateway uint64, timestamp uint32, frequency float64, rate string, phy []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := fmt.Sprintf(`{"txpk":{"imme":false,"tmst":%d,"freq":%f,"rfch":0,"powe":14,"modu":"LORA","datr":%q,"codr":"4/5","ipol":true,"size":%d,"data":%q}}`,
		timestamp, frequency, rate, len(phy), base64.StdEncoding.EncodeToString(phy))
	_, _ = s.socket.WriteToUDP(append([]byte{2, 0xab, 0xcd, pullResp}, body...), s.pullers[gateway])
}

func (s *udpServer) arrivals() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

func (s *udpServer) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.answers)
}

// listener collects what a forwarder calls.
type listener struct {
	mu     sync.Mutex
	landed []bool // late
	sent   []*broadcast
}

func (l *listener) land(late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.landed = append(l.landed, late)
}

func (l *listener) transmit(b *broadcast) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, b)
}

func (l *listener) counts() (landed, sent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.landed), len(l.sent)
}

func runForwarder(t *testing.T, server string, counter uint32) (*forwarder, *listener) {
	t.Helper()
	l := &listener{}
	f, err := openForwarder(forwarderOptions{eui: gatewayEUI(0), server: server, counter: counter, gps: true, transmit: l.transmit})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return f, l
}

func (l *listener) frame(text string) *heard {
	now := time.Now()
	return &heard{phy: []byte(text), end: now, due: now, frequency: 868_300_000, rate: 5, rssi: -91, snr: 7.25, landed: l.land}
}

func TestGatewaySendsAgainUntilThereIsAnAcknowledgement(t *testing.T) {
	server := startUDPServer(t)
	lost := 0
	server.ignore(func(uint64, []receivedPacket) bool { lost++; return lost <= 2 })
	f, l := runForwarder(t, server.address(), 0)
	f.hear(l.frame("reading"))
	eventually(t, "the acknowledgement", func() bool { n, _ := l.counts(); return n == 1 })
	got := server.arrivals()
	if len(got) != 3 || f.resends() != 2 {
		t.Fatalf("the datagram came %d times, %d sent again; want 3 and 2", len(got), f.resends())
	}
	for _, a := range got {
		if a.token != got[0].token || string(a.packet.Data) != "reading" || a.packet.Timestamp != got[0].packet.Timestamp {
			t.Errorf("it was sent again as %+v", a)
		}
	}
	if gap := got[1].at.Sub(got[0].at); gap < time.Second {
		t.Errorf("sent again after %s already", gap)
	}
}

func TestPacketsSayWhatWasHeard(t *testing.T) {
	server := startUDPServer(t)
	f, l := runForwarder(t, server.address(), 0xffffffff-1000)
	h := l.frame("reading")
	f.hear(h)
	eventually(t, "the packet", func() bool { return len(server.arrivals()) == 1 })
	p := server.arrivals()[0].packet
	at, err := time.Parse(time.RFC3339Nano, p.Time)
	if err != nil || at.Sub(h.end).Abs() > time.Microsecond {
		t.Errorf("it was heard at %q, want %s", p.Time, h.end)
	}
	if p.Frequency != "868.300000" || p.DataRate != "SF7BW125" || p.RSSI != -91 || p.Size != 7 || p.CRC != 1 || p.Timestamp != f.timestamp(h.end) {
		t.Errorf("got %+v", p)
	}
}

func TestGatewayWithoutBackhaulDeliversLate(t *testing.T) {
	server := startUDPServer(t)
	f, l := runForwarder(t, server.address(), 0)
	f.loseBackhaul(time.Now().Add(1500 * time.Millisecond))
	f.hear(l.frame("first"))
	f.hear(l.frame("second"))
	eventually(t, "the late frames", func() bool { n, _ := l.counts(); return n == 2 })
	got := server.arrivals()
	if len(got) != 2 || string(got[0].packet.Data) != "first" || !l.landed[0] {
		t.Errorf("got %+v, late: %v", got, l.landed)
	}
}

func TestCounterWrapsAndPointsToTheSameMoment(t *testing.T) {
	f := &forwarder{forwarderOptions: forwarderOptions{counter: 0xffffffff - 3_000_000}, booted: time.Now()}
	for after := time.Duration(0); after < 10*time.Second; after += 700 * time.Millisecond {
		now := f.booted.Add(after)
		if got := f.moment(f.timestamp(now)+5_000_000, now); got.Sub(now.Add(5*time.Second)).Abs() > time.Microsecond {
			t.Errorf("%s after the start, five seconds later is %s", after, got.Sub(now))
		}
	}
}

func TestGatewaySaysWhetherItSendsADownlink(t *testing.T) {
	server := startUDPServer(t)
	f, l := runForwarder(t, server.address(), 0xffffffff-2_000_000)
	eventually(t, "PULL_DATA", f.ready)
	soon := f.timestamp(time.Now().Add(5 * time.Second))
	for _, c := range []struct {
		name      string
		timestamp uint32
		frequency float64
		rate      string
		want      string
	}{
		{"good", soon, 868.1, "SF7BW125", "NONE"},
		{"at the same time", soon + 1000, 868.1, "SF7BW125", "COLLISION_PACKET"},
		{"past", f.timestamp(time.Now().Add(-time.Second)), 868.1, "SF7BW125", "TOO_LATE"},
		{"far ahead", f.timestamp(time.Now().Add(time.Minute)), 868.1, "SF7BW125", "TOO_EARLY"},
		{"elsewhere", soon, 915, "SF7BW125", "TX_FREQ"},
		{"other modulation", soon, 868.1, "SF7BW77", "TX_PARAM"},
	} {
		before := len(server.said())
		server.send(f.eui, c.timestamp, c.frequency, c.rate, []byte("answer"))
		eventually(t, "TX_ACK for "+c.name, func() bool { return len(server.said()) > before })
		if got := server.said()[before]; got != fmt.Sprintf(`{"txpk_ack":{"error":%q}}`, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if _, sent := l.counts(); sent != 1 {
		t.Errorf("%d downlinks were sent, want 1", sent)
	}
}
