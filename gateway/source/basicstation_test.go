package source_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"belfry/gateway"
	"belfry/gateway/gatewaytest"
	"belfry/gateway/lorawan"
	"belfry/gateway/lorawan/station"
	"belfry/gateway/secret"
	"belfry/gateway/source"
)

const (
	stationEUI   = "0016c001ff10a2b3"
	stationID6   = "16:c001:ff10:a2b3"
	stationLimit = 20 * time.Second

	stationHello = `{"msgtype":"version","station":"2.0.6(linux/std)","firmware":"1.0","package":"2.1","model":"corecell","protocol":2,"features":"gps"}`

	// A data frame and a join-request that the documentation of several libraries has, with their keys in stationNetwork.
	stationData = `{"msgtype":"updf","MHdr":64,"DevAddr":1237220849,"FCtrl":0,"FCnt":2,"FOpts":"","FPort":1,"FRMPayload":"95437876",
		"MIC":234819883,"DR":5,"Freq":868300000,"upinfo":{"rctx":0,"xtime":51791395861065770,"gpstime":%d,"rssi":-101,"snr":-7.25}}`
	stationJoin = `{"msgtype":"jreq","MHdr":0,"JoinEui":"70-B3-D5-7E-D0-00-00-DC","DevEui":"00-AF-EE-7C-F5-ED-6F-1E","DevNonce":52357,
		"MIC":334069592,"DR":5,"Freq":868500000,"upinfo":{"rctx":1,"xtime":51791395861065771,"gpstime":0,"rssi":-35,"snr":5.1}}`
)

func stationKey(t testing.TB, text string) *lorawan.Key {
	t.Helper()
	key, err := lorawan.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return &key
}

// stationNetwork knows two devices: one with a session from its maker, one that joins.
func stationNetwork(t testing.TB, state lorawan.State) *lorawan.Network {
	t.Helper()
	network, err := lorawan.New(lorawan.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	network.SetDevices([]lorawan.Device{
		{DevEUI: "70b3d5e75e00a1f2", DevAddr: "49be7df1", NwkSKey: stationKey(t, "44024241ed4ce9a68c6a8bc055233fd3"), AppSKey: stationKey(t, "ec925802ae430ca77fd3dd73cb2cc588")},
		{DevEUI: "00afee7cf5ed6f1e", AppKey: stationKey(t, "b6b53f4a168a7a88bdf7ea135ce9cfca")},
	})
	network.Restore(state)
	return network
}

// stationStore is a store that commits what claims write.
type stationStore struct {
	gateway.Transaction // of which claims use no more than State and SetState
	mu                  sync.Mutex
	state               map[string][]byte // guarded by mu
}

func newStationStore() *stationStore { return &stationStore{state: map[string][]byte{}} }

func (m *stationStore) State(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state[key]
}

func (m *stationStore) SetState(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state[key] = bytes.Clone(value)
}

func (m *stationStore) EachState(prefix string, f func(key string, value []byte)) {
	m.mu.Lock()
	all := maps.Clone(m.state)
	m.mu.Unlock()
	for key, value := range all {
		if strings.HasPrefix(key, prefix) {
			f(key, value)
		}
	}
}

// Emit is a gateway.Emit that holds everything.
func (m *stationStore) Emit(_ context.Context, uplinks []gateway.Uplink, done func(error)) error {
	for i := range uplinks {
		if uplinks[i].Claim != nil {
			uplinks[i].Claim(m)
		}
	}
	done(nil)
	return nil
}

// lns is a source under test and where it listens.
type lns struct {
	gateway.Source
	address string
	log     *stationLog
}

type stationLog struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (b *stationLog) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *stationLog) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newLNS(t *testing.T, state lorawan.State, configure func(*source.BasicStationOptions)) *lns {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &lns{address: listener.Addr().String(), log: &stationLog{}}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	env := source.Env{
		Name: "radio", Gateway: "box", Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(s.log, nil)), Network: stationNetwork(t, state),
	}
	s.Source, err = source.New("basicstation", env, func(options any) error {
		o := options.(*source.BasicStationOptions)
		o.Listen, o.Gateways = s.address, []source.StationOptions{{EUI: stationEUI}}
		if configure != nil {
			configure(o)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startLNS returns a source that listens.
func startLNS(t *testing.T, configure func(*source.BasicStationOptions)) (*lns, *gatewaytest.Receiver) {
	t.Helper()
	s, receiver := newLNS(t, newStationStore(), configure), gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, s, receiver)
	return s, receiver
}

func (s *lns) waitCount(t *testing.T, name string, n uint64) {
	t.Helper()
	gatewaytest.WaitFor(t, stationLimit, fmt.Sprintf("%s to be %d", name, n), func() bool { return s.Counters()[name] >= n })
}

// fakeStation is one connection of a radio gateway.
type fakeStation struct {
	*websocket.Conn
	t *testing.T
}

// dial connects; headers are names and values in turn.
func (s *lns) dial(t *testing.T, path string, headers ...string) (*fakeStation, error) {
	return dialLNS(t, "ws://"+s.address+path, nil, headers...)
}

func dialLNS(t *testing.T, address string, config *tls.Config, headers ...string) (*fakeStation, error) {
	t.Helper()
	header := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	connection, response, err := (&websocket.Dialer{HandshakeTimeout: stationLimit, TLSClientConfig: config}).Dial(address, header)
	if err != nil {
		if response != nil {
			err = fmt.Errorf("%w: %s", err, response.Status)
		}
		return nil, err
	}
	t.Cleanup(func() { _ = connection.Close() })
	return &fakeStation{connection, t}, nil
}

// connect opens a data connection.
func (s *lns) connect(t *testing.T) *fakeStation {
	t.Helper()
	connection, err := s.dial(t, "/router/"+stationEUI)
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

// introduced opens a data connection on which the radio is set up.
func (s *lns) introduced(t *testing.T) *fakeStation {
	t.Helper()
	connection := s.connect(t)
	connection.say(stationHello)
	connection.hear("router_config")
	return connection
}

func (c *fakeStation) say(message string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
}

// hear returns the next message, which must be of a kind; "" for that of a discovery.
func (c *fakeStation) hear(kind string) map[string]any {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(stationLimit))
	_, text, err := c.ReadMessage()
	if err != nil {
		c.t.Fatalf("no message %q: %v", kind, err)
	}
	var message map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&message); err != nil {
		c.t.Fatalf("%s: %v", text, err)
	}
	if got, _ := message["msgtype"].(string); got != kind {
		c.t.Fatalf("got %s, want a message %q", text, kind)
	}
	return message
}

// gone waits for the end of the connection.
func (c *fakeStation) gone() error {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(stationLimit))
	_, text, err := c.ReadMessage()
	if err == nil {
		c.t.Fatalf("got %s, want the end", text)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		c.t.Fatalf("the connection goes on")
	}
	return err
}

// discover asks where the data connection is.
func (s *lns) discover(t *testing.T, router string, headers ...string) map[string]any {
	t.Helper()
	connection, err := s.dial(t, "/router-info", headers...)
	if err != nil {
		t.Fatal(err)
	}
	connection.say(`{"router":` + router + `}`)
	answer := connection.hear("")
	if err := connection.gone(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("discovery ended with %v", err)
	}
	return answer
}

func TestStationLearnsItsDataConnection(t *testing.T) {
	s, _ := startLNS(t, nil)
	for _, router := range []string{`"` + stationID6 + `"`, `"00-16-C0-01-FF-10-A2-B3"`, `6403564294415027`} {
		answer := s.discover(t, router)
		if answer["router"] != stationID6 || answer["muxs"] == nil || answer["error"] != nil || answer["uri"] != "ws://"+s.address+"/router/"+stationEUI {
			t.Errorf("%s: got %v", router, answer)
		}
	}
	_, port, _ := net.SplitHostPort(s.address)
	for host, want := range map[string]string{
		"lora.town.example:99": "ws://lora.town.example:99", "lora.town.example": "ws://lora.town.example:" + port, "[::1]": "ws://[::1]:" + port,
	} {
		if answer := s.discover(t, `"`+stationID6+`"`, "Host", host); answer["uri"] != want+"/router/"+stationEUI {
			t.Errorf("asked at %s: got %v", host, answer)
		}
	}

	proxied, _ := startLNS(t, func(o *source.BasicStationOptions) { o.URI = "wss://lora.town.example/lns/" })
	if answer := proxied.discover(t, `"`+stationID6+`"`); answer["uri"] != "wss://lora.town.example:443/lns/router/"+stationEUI {
		t.Errorf("behind a proxy: got %v", answer)
	}
}

func TestStrangersGetNoDataConnection(t *testing.T) {
	s, _ := startLNS(t, nil)
	answer := s.discover(t, `"::1"`)
	if answer["uri"] != nil || answer["router"] != "::1" || answer["error"] == nil {
		t.Errorf("got %v", answer)
	}
	for _, path := range []string{"/router/0000000000000001", "/router/", "/router/x", "/", "/router-info/x"} {
		if _, err := s.dial(t, path); err == nil {
			t.Errorf("%s is open", path)
		}
	}
	if _, err := s.dial(t, "/router/"+stationEUI, "Origin", "https://evil.example"); err == nil {
		t.Error("a page of another origin is let in")
	}
	if counters := s.Counters(); counters["refused_unlisted"] != 2 || counters["refused_requests"] != 5 || counters["connects"] != 0 {
		t.Errorf("got %v", counters)
	}
	if lines := strings.Count(s.log.String(), "refused"); lines != 1 {
		t.Errorf("got %d lines for strangers, want one a minute:\n%s", lines, s.log)
	}
}

func TestStationGetsItsSetUp(t *testing.T) {
	s, _ := startLNS(t, nil)
	connection := s.connect(t)
	connection.say(stationHello)
	config := connection.hear("router_config")
	text, _ := json.Marshal(config)
	for _, want := range []string{
		`"region":"EU863"`, `"hwspec":"sx1301/1"`, `"freq_range":[863000000,870000000]`, `"radio_0":{"enable":true,"freq":867500000}`,
		`"NetID":null`, `"JoinEui":null`, `"DRs":[[12,125,0],`,
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if clock, err := config["MuxTime"].(json.Number).Float64(); err != nil || time.Since(time.UnixMicro(int64(clock*1e6))).Abs() > time.Minute {
		t.Errorf("got MuxTime %v, %v", config["MuxTime"], err)
	}
}

func TestOtherProtocolsAreRefused(t *testing.T) {
	s, _ := startLNS(t, nil)
	connection := s.connect(t)
	connection.say(strings.Replace(stationHello, `"protocol":2`, `"protocol":1`, 1))
	if message := connection.hear("error"); message["error"] != "station speaks protocol 1, not 2" {
		t.Errorf("got %v", message)
	}
	_ = connection.gone()
	s.waitCount(t, "refused_protocol", 1)
	gatewaytest.WaitFor(t, stationLimit, "a line in the log", func() bool { return strings.Contains(s.log.String(), "level=WARN msg=\"a station is gone\"") })
}

func TestFrameBecomesAnUplink(t *testing.T) {
	s, receiver := startLNS(t, nil)
	heard := time.Now().Add(-time.Second).Truncate(time.Microsecond).UTC()
	connection := s.connect(t)
	connection.say(fmt.Sprintf(stationData, 0)) // before the radio is set up: from another life
	connection.say(stationHello)
	connection.hear("router_config")
	connection.say(fmt.Sprintf(stationData, station.ToGPS(heard)))
	got := receiver.WaitFor(t, 1)[0]
	if got.Device != "70b3d5e75e00a1f2" || got.Port != 1 || string(got.Payload) != "test" || !got.Time.Equal(heard) ||
		time.Since(got.Received).Abs() > time.Minute || got.Link == nil || got.Link.RSSI != -101 || got.Link.SNR != -7.25 || got.Link.SpreadingFactor != 7 {
		t.Errorf("got %+v, link %+v", got, got.Link)
	}
	if want := "40f17dbe4900020001954378762b11ff0d"; hex.EncodeToString(got.Raw) != want {
		t.Errorf("got frame %x, want %s", got.Raw, want)
	}
	if counters := s.Counters(); counters["frames"] != 1 || counters["other_messages"] != 1 || counters["connects"] != 1 {
		t.Errorf("got %v", counters)
	}
}

func TestOtherMessagesAreCounted(t *testing.T) {
	s, _ := startLNS(t, nil)
	connection := s.introduced(t)
	for _, message := range []string{
		`{"msgtype":"propdf","FRMPayload":"E0AA","DR":5,"Freq":868100000,"upinfo":{}}`, `{"msgtype":"rejoin","MHdr":192}`,
		`{"msgtype":"dntxed","diid":1}`, `{"msgtype":"getxtime"}`,
	} {
		connection.say(message)
	}
	if err := connection.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	s.waitCount(t, "messages", 6)
	s.waitCount(t, "other_messages", 2)
	if counters := s.Counters(); counters["proprietary"] != 1 || counters["rejoins"] != 1 || counters["downlinks_sent"] != 1 {
		t.Errorf("got %v", counters)
	}
}

func TestJoinIsAnsweredForBothWindows(t *testing.T) {
	store := newStationStore()
	s := newLNS(t, store, func(o *source.BasicStationOptions) { o.Downlink = true })
	stop := runLNS(t, s, store.Emit)
	defer stop()
	connection := s.introduced(t)
	sent := time.Now()
	connection.say(stationJoin)
	got := connection.hear("dnmsg")
	if took := time.Since(sent); took > 2*time.Second {
		t.Errorf("answered after %s", took)
	}
	for key, want := range map[string]string{
		"DevEui": "00-AF-EE-7C-F5-ED-6F-1E", "dC": "0", "RxDelay": "5", "RX1DR": "5", "RX1Freq": "868500000", "RX2DR": "0",
		"RX2Freq": "869525000", "xtime": "51791395861065771", "rctx": "1", "diid": "1",
	} {
		if fmt.Sprint(got[key]) != want {
			t.Errorf("%s: got %v, want %s", key, got[key], want)
		}
	}
	phy, err := hex.DecodeString(got["pdu"].(string))
	if err != nil || len(phy) < 17 || phy[0] != 0x20 {
		t.Errorf("got %v, %v, want a join-accept", got["pdu"], err)
	}
	s.waitCount(t, "downlinks", 1)
}

func TestNothingIsSentUnlessWanted(t *testing.T) {
	store := newStationStore()
	s := newLNS(t, store, nil)
	stop := runLNS(t, s, store.Emit)
	defer stop()
	connection := s.introduced(t)
	connection.say(stationJoin)
	s.waitCount(t, "frames", 1)
	gatewaytest.WaitFor(t, stationLimit, "the join to be refused", func() bool {
		var refused uint64
		for name, total := range s.Counters() {
			if strings.HasPrefix(name, "join_") {
				refused += total
			}
		}
		return refused > 0
	})
	connection.say(`{"msgtype":"timesync","txtime":1}`)
	connection.hear("timesync") // and not a dnmsg
}

// runLNS runs a source until it is stopped.
func runLNS(t *testing.T, s gateway.Source, emit gateway.Emit) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan error, 4), make(chan error, 1)
	go func() { ended <- s.Run(ctx, emit, func(err error) { ready <- err }) }() // stop waits for it
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run ended with %v", err)
		}
	}
}

func TestTimeIsAnsweredAtOnce(t *testing.T) {
	s, _ := startLNS(t, nil)
	connection := s.introduced(t)
	before := time.Now()
	connection.say(`{"msgtype":"timesync","txtime":1023024197000}`)
	got := connection.hear("timesync")
	gps, err := got["gpstime"].(json.Number).Int64()
	if err != nil || gps < station.ToGPS(before) || gps > station.ToGPS(time.Now()) || fmt.Sprint(got["txtime"]) != "1023024197000" || got["MuxTime"] == nil {
		t.Errorf("got %v", got)
	}
}

func TestTokenOpensTheDoor(t *testing.T) {
	const canary = "canary-0123456789"
	var file string
	s := newLNS(t, newStationStore(), func(o *source.BasicStationOptions) {
		file = filepath.Join(t.TempDir(), "tokens")
		o.TokenFile = file
		o.Gateways = append(o.Gateways, source.StationOptions{EUI: "::2"})
	})
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(canary + "\n")
	gatewaytest.Run(t, s, gatewaytest.NewReceiver(false))
	try := func(name, path string, open bool, headers ...string) {
		t.Helper()
		connection, err := s.dial(t, path, headers...)
		if (err == nil) != open {
			t.Errorf("%s: got %v, want open %v", name, err, open)
		}
		if err == nil {
			_ = connection.Close()
		} else if !strings.Contains(err.Error(), "401") {
			t.Errorf("%s: got %v, want 401", name, err)
		}
	}
	const path, other = "/router/" + stationEUI, "/router/0000000000000002"
	try("bearer", path, true, "Authorization", "Bearer "+canary)
	try("plain", path, true, "Authorization", canary)
	try("none", path, false)
	try("empty", path, false, "Authorization", "Bearer ")
	try("wrong", path, false, "Authorization", "Bearer "+canary+"x")
	if answer := s.discover(t, `"`+stationID6+`"`, "Authorization", "Bearer "+canary); answer["uri"] == nil {
		t.Errorf("discovery with the token: %v", answer)
	}
	if answer := s.discover(t, `"`+stationID6+`"`); answer["uri"] != nil || answer["error"] == nil {
		t.Errorf("discovery without: %v", answer)
	}

	write(stationID6 + " " + canary + "-1\n\n0000000000000002 " + canary + "-2\r\n")
	try("own, as soon as it is in the file", path, true, "Authorization", "Bearer "+canary+"-1")
	try("own of the other", other, true, "Authorization", canary+"-2")
	try("that of another", path, false, "Authorization", canary+"-2")
	try("the old one", path, false, "Authorization", canary)
	write(stationID6 + " " + canary)
	try("no longer in the file", other, false, "Authorization", canary+"-2")
	try("no longer in the file, and none", other, false)
	write(stationID6 + " " + canary + " " + canary + "\n")
	try("file with a mistake", path, false, "Authorization", canary)
	if s.Counters()["refused_token"] == 0 || strings.Contains(s.log.String(), canary) {
		t.Errorf("got %v\n%s", s.Counters(), s.log)
	}
}

func TestRunWithoutItsFilesNamesThem(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*source.BasicStationOptions)
		want string
	}{
		"token":       {func(o *source.BasicStationOptions) { o.TokenFile = "none" }, "sources.radio.token_file: "},
		"certificate": {func(o *source.BasicStationOptions) { o.TLS = secret.ServerTLS{Cert: "none", Key: "none"} }, "sources.radio.tls.cert: "},
	} {
		s := newLNS(t, newStationStore(), c.set)
		err := gatewaytest.Begin(t, s, gatewaytest.NewReceiver(false)).Ended(t)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestAddressInUseIsNamed(t *testing.T) {
	first, _ := startLNS(t, nil)
	second := newLNS(t, newStationStore(), func(o *source.BasicStationOptions) { o.Listen = first.address })
	err := gatewaytest.Begin(t, second, gatewaytest.NewReceiver(false)).Ended(t)
	if want := "sources.radio.listen: " + first.address + ": address already in use"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestStationShowsItsCertificate(t *testing.T) {
	town, other := gatewaytest.NewAuthority(t, "town"), gatewaytest.NewAuthority(t, "other")
	folder := t.TempDir()
	cert, key := town.WritePair(folder, "lns", town.Issue(gatewaytest.Certificate{}))
	s, receiver := startLNS(t, func(o *source.BasicStationOptions) {
		o.TLS = secret.ServerTLS{Cert: cert, Key: key, ClientCA: town.WriteCA(folder)}
	})
	mine := &tls.Config{RootCAs: town.Pool(), Certificates: []tls.Certificate{town.Issue(gatewaytest.Certificate{})}, MinVersion: tls.VersionTLS12}
	asking, err := dialLNS(t, "wss://"+s.address+"/router-info", mine)
	if err != nil {
		t.Fatal(err)
	}
	asking.say(`{"router":"` + stationID6 + `"}`)
	uri, _ := asking.hear("")["uri"].(string)
	connection, err := dialLNS(t, uri, mine)
	if err != nil {
		t.Fatalf("%s: %v", uri, err)
	}
	connection.say(stationHello)
	connection.hear("router_config")
	connection.say(fmt.Sprintf(stationData, 0))
	receiver.WaitFor(t, 1)

	for name, config := range map[string]*tls.Config{
		"none":    {RootCAs: town.Pool()},
		"another": {RootCAs: town.Pool(), Certificates: []tls.Certificate{other.Issue(gatewaytest.Certificate{})}},
		"expired": {RootCAs: town.Pool(), Certificates: []tls.Certificate{town.Issue(gatewaytest.Certificate{NotAfter: time.Now().Add(-time.Minute)})}},
	} {
		if _, err := dialLNS(t, uri, config); err == nil {
			t.Errorf("%s certificate opens", name)
		}
	}
	s.waitCount(t, "refused_tls", 3)
	if _, err := s.dial(t, "/router/"+stationEUI); err == nil {
		t.Error("clear text opens")
	}
}

func TestMessagesOverTheLimitEndTheConnection(t *testing.T) {
	s, receiver := startLNS(t, nil)
	connection := s.introduced(t)
	frame := fmt.Sprintf(stationData, 0)
	connection.say(frame + strings.Repeat(" ", station.MaxMessage-len(frame)))
	receiver.WaitFor(t, 1)
	connection.say(frame + strings.Repeat(" ", station.MaxMessage-len(frame)+1))
	if err := connection.gone(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
		t.Errorf("ended with %v", err)
	}
	s.waitCount(t, "oversized", 1)
	s.introduced(t)
}

func TestMalformedMessagesStopNothing(t *testing.T) {
	s, receiver := startLNS(t, nil)
	connection := s.introduced(t)
	bad := []string{
		``, `{`, `[]`, `null`, `{"msgtype":"updf"}`, strings.Repeat(`{"a":`, 10_000), `{"msgtype":"updf","msgtype":"jreq"}`,
		strings.Replace(fmt.Sprintf(stationData, 0), `"DR":5`, `"DR":15`, 1), `{"msgtype":"x","a":"` + strings.Repeat("x", 5000) + `"}`,
	}
	for _, message := range bad {
		connection.say(message)
	}
	connection.say(fmt.Sprintf(stationData, 0))
	receiver.WaitFor(t, 1)
	if got := s.Counters()["malformed_messages"]; got != uint64(len(bad)) {
		t.Errorf("got %d malformed messages, want %d", got, len(bad))
	}
	if lines := strings.Count(s.log.String(), "cannot be read"); lines != 1 {
		t.Errorf("got %d lines, want one a minute:\n%s", lines, s.log)
	}
	asking, err := s.dial(t, "/router-info")
	if err != nil {
		t.Fatal(err)
	}
	asking.say(`{"router":{}}`)
	_ = asking.gone()
}

func TestNewConnectionTakesThePlaceOfTheOld(t *testing.T) {
	s, receiver := startLNS(t, nil)
	connection := s.introduced(t)
	for range 3 {
		next := s.introduced(t)
		_ = connection.gone()
		connection = next
	}
	connection.say(fmt.Sprintf(stationData, 0))
	receiver.WaitFor(t, 1)
	s.waitCount(t, "replaced", 3)
	if !strings.Contains(s.log.String(), "two stations seem to have the same EUI") {
		t.Errorf("log says nothing of it:\n%s", s.log)
	}
}

func TestSilentConnectionEnds(t *testing.T) {
	s := newLNS(t, newStationStore(), nil)
	source.SetStationPatience(s.Source, 50*time.Millisecond, 300*time.Millisecond)
	gatewaytest.Run(t, s, gatewaytest.NewReceiver(false))
	silent, alive := s.connect(t), (*fakeStation)(nil)
	silent.SetPingHandler(func(string) error { return nil })
	_ = silent.gone()

	alive = s.introduced(t)
	_ = alive.SetReadDeadline(time.Now().Add(time.Second))
	if _, _, err := alive.ReadMessage(); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("a connection that answers pings ended: %v", err)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	s, _ := startLNS(t, nil)
	const most = 2 + 8
	for range most {
		connection, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
	}
	gatewaytest.WaitFor(t, stationLimit, "one more to be refused", func() bool {
		_, err := s.dial(t, "/router/"+stationEUI)
		return err != nil && s.Counters()["refused_full"] > 0
	})
	gatewaytest.WaitFor(t, stationLimit, "those without a request to be gone", func() bool {
		_, err := s.dial(t, "/router/"+stationEUI)
		return err == nil
	})
}

func TestWhatCouldNotBeHeldEndsTheRunOfStations(t *testing.T) {
	s, receiver := newLNS(t, newStationStore(), nil), gatewaytest.NewReceiver(true)
	running := gatewaytest.Run(t, s, receiver)
	connection := s.introduced(t)
	connection.say(fmt.Sprintf(stationData, 0))
	receiver.WaitFor(t, 1)
	full := errors.New("disk is full")
	receiver.Done(full)
	if err := running.Ended(t); !errors.Is(err, full) {
		t.Errorf("run ended with %v, want %v", err, full)
	}
	_ = connection.gone()

	again := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, s, again)
	s.introduced(t).say(fmt.Sprintf(stationData, 0))
	again.WaitFor(t, 1)
}

func TestStationsLeaveNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	authority, folder := gatewaytest.NewAuthority(t, "town"), t.TempDir()
	cert, key := authority.WritePair(folder, "lns", authority.Issue(gatewaytest.Certificate{}))
	s := newLNS(t, newStationStore(), func(o *source.BasicStationOptions) { o.TLS = secret.ServerTLS{Cert: cert, Key: key} })
	receiver := gatewaytest.NewReceiver(true)
	running := gatewaytest.Run(t, s, receiver)
	config := &tls.Config{RootCAs: authority.Pool()}
	connection, err := dialLNS(t, "wss://"+s.address+"/router/"+stationEUI, config)
	if err != nil {
		t.Fatal(err)
	}
	connection.say(stationHello)
	connection.hear("router_config")
	connection.say(fmt.Sprintf(stationData, 0))
	receiver.WaitFor(t, 1)
	asking, err := dialLNS(t, "wss://"+s.address+"/router-info", config)
	if err != nil {
		t.Fatal(err)
	}
	idle, err := net.Dial("tcp", s.address) // no TLS yet
	if err != nil {
		t.Fatal(err)
	}
	running.Stop(t) // within a second
	for _, open := range []*fakeStation{connection, asking} {
		_ = open.gone()
		_ = open.Close()
	}
	_ = idle.Close()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	gatewaytest.Run(t, s, receiver).Stop(t) // the address is free
}
