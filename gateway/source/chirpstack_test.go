package source

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"

	"github.com/chirpstack/chirpstack/api/go/v4/integration"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"belfry/decoders"
	"belfry/gateway"
	"belfry/gateway/event"
)

// delivered is a message as the library hands it over.
type delivered struct {
	mqtt.Message
	topic    string
	payload  []byte
	qos      byte
	retained bool
	again    bool
}

func (d *delivered) Topic() string     { return d.topic }
func (d *delivered) Payload() []byte   { return d.payload }
func (d *delivered) Qos() byte         { return d.qos }
func (d *delivered) Retained() bool    { return d.retained }
func (d *delivered) Duplicate() bool   { return d.again }
func (d *delivered) MessageID() uint16 { return 1 }

func testChirpStack(t testing.TB) *chirpStack {
	t.Helper()
	made, err := newChirpStack(Env{Name: "chirpstack", Gateway: "box", Log: slog.New(slog.DiscardHandler)}, func(options any) error {
		options.(*ChirpStackOptions).Server = "tcp://127.0.0.1:1883"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.(*chirpStack)
}

const (
	testEUI   = "70b3d5e75e00a1f2"
	testTopic = "application/1/device/" + testEUI + "/event/"
	ofDevice  = `"deviceInfo":{"devEui":"` + testEUI + `"}`
)

// readEvent gives the source one event and returns the uplink, nil when there was none.
func readEvent(s *chirpStack, topic string, payload []byte) *gateway.Uplink {
	uplink := &gateway.Uplink{Raw: payload}
	if !s.read(&arrival{Message: &delivered{topic: topic, payload: payload}}, uplink) {
		return nil
	}
	uplink.Raw = nil
	return uplink
}

// F23: ChirpStack may change from JSON to protobuf from one message to the next.
func TestUplinkEventIsReadInBothForms(t *testing.T) {
	text := []byte(UplinkJSON("0a1b2c3d4e5f"))
	want := &gateway.Uplink{
		Device: testEUI, Port: 24, Identity: "ns:3ac7e3c4-4401-4b8d-9386-0a1b2c3d4e5f",
		Payload: []byte{0x12, 0x22, 0xa0, 0, 0, 0, 1, 0x18, 0, 0, 3, 4, 0x8d, 0x29, 0x44, 0x1f},
		Time:    time.Date(2026, 1, 14, 17, 2, 10, 410e6, time.UTC),
		Link:    &event.Link{RSSI: -97, SNR: 6.2, SpreadingFactor: 8, Gateways: 1},
	}
	var message integration.UplinkEvent
	if err := protojson.Unmarshal(text, &message); err != nil {
		t.Fatal(err)
	}
	packed, err := proto.Marshal(&message)
	if err != nil {
		t.Fatal(err)
	}
	snake, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&message)
	if err != nil {
		t.Fatal(err)
	}
	for form, payload := range map[string][]byte{"JSON": text, "protobuf": packed, "snake_case": snake} {
		got := readEvent(testChirpStack(t), testTopic+"up", payload)
		if got == nil {
			t.Fatalf("%s: no uplink", form)
		}
		got.Time = got.Time.UTC()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
}

func TestEventsBecomeUplinks(t *testing.T) {
	at := time.Date(2026, 1, 14, 17, 2, 10, 0, time.UTC)
	const stamp = `"time":"2026-01-14T17:02:10Z"`
	for _, c := range []struct {
		name, kind, text string
		want             *gateway.Uplink
		counter          string
	}{
		{"best of two receptions", "up", `{"deduplicationId":"d",` + ofDevice + `,` + stamp + `,"fPort":1,"data":"AQ==",
			"rxInfo":[{"rssi":-60,"snr":-3},{"rssi":-90,"snr":5.5,"gwTime":"2026-01-14T18:02:09+01:00"}]}`,
			&gateway.Uplink{Device: testEUI, Port: 1, Payload: []byte{1}, Identity: "ns:d", Time: at.Add(-time.Second),
				Link: &event.Link{RSSI: -90, SNR: 5.5, Gateways: 2}}, "up"},
		{"no deduplication id", "up", `{` + ofDevice + `,"devAddr":"00189440","fCnt":70000,"fPort":1,"data":"AQ=="}`,
			&gateway.Uplink{Device: testEUI, Port: 1, Payload: []byte{1}, Identity: "lorawan:" + testEUI + ":00189440:70000"}, "up"},
		{"empty payload on a port", "up", `{"deduplicationId":"d",` + ofDevice + `,"fPort":9}`,
			&gateway.Uplink{Device: testEUI, Port: 9, Identity: "ns:d"}, "up"},
		{"MAC commands only", "up", `{"deduplicationId":"d",` + ofDevice + `,"fCnt":1}`, nil, "mac_only"},
		{"upper case EUI", "up", `{"deduplicationId":"d","deviceInfo":{"devEui":"70B3D5E75E00A1F2"},"fPort":1,"data":"AQ=="}`,
			&gateway.Uplink{Device: testEUI, Port: 1, Payload: []byte{1}, Identity: "ns:d"}, "up"},
		{"status on battery", "status", `{"deduplicationId":"d",` + ofDevice + `,` + stamp + `,"margin":7,"batteryLevel":75.6}`,
			&gateway.Uplink{Device: testEUI, Identity: "ns:d:status", Time: at,
				Readings: []event.Measurement{{Name: "battery_level", Value: decoders.Number(75.6), Unit: "%"}},
				Facts:    map[string]string{"margin": "7", "external_power": "false"}}, "status"},
		{"status on mains", "status", `{"deduplicationId":"d",` + ofDevice + `,"margin":-7,"externalPowerSource":true}`,
			&gateway.Uplink{Device: testEUI, Identity: "ns:d:status", Facts: map[string]string{"margin": "-7", "external_power": "true"}}, "status"},
		{"status that knows no battery", "status", `{"deduplicationId":"d",` + ofDevice + `,"batteryLevelUnavailable":true,"batteryLevel":0}`,
			&gateway.Uplink{Device: testEUI, Identity: "ns:d:status", Facts: map[string]string{"margin": "0", "external_power": "false"}}, "status"},
		{"join", "join", `{"deduplicationId":"d",` + ofDevice + `,` + stamp + `,"devAddr":"0021c5a9"}`,
			&gateway.Uplink{Device: testEUI, Identity: "ns:d:join", Time: at,
				Facts: map[string]string{"joined": "2026-01-14T17:02:10Z", "dev_addr": "0021c5a9"}}, "join"},
		{"log", "log", `{` + ofDevice + `,"level":"ERROR","code":"UPLINK_MIC"}`, nil, "log_error_uplink_mic"},
		{"log with a code nobody knows", "log", `{` + ofDevice + `,"level":"ERROR","code":"NEW"}`, nil, "log_other"},
		{"ack", "ack", `{}`, nil, "other_events_ack"},
		{"txack", "txack", `{}`, nil, "other_events_txack"},
		{"location", "location", `{}`, nil, "other_events_location"},
		{"integration", "integration", `{}`, nil, "other_events_integration"},
		{"an event nobody knows", "nonsense", `{}`, nil, "unmatched"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testChirpStack(t)
			got := readEvent(s, testTopic+c.kind, []byte(c.text))
			if got != nil {
				if got.Fault != nil {
					t.Fatalf("fault: %v", got.Fault)
				}
				got.Time = got.Time.UTC()
			}
			if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b decoders.Value) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if s.Counters()[c.counter] != 1 {
				t.Errorf("%s is %d, want 1", c.counter, s.Counters()[c.counter])
			}
		})
	}
}

// F22, F23: another device in the topic than in the event, and forms that are not read, go to quarantine with the reason.
func TestEventsThatCannotBeTrustedAreFaults(t *testing.T) {
	up := func(fields string) string { return `{"deduplicationId":"d",` + ofDevice + `,"fPort":1,` + fields + `}` }
	for _, c := range []struct{ name, text, want string }{
		{"other device", `{"deviceInfo":{"devEui":"0000000000000001"},"fPort":1}`, "device in the topic is not the one"},
		{"no device", `{"fPort":1}`, "no device EUI"},
		{"short EUI", `{"deviceInfo":{"devEui":"70b3"}}`, "4 characters instead of 16"},
		{"EUI that is none", `{"deviceInfo":{"devEui":"70b3d5e75e00a1fz"}}`, "no hexadecimal digit"},
		{"cut off", up(`"data":"AQ=="`)[:40], "not JSON at offset 40"},
		{"something after it", up(`"data":"AQ=="`) + "x", "not JSON at offset"},
		{"bad base64", up(`"data":"A!=="`), "data: base64: bad character or end at offset 1"},
		{"text for a number", up(`"fCnt":"1"`), "fCnt: want a number, not a text"},
		{"number for a text", up(`"devAddr":1`), "devAddr: want a text, not a number"},
		{"fraction", up(`"fCnt":1.5`), "fCnt: want an integer"},
		{"port out of range", `{` + ofDevice + `,"fPort":256}`, "fPort: want an integer between 0 and 255"},
		{"counter out of range", up(`"fCnt":4294967296`), "fCnt: want an integer"},
		{"negative counter", up(`"fCnt":-1`), "fCnt: want an integer"},
		{"list for an object", up(`"txInfo":[]`), "txInfo: want an object, not a list"},
		{"object for a list", up(`"rxInfo":{}`), "rxInfo: want a list, not an object"},
		{"text in the list", up(`"rxInfo":["x"]`), "rxInfo: want an object, not a text"},
		{"field twice", up(`"data":"AQ==","data":"Ag=="`), "data: stands twice"},
		{"field twice in both cases", up(`"fCnt":1,"f_cnt":2`), "f_cnt: stands twice"},
		{"field twice below", `{"deviceInfo":{"devEui":"` + testEUI + `","devEui":"` + testEUI + `"}}`, "deviceInfo: devEui: stands twice"},
		{"no time", up(`"time":"yesterday"`), "time: want a time"},
		{"snr too large", up(`"rxInfo":[{"snr":1e999}]`), "rxInfo: snr: number is too large"},
		{"too deep", up(`"object":` + strings.Repeat("[", 33) + strings.Repeat("]", 33)), "nested deeper than 32"},
		{"key elsewhere", up(`"data":"AQ==","joinServerContext":{"sessionKeyId":"x"}`), "payload is encrypted"},
		{"address that is none", up(`"devAddr":"0018944x"`), "device address with a character"},
		{"ChirpStack v3", `{"applicationID":"1","applicationName":"x","deviceName":"y","devEUI":"cLPV514AofI=","fPort":1,"data":"AQ=="}`, "ChirpStack v3"},
		{"nothing", ``, "no device EUI"},
		{"neither form", `hello`, "neither JSON nor protobuf"},
		{"list", `[]`, "neither JSON nor protobuf"},
		{"id too long", `{"deduplicationId":"` + strings.Repeat("d", 65) + `",` + ofDevice + `}`, "deduplication id of 65 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := readEvent(testChirpStack(t), testTopic+"up", []byte(c.text))
			if got == nil || got.Fault == nil || !strings.Contains(got.Fault.Error(), c.want) {
				t.Fatalf("got %+v, want a fault with %q", got, c.want)
			}
			if got.Payload != nil || got.Identity != "" {
				t.Errorf("a faulty uplink has payload %x and identity %q", got.Payload, got.Identity)
			}
		})
	}
}

func TestAFaultShowsNoValue(t *testing.T) {
	const canary = "c4nary"
	for _, text := range []string{
		`{"deviceInfo":{"devEui":"` + canary + `"}}`, `{` + ofDevice + `,"data":"` + canary + `!"}`,
		`{` + ofDevice + `,"time":"` + canary + `"}`, `{` + ofDevice + `,"fCnt":"` + canary + `"}`, canary,
	} {
		got := readEvent(testChirpStack(t), testTopic+"up", []byte(text))
		if got == nil || got.Fault == nil || strings.Contains(got.Fault.Error(), canary) {
			t.Errorf("%s: got %+v", text, got)
		}
	}
}

// F23: a newer ChirpStack adds fields.
func TestUnknownFieldsMayBeAnything(t *testing.T) {
	text := `{"new":{"devEui":1},"new":null,"deduplicationId":"d",` + ofDevice + `,"fPort":1,"data":"AQ==","object":{"data":7,"fPort":"x"},"relayRxInfo":null,"rxInfo":null}`
	if got := readEvent(testChirpStack(t), testTopic+"up", []byte(text)); got == nil || got.Fault != nil {
		t.Errorf("got %+v", got)
	}
}

func TestTopicPrefixAndApplicationAreInTheSubscription(t *testing.T) {
	for _, c := range []struct{ prefix, application, want, mistake string }{
		{"", "", "application/+/device/+/event/+", ""},
		{"town/", "7", "town/application/7/device/+/event/+", ""},
		{"eu868/+", "", "eu868/+/application/+/device/+/event/+", ""},
		{"$share/belfry", "", "$share/belfry/application/+/device/+/event/+", ""},
		{"town/#", "", "", "topic_prefix"},
		{"", "a/b", "", "application"},
	} {
		o := ChirpStackOptions{TopicPrefix: c.prefix, Application: c.application}
		got, err := o.topics()
		if c.mistake != "" {
			if list := keys(err); len(list) != 1 || list[0] != c.mistake {
				t.Errorf("%+v: got %v, want a mistake in %s", c, err, c.mistake)
			}
		} else if err != nil || got.text != c.want {
			t.Errorf("%+v: got %s, %v, want %s", c, got.text, err, c.want)
		}
	}
}

// FuzzChirpStackEvent holds the parsers to this: no panic, and what is taken from JSON is what encoding/json sees.
func FuzzChirpStackEvent(f *testing.F) {
	f.Add("up", []byte(UplinkJSON("1")))
	f.Add("status", []byte(`{"deduplicationId":"d",`+ofDevice+`,"margin":7,"batteryLevel":75.6}`))
	f.Add("join", []byte(`{`+ofDevice+`,"devAddr":"0021c5a9"}`))
	f.Add("log", []byte(`{`+ofDevice+`,"level":"ERROR","code":"UPLINK_MIC"}`))
	var message integration.UplinkEvent
	if err := protojson.Unmarshal([]byte(UplinkJSON("1")), &message); err != nil {
		f.Fatal(err)
	}
	packed, err := proto.Marshal(&message)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("up", packed)
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		e, err := parseChirpEvent(kind, payload)
		if err != nil {
			if e.devEUI != "" {
				t.Fatalf("an error and a device")
			}
			return
		}
		if len(e.devEUI) != 16 {
			t.Fatalf("device %q", e.devEUI)
		}
		if text := bytes.TrimLeft(payload, " \t\r\n"); text[0] != '{' {
			return
		}
		var form map[string]json.RawMessage
		if err := json.Unmarshal(payload, &form); err != nil {
			t.Fatalf("took what is not JSON: %v", err)
		}
	})
}
