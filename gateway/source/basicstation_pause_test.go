package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"belfry/gateway/gatewaytest"
	"belfry/gateway/lorawan"
	"belfry/gateway/lorawan/station"
	"belfry/gateway/secret"
)

// fullStationFeed takes nothing until it is told to.
type fullStationFeed struct {
	mu    sync.Mutex
	open  bool                // guarded by mu
	taken []lorawan.Reception // guarded by mu
}

func (f *fullStationFeed) Receive(receptions []lorawan.Reception, done func(error)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open {
		f.taken = append(f.taken, receptions...)
		done(nil)
	}
	return f.open
}

// TestNothingIsReadWhileTheNetworkIsFull sends until TCP takes no more: what is not read does not fill the memory, and
// comes once there is room, also from a connection that is gone by then.
func TestNothingIsReadWhileTheNetworkIsFull(t *testing.T) {
	network, err := lorawan.New(lorawan.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	s := stationSource(t, network, func(*BasicStationOptions) {})
	config, err := station.NewRouterConfig(network.Region())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	feed := &fullStationFeed{}
	run := &stationRun{basicStation: s, ctx: ctx, config: config, region: network.Region(), feed: feed}
	server := httptest.NewServer(run)
	defer server.Close()
	connection, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/router/0016c001ff10a2b3", nil)
	if err != nil {
		t.Fatal(err)
	}
	say := func(message string) error {
		return errors.Join(connection.SetWriteDeadline(time.Now().Add(time.Second)), connection.WriteMessage(websocket.TextMessage, []byte(message)))
	}
	if err := say(`{"msgtype":"version","protocol":2}`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := connection.ReadMessage(); err != nil { // unread it would break the connection when that is closed
		t.Fatal(err)
	}
	const frame = `{"msgtype":"updf","MHdr":64,"DevAddr":1,"FCtrl":0,"FCnt":%d,"FPort":1,"FRMPayload":"00","MIC":1,"DR":5,"Freq":868100000,"upinfo":{}%s}`
	sent, filler := 0, strings.Repeat(" ", 60<<10)
	for say(fmt.Sprintf(frame, sent, filler)) == nil {
		if sent++; sent > 10_000 {
			t.Fatal("TCP takes everything")
		}
	}
	_ = connection.Close() // broken by the last write
	read := func() uint64 { return s.Counters()["messages"] }
	gatewaytest.WaitFor(t, 20*time.Second, "the first frame", func() bool { return s.Counters()["pauses"] == 1 })
	if got := read(); got != 2 {
		t.Errorf("got %d messages read, want the introduction and one frame", got)
	}
	feed.mu.Lock()
	feed.open = true
	feed.mu.Unlock()
	gatewaytest.WaitFor(t, 20*time.Second, "all that TCP had taken", func() bool { return read() >= uint64(sent) })
	cancel()
	run.connections.Wait() // its goroutines use the feed
	feed.mu.Lock()
	taken := feed.taken
	feed.mu.Unlock()
	for i, reception := range taken {
		if got := int(reception.PHY[6]) + int(reception.PHY[7])<<8; got != i {
			t.Fatalf("frame %d came at place %d", got, i)
		}
	}
}

func stationSource(t *testing.T, network *lorawan.Network, set func(*BasicStationOptions)) *basicStation {
	t.Helper()
	made, err := newStation(network, set)
	if err != nil {
		t.Fatal(err)
	}
	return made.(*basicStation)
}

func newStation(network *lorawan.Network, set func(*BasicStationOptions)) (any, error) {
	env := Env{Name: "radio", Gateway: "box", Log: slog.New(slog.DiscardHandler), Network: network}
	return newBasicStation(env, func(options any) error {
		o := options.(*BasicStationOptions)
		o.Listen, o.Gateways = "127.0.0.1:8887", []StationOptions{{EUI: "0016C001FF10A2B3"}}
		set(o)
		return nil
	})
}

func TestEveryMistakeInTheOptionsOfStationsIsNamed(t *testing.T) {
	pair := secret.ServerTLS{Cert: "c", Key: "k"}
	mutual := secret.ServerTLS{Cert: "c", Key: "k", ClientCA: "ca"}
	for _, c := range []struct {
		name string
		set  func(*BasicStationOptions)
		want []string // keys
	}{
		{"nothing wrong", func(*BasicStationOptions) {}, nil},
		{"loopback in clear text", func(o *BasicStationOptions) { o.Listen = "localhost:1" }, nil},
		{"loopback IPv6", func(o *BasicStationOptions) { o.Listen = "[::1]:8887" }, nil},
		{"TLS and token", func(o *BasicStationOptions) { o.Listen, o.TLS, o.TokenFile = "0.0.0.0:8887", pair, "t" }, nil},
		{"TLS on both ends", func(o *BasicStationOptions) { o.Listen, o.TLS = "0.0.0.0:8887", mutual }, nil},
		{"allowed clear text", func(o *BasicStationOptions) { o.Listen, o.Plaintext = "10.1.2.3:8887", true }, nil},
		{"allowed strangers", func(o *BasicStationOptions) { o.Listen, o.TLS, o.Plaintext = "10.1.2.3:8887", pair, true }, nil},
		{"clear text", func(o *BasicStationOptions) { o.Listen = "10.1.2.3:8887" }, []string{"listen"}},
		{"clear text with a token", func(o *BasicStationOptions) { o.Listen, o.TokenFile = "10.1.2.3:8887", "t" }, []string{"listen"}},
		{"strangers", func(o *BasicStationOptions) { o.Listen, o.TLS = "10.1.2.3:8887", pair }, []string{"listen"}},
		{"no address", func(o *BasicStationOptions) { o.Listen = "" }, []string{"listen"}},
		{"no host", func(o *BasicStationOptions) { o.Listen = ":8887" }, []string{"listen"}},
		{"no port", func(o *BasicStationOptions) { o.Listen = "127.0.0.1" }, []string{"listen"}},
		{"port 0", func(o *BasicStationOptions) { o.Listen = "127.0.0.1:0" }, []string{"listen"}},
		{"port with a name", func(o *BasicStationOptions) { o.Listen = "127.0.0.1:http" }, []string{"listen"}},
		{"port of 17 bits", func(o *BasicStationOptions) { o.Listen = "127.0.0.1:65536" }, []string{"listen"}},
		{"no gateway", func(o *BasicStationOptions) { o.Gateways = nil }, []string{"gateways"}},
		{"gateways", func(o *BasicStationOptions) {
			o.Gateways = []StationOptions{{"::1"}, {"0000000000000001"}, {""}, {"x"}, {"::2"}}
		}, []string{"gateways[1].eui", "gateways[2].eui", "gateways[3].eui"}},
		{"certificate without key", func(o *BasicStationOptions) { o.TLS = secret.ServerTLS{Cert: "c"} }, []string{"tls"}},
		{"client_ca alone", func(o *BasicStationOptions) { o.TLS = secret.ServerTLS{ClientCA: "ca"} }, []string{"tls"}},
		{"HTTP address", func(o *BasicStationOptions) { o.URI = "https://lora.example" }, []string{"uri"}},
		{"MQTT address", func(o *BasicStationOptions) { o.URI = "mqtt://lora.example" }, []string{"uri"}},
		{"address with a password", func(o *BasicStationOptions) { o.URI = "wss://a:b@lora.example" }, []string{"uri"}},
		{"address with a query", func(o *BasicStationOptions) { o.URI = "wss://lora.example/?a" }, []string{"uri"}},
		{"all wrong", func(o *BasicStationOptions) { *o = BasicStationOptions{URI: "x", TLS: secret.ServerTLS{Key: "k"}} }, []string{"listen", "tls", "gateways", "uri"}},
	} {
		if _, err := newStation(nil, c.set); !slices.Equal(keys(err), c.want) {
			t.Errorf("%s: got mistakes in %v, want %v (%v)", c.name, keys(err), c.want, err)
		}
	}
}

func TestRegionThatStationsCannotHearIsAMistake(t *testing.T) {
	options := lorawan.Defaults()
	options.Region, options.Channels = "US915", nil
	network, err := lorawan.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newStation(network, func(*BasicStationOptions) {}); err == nil || err.Error() != "kind: region US915: 72 channels, a station hears 8" {
		t.Errorf("got %v", err)
	}
}

func FuzzParseTokens(f *testing.F) {
	for _, text := range []string{"token\n", "::1 a\n::2 b\n", "0016C001FF10A2B3 x y", "::1 a\n::1 b", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseTokens(text)
		if err != nil && (parsed.all != "" || len(parsed.own) > 0) {
			t.Errorf("got %v and %v", parsed, err)
		}
		if strings.ContainsAny(parsed.all, " \n") {
			t.Errorf("got a token %q", parsed.all)
		}
	})
}
