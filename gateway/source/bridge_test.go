package source

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/chirpstack/chirpstack/api/go/v4/common"
	"github.com/chirpstack/chirpstack/api/go/v4/gw"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"belfry/gateway"
	"belfry/gateway/lorawan"
)

const (
	bridgeEUI   = "0016c001f153a14c"
	bridgeTopic = "gateway/" + bridgeEUI + "/event/"
)

// bridgeUp4 and bridgeUp3 are the events that the bridge's documentation shows, of v4 and of v3.
const (
	bridgeUp4 = `{"phyPayload":"gKb+agGABQABOIc6cwQ=","txInfo":{"frequency":867300000,"modulation":{"lora":{"bandwidth":125000,` +
		`"spreadingFactor":7,"codeRate":"CR_4_5"}}},"rxInfo":{"gatewayId":"0016c001f153a14c","uplinkId":7895,` +
		`"time":"2022-08-03T14:37:43.383634108Z","rssi":-52,"snr":13.75,"board":1,"antenna":2,"context":"xwx0GQ=="}}`
	bridgeUp3 = `{"phyPayload":"gKb+agGABQABOIc6cwQ=","txInfo":{"frequency":867300000,"modulation":"LORA","loRaModulationInfo":{` +
		`"bandwidth":125,"spreadingFactor":7,"codeRate":"4/5","polarizationInversion":false}},"rxInfo":{"gatewayID":"ABbAAfFToUw=",` +
		`"time":"2022-08-03T14:37:43.383634108Z","timeSinceGPSEpoch":null,"timestamp":58692860,"rssi":-52,"loRaSNR":13.75,"channel":2,` +
		`"rfChain":0,"board":1,"antenna":2,"fineTimestampType":"NONE","context":"xwx0GQ==","uplinkID":"EIAgMAtASuSMDOFHPLT2mw==","crcStatus":"CRC_OK"}}`
)

var (
	bridgePHY  = []byte{0x80, 0xa6, 0xfe, 0x6a, 0x01, 0x80, 0x05, 0x00, 0x01, 0x38, 0x87, 0x3a, 0x73, 0x04}
	bridgeTime = time.Date(2022, 8, 3, 14, 37, 43, 383634108, time.UTC)
)

// packed4 and packed3 are the same events in protobuf.
func packed4() *gw.UplinkFrame {
	return &gw.UplinkFrame{
		PhyPayload: bridgePHY,
		TxInfo: &gw.UplinkTxInfo{Frequency: 867300000, Modulation: &gw.Modulation{Parameters: &gw.Modulation_Lora{
			Lora: &gw.LoraModulationInfo{Bandwidth: 125000, SpreadingFactor: 7, CodeRate: gw.CodeRate_CR_4_5},
		}}},
		RxInfo: &gw.UplinkRxInfo{
			GatewayId: bridgeEUI, GwTime: timestamppb.New(bridgeTime), Rssi: -52, Snr: 13.75, Board: 1, Antenna: 2,
			Context: []byte{0xc7, 0x0c, 0x74, 0x19}, CrcStatus: gw.CRCStatus_CRC_OK,
		},
	}
}

func packed3() *gw.UplinkFrame {
	eui, _ := hex.DecodeString(bridgeEUI)
	return &gw.UplinkFrame{
		PhyPayload: bridgePHY,
		TxInfoLegacy: &gw.UplinkTxInfoLegacy{Frequency: 867300000, Modulation: common.Modulation_LORA, ModulationInfo: &gw.UplinkTxInfoLegacy_LoraModulationInfo{
			LoraModulationInfo: &gw.LoraModulationInfo{Bandwidth: 125, SpreadingFactor: 7, CodeRateLegacy: "4/5"},
		}},
		RxInfoLegacy: &gw.UplinkRxInfoLegacy{
			GatewayId: eui, Time: timestamppb.New(bridgeTime), Rssi: -52, LoraSnr: 13.75, Board: 1, Antenna: 2,
			Context: []byte{0xc7, 0x0c, 0x74, 0x19}, CrcStatus: gw.CRCStatus_CRC_OK,
		},
	}
}

func pack(t testing.TB, message proto.Message) []byte {
	t.Helper()
	packed, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// bridgeForms are the documented event in all forms.
func bridgeForms(t testing.TB) map[string][]byte {
	snake, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(packed4())
	if err != nil {
		t.Fatal(err)
	}
	both := packed4()
	both.TxInfoLegacy, both.RxInfoLegacy = packed3().TxInfoLegacy, packed3().RxInfoLegacy
	return map[string][]byte{
		"v4 JSON": []byte(bridgeUp4), "v3 JSON": []byte(bridgeUp3), "v4 protobuf": pack(t, packed4()), "v3 protobuf": pack(t, packed3()),
		"v4 snake_case": snake, "v4 protobuf with what v3 reads": pack(t, both),
		"v3 snake_case": []byte(`{"phy_payload":"gKb+agGABQABOIc6cwQ=","rx_info":{"gateway_id":"ABbAAfFToUw=","time":"2022-08-03T14:37:43.383634108Z",` +
			`"rssi":-52,"lora_snr":13.75,"board":1,"antenna":2,"context":"xwx0GQ=="},"tx_info":{"frequency":867300000,"lora_modulation_info":{` +
			`"bandwidth":125,"spreading_factor":7}}}`),
	}
}

func testBridge(t testing.TB, configure func(*BridgeOptions)) *bridge {
	t.Helper()
	made, err := newBridge(Env{Name: "radio", Gateway: "box", Log: slog.New(slog.DiscardHandler)}, func(options any) error {
		o := options.(*BridgeOptions)
		o.Server = "tcp://127.0.0.1:1883"
		if configure != nil {
			configure(o)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.(*bridge)
}

// readBridge gives the source one message and returns what it made of it.
func readBridge(s *bridge, topic string, payload []byte) (reception *lorawan.Reception, uplink gateway.Uplink) {
	uplink = gateway.Uplink{Topic: topic, Raw: payload}
	if !s.read(&arrival{Message: &delivered{topic: topic, payload: payload}}, &uplink) || uplink.Fault != nil {
		return nil, uplink
	}
	receptions, rest := (&bridgeRun{bridge: s}).sort([]gateway.Uplink{uplink})
	if len(receptions) == 1 && len(rest) == 0 {
		return &receptions[0], uplink
	}
	return nil, rest[0]
}

// F23: JSON and protobuf, v3 and v4 are told apart message by message.
func TestFrameIsReadInAllForms(t *testing.T) {
	want := &lorawan.Reception{
		Gateway: bridgeEUI, PHY: bridgePHY, Frequency: 867300000, DataRate: lorawan.DataRate{SpreadingFactor: 7, Bandwidth: 125},
		RSSI: -52, SNR: 13.75, Time: bridgeTime,
	}
	s := testBridge(t, nil)
	for form, payload := range bridgeForms(t) {
		got, uplink := readBridge(s, bridgeTopic+"up", payload)
		if got == nil {
			t.Errorf("%s: %+v", form, uplink)
			continue
		}
		got.Time = got.Time.UTC()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
		frame, err := parseBridgeFrame(payload)
		back := bridgeForm{packed: strings.Contains(form, "protobuf"), legacy: strings.HasPrefix(form, "v3"), board: 1, antenna: 2, context: []byte{0xc7, 0x0c, 0x74, 0x19}}
		if diff := cmp.Diff(back, frame.bridgeForm, cmp.AllowUnexported(bridgeForm{})); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", form, err, diff)
		}
	}
}

// Protobuf begins with a line feed and the length of the frame, which for 123 bytes is a brace.
func TestProtobufThatLooksLikeJSONIsProtobuf(t *testing.T) {
	message := packed4()
	message.PhyPayload = make([]byte, '{')
	if got, uplink := readBridge(testBridge(t, nil), bridgeTopic+"up", pack(t, message)); got == nil || len(got.PHY) != '{' {
		t.Errorf("got %+v", uplink)
	}
}

func TestModulationsAndTimesOfFrames(t *testing.T) {
	up := func(modulation, reception string) []byte {
		return []byte(`{"phyPayload":"gKb+agGABQABOIc6cwQ=","txInfo":{"frequency":868800000,` + modulation + `},"rxInfo":{` + reception + `}}`)
	}
	const lora = `"modulation":{"lora":{"bandwidth":125000,"spreadingFactor":12}}`
	fsk := packed3()
	fsk.TxInfoLegacy.ModulationInfo = &gw.UplinkTxInfoLegacy_FskModulationInfo{FskModulationInfo: &gw.FskModulationInfo{Datarate: 50000}}
	hopping := packed4()
	hopping.TxInfo.Modulation.Parameters = &gw.Modulation_LrFhss{LrFhss: &gw.LrFhssModulationInfo{OperatingChannelWidth: 137000, CodeRate: gw.CodeRate_CR_4_6}}
	satellite := packed4()
	satellite.RxInfo.GwTime, satellite.RxInfo.TimeSinceGpsEpoch = nil, durationpb.New(1342018830500*time.Millisecond)
	heard := time.Date(2022, 7, 16, 15, 0, 12, 5e8, time.UTC)
	for _, c := range []struct {
		name    string
		payload []byte
		rate    string
		time    time.Time
	}{
		{"FSK of v4", up(`"modulation":{"fsk":{"frequencyDeviation":25000,"datarate":50000}}`, ""), "50000", time.Time{}},
		{"FSK of v3", up(`"modulation":"FSK","fskModulationInfo":{"datarate":50000}`, ""), "50000", time.Time{}},
		{"FSK of v3 in protobuf", pack(t, fsk), "50000", bridgeTime},
		{"LR-FHSS of v4", up(`"modulation":{"lrFhss":{"operatingChannelWidth":137000,"codeRate":"CR_2_6"}}`, ""), "LR-FHSS 137000 Hz 1/3", time.Time{}},
		{"LR-FHSS of v4 in protobuf", pack(t, hopping), "LR-FHSS 137000 Hz 2/3", bridgeTime},
		{"2.4 GHz", up(`"modulation":{"lora":{"bandwidth":812500,"spreadingFactor":12}}`, ""), "SF12BW812", time.Time{}},
		{"time of v4", up(lora, `"gwTime":"2022-07-16T15:00:12.5Z","nsTime":"2022-07-16T16:00:00Z"`), "SF12BW125", heard},
		{"the time of the satellites first", up(lora, `"gwTime":"2022-07-16T16:00:00Z","timeSinceGpsEpoch":"1342018830.500s"`), "SF12BW125", heard},
		{"only the time of the satellites", up(lora, `"timeSinceGpsEpoch":"1342018830.500s"`), "SF12BW125", heard},
		{"the same in protobuf", pack(t, satellite), "SF7BW125", heard},
		{"only the network's time", up(lora, `"nsTime":"2022-07-16T16:00:00Z"`), "SF12BW125", time.Time{}},
		{"names nobody knows", up(lora, `"new":{"rssi":"x"},"crcStatus":"NO_CRC"`), "SF12BW125", time.Time{}},
	} {
		got, uplink := readBridge(testBridge(t, nil), bridgeTopic+"up", c.payload)
		if got == nil || got.DataRate.String() != c.rate || !got.Time.Equal(c.time) {
			t.Errorf("%s: got %+v, %v; want %s at %s", c.name, got, uplink.Fault, c.rate, c.time)
		} else if satellites := strings.Contains(c.name, "satellites") || c.name == "the same in protobuf"; got.GPS != satellites {
			t.Errorf("%s: by GPS %v, want %v", c.name, got.GPS, satellites)
		}
	}
}

// F05: what the radio calls damaged is no frame.
func TestFrameWithABadChecksumIsCountedAndNotHandedOn(t *testing.T) {
	s := testBridge(t, nil)
	bad4, bad3 := packed4(), packed3()
	bad4.RxInfo.CrcStatus, bad3.RxInfoLegacy.CrcStatus = gw.CRCStatus_BAD_CRC, gw.CRCStatus_BAD_CRC
	for _, payload := range [][]byte{
		pack(t, bad4), pack(t, bad3), []byte(strings.Replace(bridgeUp3, "CRC_OK", "BAD_CRC", 1)),
		[]byte(strings.Replace(bridgeUp4, `"uplinkId"`, `"crcStatus":"BAD_CRC","uplinkId"`, 1)),
	} {
		if got, uplink := readBridge(s, bridgeTopic+"up", payload); got != nil || uplink.Discard != "crc_bad" || uplink.Raw != nil {
			t.Errorf("got %+v, %+v", got, uplink)
		}
	}
	if n := s.Counters()["crc_bad"]; n != 4 {
		t.Errorf("crc_bad is %d, want 4", n)
	}
}

// F22 and hostile input: each goes to quarantine with its reason.
func TestFramesThatCannotBeTrustedAreFaults(t *testing.T) {
	change := func(old, new string) []byte { return []byte(strings.Replace(bridgeUp4, old, new, 1)) }
	legacy := func(old, new string) []byte { return []byte(strings.Replace(bridgeUp3, old, new, 1)) }
	long, other, late, none := packed4(), packed3(), packed4(), packed4()
	long.RxInfo.Context = make([]byte, maxContext+1)
	other.RxInfoLegacy.GatewayId = []byte{1, 2, 3}
	late.RxInfo.GwTime = &timestamppb.Timestamp{Seconds: 1 << 60}
	none.TxInfo.Modulation = nil
	for _, c := range []struct {
		name    string
		payload []byte
		want    string
	}{
		{"other gateway", change("0016c001f153a14c", "0016c001f153a14d"), "gateway in the topic is not the one"},
		{"other gateway of v3", legacy("ABbAAfFToUw=", "ABbAAfFToU0="), "gateway in the topic is not the one"},
		{"short gateway", change("0016c001f153a14c", "0016"), "gateway EUI of 4 characters"},
		{"short gateway of v3", pack(t, other), "gateway EUI of 6 characters"},
		{"gateway of v3 in digits", legacy("ABbAAfFToUw=", "0016c001f153a14c"), "gateway EUI"},
		{"no frame", change("gKb+agGABQABOIc6cwQ=", ""), "no phyPayload"},
		{"huge frame", change("gKb+agGABQABOIc6cwQ=", strings.Repeat("AAAA", 86)), "phyPayload of 258 bytes"},
		{"frame that is no base64", change("gKb+agGABQABOIc6cwQ=", "!"), "phyPayload: base64"},
		{"no frequency", change("867300000", "0"), "no frequency"},
		{"negative frequency", change("867300000", "-1"), "frequency: want an integer"},
		{"no modulation", change(`"lora"`, `"new"`), "no modulation"},
		{"no modulation in protobuf", pack(t, none), "no modulation"},
		{"two modulations", change(`"lora":{`, `"fsk":{"datarate":50000},"lora":{`), "no modulation, or several"},
		{"spreading factor 4", change(`"spreadingFactor":7`, `"spreadingFactor":4`), "spreading factor 4"},
		{"spreading factor 13", change(`"spreadingFactor":7`, `"spreadingFactor":13`), "spreadingFactor: want an integer"},
		{"bandwidth of v3 in v4", change(`125000`, `125`), "bandwidth of 0 kHz"},
		{"bandwidth of v4 in v3", legacy(`"bandwidth":125`, `"bandwidth":125000`), "bandwidth of 125000 kHz"},
		{"signal that is none", change("13.75", "1e999"), "snr: number is too large"},
		{"no such verdict", legacy("CRC_OK", "MAYBE"), "unknown CRC status"},
		{"long context", pack(t, long), "context of 129 bytes"},
		{"no time", change("2022-08-03", "yesterday"), "time: want a time"},
		{"time out of range", pack(t, late), "time: out of range"},
		{"seconds that are none", legacy(`"timeSinceGPSEpoch":null`, `"timeSinceGPSEpoch":"1h"`), "want seconds"},
		{"too many seconds", legacy(`"timeSinceGPSEpoch":null`, `"timeSinceGPSEpoch":"99999999999999999999s"`), "want seconds"},
		{"field twice", change(`"rssi":-52`, `"rssi":-52,"rssi":-52`), "rssi: stands twice"},
		{"too deep", change(`"rssi":-52`, `"new":`+strings.Repeat("[", 33)+strings.Repeat("]", 33)), "nested deeper than 32"},
		{"cut off", []byte(bridgeUp4[:40]), "not JSON at offset"},
		{"nothing", nil, "no phyPayload"},
		{"neither form", []byte("hello"), "neither JSON nor protobuf"},
	} {
		got, uplink := readBridge(testBridge(t, nil), bridgeTopic+"up", c.payload)
		if got != nil || uplink.Fault == nil || !strings.Contains(uplink.Fault.Error(), c.want) {
			t.Errorf("%s: got %+v, fault %v, want one with %q", c.name, got, uplink.Fault, c.want)
		}
		if !bytes.Equal(uplink.Raw, c.payload) {
			t.Errorf("%s: the message is not kept", c.name)
		}
	}
	if got, uplink := readBridge(testBridge(t, nil), "gateway/mairie/event/up", []byte(bridgeUp4)); got != nil || uplink.Fault == nil {
		t.Errorf("a topic without an EUI: got %+v, %+v", got, uplink)
	}
}

func TestEventsThatAreNoFramesAreCounted(t *testing.T) {
	ack := func(message *gw.DownlinkTxAck) string { return string(pack(t, message)) }
	items := func(statuses ...gw.TxAckStatus) (all []*gw.DownlinkTxAckItem) {
		for _, status := range statuses {
			all = append(all, &gw.DownlinkTxAckItem{Status: status})
		}
		return all
	}
	for _, c := range []struct{ topic, payload, counter string }{
		{bridgeTopic + "stats", "x", "other_events_stats"},
		{bridgeTopic + "exec", "x", "other_events_exec"},
		{bridgeTopic + "raw", "x", "other_events_raw"},
		{"gateway/" + bridgeEUI + "/state/conn", "x", "other_events_state"},
		{bridgeTopic + "new", "x", "unmatched"},
		{"gateway/0000000000000001/event/up", bridgeUp4, "gateway_refused"},
		{bridgeTopic + "ack", `{"gatewayId":"0016c001f153a14c","downlinkId":894104280,"items":[{"status":"OK"},{}]}`, "txack_ok"},
		{bridgeTopic + "ack", `{"gatewayId":"0016c001f153a14c","downlinkId":1,"items":[{"status":"TOO_LATE"},{"status":"OK"}]}`, "txack_ok"},
		{bridgeTopic + "ack", `{"gatewayId":"0016c001f153a14c","downlinkId":1,"items":[{"status":"TOO_LATE"},{"status":"TX_FREQ"}]}`, "txack_error"},
		{bridgeTopic + "ack", `{"gatewayID":"ABbAAfFToUw=","token":7,"error":""}`, "txack_ok"},
		{bridgeTopic + "ack", `{"gatewayID":"ABbAAfFToUw=","token":7,"error":"COLLISION_PACKET"}`, "txack_error"},
		{bridgeTopic + "ack", ack(&gw.DownlinkTxAck{GatewayId: bridgeEUI, Items: items(gw.TxAckStatus_OK, gw.TxAckStatus_IGNORED)}), "txack_ok"},
		{bridgeTopic + "ack", ack(&gw.DownlinkTxAck{GatewayIdLegacy: []byte{1}, Items: items(gw.TxAckStatus_QUEUE_FULL)}), "txack_error"},
	} {
		s := testBridge(t, func(o *BridgeOptions) { o.Gateways = []string{strings.ToUpper(bridgeEUI)} })
		got, uplink := readBridge(s, c.topic, []byte(c.payload))
		if got != nil || uplink.Discard != c.counter || s.Counters()[c.counter] != 1 {
			t.Errorf("%s %s: got %+v, %+v, want %s", c.topic, c.payload, got, uplink, c.counter)
		}
	}
	if _, uplink := readBridge(testBridge(t, nil), bridgeTopic+"ack", []byte(`{"items":{}}`)); uplink.Fault == nil {
		t.Error("an acknowledgement that cannot be read is no fault")
	}
}

func TestTopicsOfBridges(t *testing.T) {
	for _, c := range []struct {
		prefix   string
		gateways []string
		want     string
		mistake  string
	}{
		{"", nil, "gateway/+/event/+ gateway/+/state/+", ""},
		{"eu868/", nil, "eu868/gateway/+/event/+ eu868/gateway/+/state/+", ""},
		{"+", nil, "+/gateway/+/event/+ +/gateway/+/state/+", ""},
		{"town/#", nil, "", "topic_prefix"},
		{"", []string{"0016c001f153a14c", "0016"}, "", "gateways[1]"},
		{"", []string{"0016c001f153a14c", "0016C001F153A14C"}, "", "gateways[1]"},
	} {
		made, err := newBridge(Env{Name: "radio"}, func(options any) error {
			o := options.(*BridgeOptions)
			o.Server, o.TopicPrefix, o.Gateways = "tcp://127.0.0.1:1883", c.prefix, c.gateways
			return nil
		})
		if c.mistake != "" {
			if list := keys(err); len(list) == 0 || list[0] != c.mistake {
				t.Errorf("%+v: got %v, want a mistake in %s", c, err, c.mistake)
			}
		} else if err != nil || strings.Join(made.(*bridge).filters, " ") != c.want {
			t.Errorf("%+v: got %v, %v", c, made, err)
		}
	}
}

func testDownlink() lorawan.Downlink {
	return lorawan.Downlink{DevEUI: testEUI, PHY: []byte{0x60, 1, 2}, Windows: []lorawan.Window{
		{Delay: time.Second, Frequency: 867300000, DataRate: lorawan.DataRate{SpreadingFactor: 7, Bandwidth: 125}, Power: 14},
		{Delay: 2 * time.Second, Frequency: 869525000, DataRate: lorawan.DataRate{BitRate: 50000}, Power: 27},
	}}
}

// sendThrough returns what is published for an answer to an event.
func sendThrough(t *testing.T, event []byte, topic string) (to string, command []byte) {
	t.Helper()
	run := &bridgeRun{bridge: testBridge(t, func(o *BridgeOptions) { o.Downlink, o.TopicPrefix = true, "+" })}
	run.publish = func(topic string, payload []byte) error {
		to, command = topic, payload
		return nil
	}
	receptions, _ := run.sort([]gateway.Uplink{{Topic: topic, Raw: event}})
	if len(receptions) != 1 {
		t.Fatal("not read")
	}
	if err := receptions[0].Transmit(testDownlink()); err != nil {
		t.Fatal(err)
	}
	return to, command
}

func TestAnswerHasTheFormOfTheEvents(t *testing.T) {
	eui, _ := hex.DecodeString(bridgeEUI)
	context := []byte{0xc7, 0x0c, 0x74, 0x19}
	forms := bridgeForms(t)
	wantTopic := "eu868/gateway/" + bridgeEUI + "/command/down"

	fsk := &gw.FskModulationInfo{Datarate: 50000, FrequencyDeviation: 25000}
	delay := func(d time.Duration) *gw.DelayTimingInfo { return &gw.DelayTimingInfo{Delay: durationpb.New(d)} }
	want := &gw.DownlinkFrame{GatewayId: bridgeEUI, Items: []*gw.DownlinkFrameItem{
		{PhyPayload: []byte{0x60, 1, 2}, TxInfo: &gw.DownlinkTxInfo{
			Frequency: 867300000, Power: 14, Board: 1, Antenna: 2, Context: context,
			Modulation: &gw.Modulation{Parameters: &gw.Modulation_Lora{Lora: &gw.LoraModulationInfo{
				Bandwidth: 125000, SpreadingFactor: 7, CodeRate: gw.CodeRate_CR_4_5, PolarizationInversion: true,
			}}},
			Timing: &gw.Timing{Parameters: &gw.Timing_Delay{Delay: delay(time.Second)}},
		}},
		{PhyPayload: []byte{0x60, 1, 2}, TxInfo: &gw.DownlinkTxInfo{
			Frequency: 869525000, Power: 27, Board: 1, Antenna: 2, Context: context,
			Modulation: &gw.Modulation{Parameters: &gw.Modulation_Fsk{Fsk: fsk}},
			Timing:     &gw.Timing{Parameters: &gw.Timing_Delay{Delay: delay(2 * time.Second)}},
		}},
	}}
	legacy := &gw.DownlinkFrame{GatewayIdLegacy: eui, Items: []*gw.DownlinkFrameItem{
		{PhyPayload: []byte{0x60, 1, 2}, TxInfoLegacy: &gw.DownlinkTxInfoLegacy{
			GatewayId: eui, Frequency: 867300000, Power: 14, Board: 1, Antenna: 2, Context: context,
			ModulationInfo: &gw.DownlinkTxInfoLegacy_LoraModulationInfo{LoraModulationInfo: &gw.LoraModulationInfo{
				Bandwidth: 125, SpreadingFactor: 7, CodeRateLegacy: "4/5", PolarizationInversion: true,
			}},
			Timing: gw.DownlinkTiming_DELAY, TimingInfo: &gw.DownlinkTxInfoLegacy_DelayTimingInfo{DelayTimingInfo: delay(time.Second)},
		}},
		{PhyPayload: []byte{0x60, 1, 2}, TxInfoLegacy: &gw.DownlinkTxInfoLegacy{
			GatewayId: eui, Frequency: 869525000, Power: 27, Board: 1, Antenna: 2, Context: context, Modulation: common.Modulation_FSK,
			ModulationInfo: &gw.DownlinkTxInfoLegacy_FskModulationInfo{FskModulationInfo: fsk},
			Timing:         gw.DownlinkTiming_DELAY, TimingInfo: &gw.DownlinkTxInfoLegacy_DelayTimingInfo{DelayTimingInfo: delay(2 * time.Second)},
		}},
	}}
	for form, c := range map[string]struct {
		want      *gw.DownlinkFrame
		unmarshal func([]byte, proto.Message) error
	}{
		"v4 JSON":     {want, protojson.Unmarshal},
		"v4 protobuf": {want, proto.Unmarshal},
		"v3 protobuf": {legacy, proto.Unmarshal},
	} {
		topic, command := sendThrough(t, forms[form], "eu868/"+bridgeTopic+"up")
		var got gw.DownlinkFrame
		if err := c.unmarshal(command, &got); err != nil {
			t.Fatalf("%s: %v in %s", form, err, command)
		}
		if topic != wantTopic || got.DownlinkId == 0 || form == "v3 protobuf" && (len(got.DownlinkIdLegacy) != 16 || got.DownlinkId > 65535) {
			t.Errorf("%s: topic %s, id %d and %x", form, topic, got.DownlinkId, got.DownlinkIdLegacy)
		}
		got.DownlinkId, got.DownlinkIdLegacy = 0, nil
		if !proto.Equal(c.want, &got) {
			t.Errorf("%s: got %s\nwant %s", form, protojson.Format(&got), protojson.Format(c.want))
		}
	}
}

func TestAnswerInTheJSONOfV3(t *testing.T) {
	topic, command := sendThrough(t, []byte(bridgeUp3), "eu868/"+bridgeTopic+"up")
	var got, want map[string]any
	if err := json.Unmarshal(command, &got); err != nil || topic != "eu868/gateway/"+bridgeEUI+"/command/down" {
		t.Fatalf("%v, topic %s", err, topic)
	}
	id, _ := got["downlinkID"].(string)
	token, _ := got["token"].(float64)
	if len(id) != 24 || token > 65535 {
		t.Errorf("id %q, token %v", id, token)
	}
	delete(got, "downlinkID")
	delete(got, "token")
	common := `"gatewayID":"ABbAAfFToUw=","board":1,"antenna":2,"timing":"DELAY","context":"xwx0GQ=="`
	if err := json.Unmarshal([]byte(`{"gatewayID":"ABbAAfFToUw=","items":[
		{"phyPayload":"YAEC","txInfo":{`+common+`,"frequency":867300000,"power":14,"modulation":"LORA","loRaModulationInfo":{"bandwidth":125,
			"spreadingFactor":7,"codeRate":"4/5","polarizationInversion":true},"delayTimingInfo":{"delay":"1s"}}},
		{"phyPayload":"YAEC","txInfo":{`+common+`,"frequency":869525000,"power":27,"modulation":"FSK","fskModulationInfo":{
			"frequencyDeviation":25000,"datarate":50000},"delayTimingInfo":{"delay":"2s"}}}]}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// N8: without downlink: true nothing can be sent.
func TestNothingIsSentUnlessTheSourceAllowsIt(t *testing.T) {
	receptions, _ := (&bridgeRun{bridge: testBridge(t, nil)}).sort([]gateway.Uplink{{Topic: bridgeTopic + "up", Raw: []byte(bridgeUp4)}})
	if len(receptions) != 1 || receptions[0].Transmit != nil {
		t.Errorf("got %+v", receptions)
	}
}

// fakeFeed takes receptions once it is not full.
type fakeFeed struct {
	full  int
	taken []lorawan.Reception
	done  func(error)
}

func (f *fakeFeed) Receive(receptions []lorawan.Reception, done func(error)) bool {
	if f.full--; f.full >= 0 {
		return false
	}
	f.taken, f.done = receptions, done
	return true
}

func TestABatchIsSettledWhenItsFramesAndTheRestAre(t *testing.T) {
	disk := errors.New("disk is full")
	batch := func() []gateway.Uplink {
		return []gateway.Uplink{
			{Topic: bridgeTopic + "up", Raw: []byte(bridgeUp4)},
			{Topic: bridgeTopic + "up", Raw: []byte("x")},
			{Discard: "other_events_stats"},
		}
	}
	for _, c := range []struct{ frames, rest, want error }{{nil, nil, nil}, {disk, nil, disk}, {nil, disk, disk}} {
		feed := &fakeFeed{full: 2}
		var rest []gateway.Uplink
		var restDone func(error)
		run := &bridgeRun{bridge: testBridge(t, nil), feed: feed, rest: func(_ context.Context, uplinks []gateway.Uplink, done func(error)) error {
			rest, restDone = uplinks, done
			return nil
		}}
		var settled []error
		if err := run.emit(t.Context(), batch(), func(err error) { settled = append(settled, err) }); err != nil {
			t.Fatal(err)
		}
		if len(feed.taken) != 1 || len(rest) != 2 || rest[0].Fault == nil || rest[1].Discard == "" {
			t.Fatalf("frames %+v, rest %+v", feed.taken, rest)
		}
		feed.done(c.frames)
		if len(settled) > 0 {
			t.Fatal("settled before the rest is")
		}
		restDone(c.rest)
		if len(settled) != 1 || settled[0] != c.want {
			t.Errorf("settled with %v, want %v", settled, c.want)
		}
	}
}

func TestWaitingForAFullNetworkEndsWithTheRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	run := &bridgeRun{bridge: testBridge(t, nil), feed: &fakeFeed{full: 1 << 30}}
	err := run.emit(ctx, []gateway.Uplink{{Topic: bridgeTopic + "up", Raw: []byte(bridgeUp4)}}, func(error) { t.Error("settled") })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// FuzzBridgeFrame holds the parsers to this: no panic, and what is taken can be sent on, and answered.
func FuzzBridgeFrame(f *testing.F) {
	for _, payload := range bridgeForms(f) {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		frame, err := parseBridgeFrame(payload)
		if err != nil {
			return
		}
		if len(frame.phy) == 0 || len(frame.phy) > maxPHY || frame.frequency == 0 || frame.gateway != "" && len(frame.gateway) != 16 {
			t.Fatalf("took %+v", frame)
		}
		if _, err := frame.command(bridgeEUI, testDownlink()); err != nil {
			t.Fatalf("no answer to %+v: %v", frame, err)
		}
	})
}

func FuzzBridgeAck(f *testing.F) {
	f.Add([]byte(`{"gatewayId":"0016c001f153a14c","downlinkId":894104280,"items":[{"status":"OK"},{}]}`))
	f.Add(pack(f, &gw.DownlinkTxAck{GatewayId: bridgeEUI, Items: []*gw.DownlinkTxAckItem{{Status: gw.TxAckStatus_OK}}}))
	f.Fuzz(func(t *testing.T, payload []byte) { _, _ = parseBridgeAck(payload) })
}

func TestCountersOfTheBridgeAndOfTheNetworkHaveDifferentNames(t *testing.T) {
	names := append(bridgeCounters(), "received", "bytes", "dropped_qos0", "acked", "repeats", "connects", "oversized")
	if got := testBridge(t, nil).Counters(); len(got) != len(names) {
		t.Errorf("%d counters for %d names", len(got), len(names))
	}
}
