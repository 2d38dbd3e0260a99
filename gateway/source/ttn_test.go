package source

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belfry/gateway"
	"belfry/gateway/event"
)

const (
	ttnTopic  = "v3/street-lights@ttn/devices/lamp-0457/"
	ttnDevice = `"end_device_ids":{"device_id":"lamp-0457","application_ids":{"application_id":"street-lights"},` +
		`"dev_eui":"70B3D5E75E00A1F2","join_eui":"800000000000000C","dev_addr":"260B1F42"}`
	ttnSession = "AXA50tHUqnFeWWYeIWMLZg=="
)

// ttnUplink is a message as The Things Stack documents it, heard by two gateways, one of them of another network.
const ttnUplink = `{` + ttnDevice + `,"correlation_ids":["as:up:01E0WZGT6Y7657CPFPE5WEYDSQ","gs:up:host:01E0WDWG5SPTNAVR7D3V1W7QFR"],` +
	`"received_at":"2026-01-14T17:02:10.813754Z","uplink_message":{"session_key_id":"` + ttnSession + `","f_port":24,"f_cnt":70001,` +
	`"frm_payload":"EiKgAAAAARgAAAMEjSlEHw==","decoded_payload":{"level":[{"f_port":"x"}],"f_cnt":-1},"decoded_payload_warnings":[],` +
	`"rx_metadata":[{"gateway_ids":{"gateway_id":"mairie","eui":"9C5C8E00001A05C4"},"time":"2026-01-14T17:02:10.400Z","timestamp":2463457000,` +
	`"rssi":-97.5,"channel_rssi":-97.5,"snr":6.2,"uplink_token":"ChIKEA==","channel_index":2,"received_at":"2026-01-14T17:02:10.590Z"},` +
	`{"gateway_ids":{"gateway_id":"packetbroker"},"packet_broker":{"message_id":"01E0","forwarder_net_id":"000013"},` +
	`"time":"2026-01-14T17:02:10.380Z","rssi":-113,"channel_rssi":-113,"snr":-9}],` +
	`"settings":{"data_rate":{"lora":{"bandwidth":125000,"spreading_factor":8,"coding_rate":"4/5"}},"frequency":"867100000",` +
	`"timestamp":2463457000,"time":"2026-01-14T17:02:10.390Z"},"received_at":"2026-01-14T17:02:10.605Z","confirmed":true,` +
	`"consumed_airtime":"0.056576s","version_ids":{"brand_id":"acme","model_id":"t1"},` +
	`"network_ids":{"net_id":"000013","tenant_id":"ttn","cluster_id":"eu1","cluster_address":"eu1.cloud.thethings.network"}}}`

const ttnJoin = `{` + ttnDevice + `,"correlation_ids":["as:up:01E0"],"received_at":"2026-01-14T17:00:02.2Z",` +
	`"join_accept":{"session_key_id":"` + ttnSession + `","received_at":"2026-01-14T17:00:01.5Z"}}`

func testTTN(t testing.TB, application string) *ttn {
	t.Helper()
	made, err := newTTN(Env{Name: "ttn", Gateway: "box", Log: slog.New(slog.DiscardHandler)}, func(options any) error {
		o := options.(*TTNOptions)
		o.Server, o.Application = "tcp://127.0.0.1:1883", application
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.(*ttn)
}

func readTTN(s *ttn, topic, payload string) *gateway.Uplink {
	uplink := &gateway.Uplink{}
	if !s.read(&arrival{Message: &delivered{topic: topic, payload: []byte(payload)}}, uplink) {
		return nil
	}
	return uplink
}

func TestMessagesOfTheThingsStackBecomeUplinks(t *testing.T) {
	const identity = "tts:" + testEUI + ":" + ttnSession + ":"
	at := time.Date(2026, 1, 14, 17, 2, 10, 0, time.UTC)
	up := func(fields string) string { return `{` + ttnDevice + `,"uplink_message":{` + fields + `}}` }
	for _, c := range []struct {
		name, topic, text string
		want              *gateway.Uplink
		counter           string
	}{
		{"uplink as documented", "up", ttnUplink, &gateway.Uplink{
			Device: testEUI, Port: 24, Identity: identity + "70001:2026-01-14T17:02:10.605Z",
			Payload: []byte{0x12, 0x22, 0xa0, 0, 0, 0, 1, 0x18, 0, 0, 3, 4, 0x8d, 0x29, 0x44, 0x1f},
			Time:    at.Add(400 * time.Millisecond), Link: &event.Link{RSSI: -98, SNR: 6.2, SpreadingFactor: 8, Gateways: 2},
		}, "up"},
		{"join as documented", "join", ttnJoin, &gateway.Uplink{
			Device: testEUI, Identity: identity + "join", Time: time.Date(2026, 1, 14, 17, 0, 1, 5e8, time.UTC),
			Facts: map[string]string{"joined": "2026-01-14T17:00:01Z", "dev_addr": "260b1f42"},
		}, "join"},
		{"what is zero is left out", "up", up(`"session_key_id":"s","frm_payload":"AQ==","rx_metadata":[{}],"received_at":"2026-01-14T17:02:10Z"`),
			&gateway.Uplink{
				Device: testEUI, Payload: []byte{1}, Identity: "tts:" + testEUI + ":s:0:2026-01-14T17:02:10Z", Time: at, Link: &event.Link{Gateways: 1},
			}, "up"},
		{"time of the satellites before the gateway's own", "up", up(`"f_port":1,"rx_metadata":[{"time":"2026-01-14T16:00:00Z","gps_time":"2026-01-14T17:02:10Z"}]`),
			&gateway.Uplink{Device: testEUI, Port: 1, Identity: "lorawan:" + testEUI + ":260b1f42:0", Time: at, Link: &event.Link{Gateways: 1}}, "up"},
		{"time of the settings where no gateway has one", "up", up(`"f_port":1,"rx_metadata":[{"rssi":-90}],"settings":{"time":"2026-01-14T17:02:10Z"}`),
			&gateway.Uplink{Device: testEUI, Port: 1, Identity: "lorawan:" + testEUI + ":260b1f42:0", Time: at, Link: &event.Link{RSSI: -90, Gateways: 1}}, "up"},
		{"one gateway with two antennas", "up", up(`"f_port":1,"rx_metadata":[{"gateway_ids":{"eui":"9C5C8E00001A05C4"},"rssi":-90,"antenna_index":1},` +
			`{"gateway_ids":{"eui":"9C5C8E00001A05C4"},"rssi":-80}]`),
			&gateway.Uplink{Device: testEUI, Port: 1, Identity: "lorawan:" + testEUI + ":260b1f42:0", Link: &event.Link{RSSI: -80, Gateways: 1}}, "up"},
		{"MAC commands only", "up", up(`"f_cnt":7`), nil, "mac_only"},
		{"simulated uplink", "up", strings.TrimSuffix(ttnUplink, "}") + `,"simulated":true}`, nil, "simulated"},
		{"simulated uplink of a device without an EUI", "up", `{"uplink_message":{"f_port":1},"simulated":true}`, nil, "simulated"},
		{"queued answer", "down/queued", `{}`, nil, "other_events_down_queued"},
		{"solved location", "location/solved", `{}`, nil, "other_events_location_solved"},
		{"data of a service", "service/data", `{}`, nil, "other_events_service_data"},
		{"something new", "up/new", `{}`, nil, "unmatched"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testTTN(t, "street-lights@ttn")
			got := readTTN(s, ttnTopic+c.topic, c.text)
			if got != nil {
				if got.Fault != nil {
					t.Fatalf("fault: %v", got.Fault)
				}
				got.Time = got.Time.UTC()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if s.Counters()[c.counter] != 1 {
				t.Errorf("%s is %d, want 1", c.counter, s.Counters()[c.counter])
			}
		})
	}
}

// F22: another device in the topic than in the message, and what cannot be read, goes to quarantine with the reason.
func TestMessagesOfTheThingsStackThatCannotBeTrustedAreFaults(t *testing.T) {
	up := func(fields string) string { return `{` + ttnDevice + `,"uplink_message":{"f_port":1,` + fields + `}}` }
	for _, c := range []struct{ name, text, want string }{
		{"other device", strings.Replace(ttnUplink, "lamp-0457", "lamp-0458", 1), "device in the topic is not the one"},
		{"other application", strings.Replace(ttnUplink, `"street-lights"`, `"bins"`, 1), "application in the topic is not the one"},
		{"no EUI", strings.Replace(ttnUplink, `"dev_eui":"70B3D5E75E00A1F2",`, "", 1), "no dev_eui"},
		{"short EUI", strings.Replace(ttnUplink, `70B3D5E75E00A1F2`, "70B3", 1), "4 characters instead of 16"},
		{"address that is none", strings.Replace(ttnUplink, `260B1F42`, "260B1F4x", 1), "device address with a character"},
		{"no uplink", `{` + ttnDevice + `}`, "no uplink_message"},
		{"uplink that is null", `{` + ttnDevice + `,"uplink_message":null}`, "no uplink_message"},
		{"join in the wrong place", ttnJoin, "no uplink_message"},
		{"encrypted payload", up(`"frm_payload":"AQ==","app_s_key":{"encrypted_key":"AQ=="}`), "payload is encrypted"},
		{"cut off", ttnUplink[:80], "not JSON at offset"},
		{"bad base64", up(`"frm_payload":"A!=="`), "frm_payload: base64: bad character or end at offset 1"},
		{"text for a number", up(`"f_cnt":"1"`), "f_cnt: want a number, not a text"},
		{"counter out of range", up(`"f_cnt":4294967296`), "f_cnt: want an integer"},
		{"field twice", up(`"f_cnt":1,"f_cnt":1`), "f_cnt: stands twice"},
		{"object for a list", up(`"rx_metadata":{}`), "rx_metadata: want a list"},
		{"signal that is none", up(`"rx_metadata":[{"rssi":1e9}]`), "rssi: number is too large"},
		{"session too long", up(`"session_key_id":"` + strings.Repeat("s", 129) + `"`), "session_key_id of 129 characters"},
		{"too deep", up(`"decoded_payload":` + strings.Repeat("[", 33) + strings.Repeat("]", 33)), "nested deeper than 32"},
		{"nothing", ``, "not JSON"},
		{"list", `[]`, "want an object, not a list"},
		{"protobuf", "\n\x10lamp", "not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := readTTN(testTTN(t, "street-lights@ttn"), ttnTopic+"up", c.text)
			if got == nil || got.Fault == nil || !strings.Contains(got.Fault.Error(), c.want) {
				t.Fatalf("got %+v, want a fault with %q", got, c.want)
			}
			if got.Payload != nil || got.Identity != "" || got.Device != "" {
				t.Errorf("a faulty uplink is %+v", got)
			}
		})
	}
}

func TestACounterThatBeginsAnewIsNoRepeatOfTheThingsStack(t *testing.T) {
	s := testTTN(t, "street-lights@ttn")
	first, repeat := readTTN(s, ttnTopic+"up", ttnUplink), readTTN(s, ttnTopic+"up", ttnUplink)
	later := readTTN(s, ttnTopic+"up", strings.Replace(ttnUplink, "10.605Z", "11.605Z", 1))
	if first.Identity != repeat.Identity || first.Identity == later.Identity {
		t.Errorf("identities: %q, of the same %q, a second later %q", first.Identity, repeat.Identity, later.Identity)
	}
}

func TestRetainedMessageOfTheThingsStackIsNotTakenForANewOne(t *testing.T) {
	s := testTTN(t, "+")
	if s.read(&arrival{Message: &delivered{topic: ttnTopic + "up", payload: []byte(ttnUplink), retained: true}}, &gateway.Uplink{}) || s.Counters()["retained_ignored"] != 1 {
		t.Errorf("it was taken; counters %v", s.Counters())
	}
}

func TestApplicationIsInTheSubscriptionAndTheUser(t *testing.T) {
	for _, c := range []struct{ application, username, filter, user, mistake string }{
		{"street-lights@ttn", "", "v3/street-lights@ttn/devices/+/#", "street-lights@ttn", ""},
		{"lights", "reader", "v3/lights/devices/+/#", "reader", ""},
		{"+", "", "v3/+/devices/+/#", "", ""},
		{"", "", "", "", "application"},
		{"a/b", "", "", "", "application"},
		{"#", "", "", "", "application"},
		{"a+", "", "", "", "application"},
	} {
		made, err := newTTN(Env{Name: "ttn", Log: slog.New(slog.DiscardHandler)}, func(options any) error {
			o := options.(*TTNOptions)
			o.Server, o.Application, o.Username = "tcp://127.0.0.1:1883", c.application, c.username
			return nil
		})
		if c.mistake != "" {
			if list := keys(err); len(list) != 1 || list[0] != c.mistake {
				t.Errorf("%+v: got %v, want a mistake in %s", c, err, c.mistake)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if s := made.(*ttn); s.topics.text != c.filter || s.options.Username != c.user {
			t.Errorf("%+v: got %s, user %q", c, s.topics.text, s.options.Username)
		}
	}
}

func TestTheThingsStackReadsAMessageAgainAsItDidTheFirstTime(t *testing.T) {
	s := testTTN(t, "street-lights@ttn")
	first := readTTN(s, ttnTopic+"up", ttnUplink)
	first.Topic, first.Raw = ttnTopic+"up", []byte(ttnUplink)
	counted := s.Counters()
	again, ok := s.Reread(kept("inventory", *first))
	if again.Received = first.Received; !ok {
		t.Fatal("not read again")
	}
	if diff := cmp.Diff(*first, again); diff != "" {
		t.Errorf("(-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(counted, s.Counters()); diff != "" {
		t.Errorf("the counters of the broker changed:\n%s", diff)
	}
}

// FuzzTTNMessage holds the parser to this: no panic, and what is taken is JSON of a device.
func FuzzTTNMessage(f *testing.F) {
	f.Add("up", []byte(ttnUplink))
	f.Add("join", []byte(ttnJoin))
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		m, err := parseTTN(kind, payload)
		if err != nil {
			if m.devEUI != "" {
				t.Fatal("an error and a device")
			}
			return
		}
		if m.simulated {
			return
		}
		if len(m.devEUI) != 16 || m.devAddr != "" && len(m.devAddr) != 8 {
			t.Fatalf("device %q, address %q", m.devEUI, m.devAddr)
		}
		if !json.Valid(payload) {
			t.Fatal("took what is not JSON")
		}
	})
}
