package station

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	lora "github.com/brocaar/lorawan"
	"github.com/google/go-cmp/cmp"
)

// A line that a station logged, from a public description of a radio gateway with it.
const loggedData = `{"msgtype":"updf","MHdr":64,"DevAddr":11874832,"FCtrl":128,"FCnt":1296,"FOpts":"","FPort":2,
	"FRMPayload":"EF892139DAF173F4B91023FC1856702277375E797CF865FF","MIC":-1682518224,"RefTime":0.000000,"DR":5,
	"Freq":868100000,"upinfo":{"rctx":0,"xtime":51791395861065770,"gpstime":1355505632761772,"fts":687880518,"rssi":-45,
	"snr":13.75,"rxtime":1671470414.687880516}}`

// A frame and keys that the documentation of lora-packet and other libraries have, as a station passes the frame on.
const publishedData = `{"msgtype":"updf","MHdr":64,"DevAddr":1237220849,"FCtrl":0,"FCnt":2,"FOpts":"","FPort":1,
	"FRMPayload":"95437876","MIC":234819883,"DR":0,"Freq":868300000,"upinfo":{"rctx":1,"xtime":1,"gpstime":0,"rssi":-101,"snr":-7.25}}`

// The same for a join-request.
const publishedJoin = `{"msgtype":"jreq","MHdr":0,"JoinEui":"70-B3-D5-7E-D0-00-00-DC","DevEui":"00-AF-EE-7C-F5-ED-6F-1E",
	"DevNonce":52357,"MIC":334069592,"RefTime":1548059982.0,"DR":5,"Freq":868500000,"upinfo":{"rctx":9007199254740993,
	"xtime":-9223372036854775808,"gpstime":0,"rssi":-35,"snr":5.1,"rxtime":1548059982}}`

func parse(t *testing.T, text string) Message {
	t.Helper()
	message, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func TestDataFrameIsPutTogetherAgain(t *testing.T) {
	got := parse(t, loggedData)
	phy, _ := hex.DecodeString("401032b50080100502ef892139daf173f4b91023fc1856702277375e797cf865ff" + "30cfb69b")
	want := Message{Type: "updf", Uplink: &Uplink{
		PHY: phy, DataRate: 5, Frequency: 868_100_000, RSSI: -45, SNR: 13.75,
		Time:    time.Date(2022, 12, 19, 17, 20, 14, 761_772_000, time.UTC),
		Context: Context{XTime: 51791395861065770},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCodesOfPublishedFramesVerify(t *testing.T) {
	uplink := parse(t, publishedData).Uplink
	if got, want := hex.EncodeToString(uplink.PHY), "40f17dbe4900020001954378762b11ff0d"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var frame lora.PHYPayload
	if err := frame.UnmarshalBinary(uplink.PHY); err != nil {
		t.Fatal(err)
	}
	ok, err := frame.ValidateUplinkDataMIC(lora.LoRaWAN1_0, 0, 0, 0, aesKey(t, "44024241ed4ce9a68c6a8bc055233fd3"), lora.AES128Key{})
	if !ok || err != nil {
		t.Errorf("data frame: %v, %v", ok, err)
	}

	join := parse(t, publishedJoin).Uplink
	if got, want := hex.EncodeToString(join.PHY), "00dc0000d07ed5b3701e6fedf57ceeaf0085cc587fe913"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := frame.UnmarshalBinary(join.PHY); err != nil {
		t.Fatal(err)
	}
	if ok, err := frame.ValidateUplinkJoinMIC(aesKey(t, "b6b53f4a168a7a88bdf7ea135ce9cfca")); !ok || err != nil {
		t.Errorf("join-request: %v, %v", ok, err)
	}
	if want := (Context{RCtx: 9007199254740993, XTime: math.MinInt64}); join.Context != want {
		t.Errorf("got %+v, want %+v: all 64 bits must come back", join.Context, want)
	}
	if !join.Time.IsZero() {
		t.Errorf("got time %s of a station without GPS", join.Time)
	}
}

func aesKey(t *testing.T, text string) (key lora.AES128Key) {
	t.Helper()
	if err := key.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return key
}

func TestEveryShapeOfAFrameComesBack(t *testing.T) {
	const radio = `,"DR":5,"Freq":868100000,"upinfo":{}}`
	for _, c := range []struct{ name, members, want string }{
		{"signed address and code", `"DevAddr":-1,"FCtrl":0,"FCnt":65535,"FOpts":"","FPort":255,"FRMPayload":"","MIC":-2147483648`, "40ffffffff00ffffff00000080"},
		{"unsigned address and code", `"DevAddr":4294967295,"FCtrl":0,"FCnt":0,"FPort":0,"FRMPayload":"00","MIC":4294967295`, "40ffffffff0000000000ffffffff"},
		{"no port", `"DevAddr":1,"FCtrl":0,"FCnt":1,"FOpts":"","FPort":-1,"FRMPayload":"","MIC":1`, "400100000000010001000000"},
		{"no port and options", `"DevAddr":1,"FCtrl":130,"FCnt":1,"FOpts":"0Dff","FPort":-1,"FRMPayload":"","MIC":1`, "4001000000820100" + "0dff" + "01000000"},
		{"options and payload", `"DevAddr":1,"FCtrl":1,"FCnt":1,"FOpts":"02","FPort":7,"FRMPayload":"aB","MIC":1`, "4001000000010100" + "02" + "07ab" + "01000000"},
		{"longest", `"DevAddr":1,"FCtrl":0,"FCnt":1,"FPort":7,"FRMPayload":"` + strings.Repeat("11", 242) + `","MIC":1`,
			"4001000000000100" + "07" + strings.Repeat("11", 242) + "01000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := parse(t, `{"msgtype":"updf","MHdr":64,`+c.members+radio).Uplink
			if hex.EncodeToString(got.PHY) != c.want {
				t.Errorf("got %x, want %s", got.PHY, c.want)
			}
		})
	}
}

func TestIdentitiesOfAJoinComeInAnyForm(t *testing.T) {
	for _, form := range []string{
		`"JoinEui":"70b3:d57e:d000:dc","DevEui":"af:ee7c:f5ed:6f1e"`,
		`"JoinEui":8121069293711392988,"DevEui":49520341393698590`,
		`"JoinEUI":"70B3D57ED00000DC","DevEUI":"00afee7cf5ed6f1e"`,
	} {
		text := strings.Replace(publishedJoin, `"JoinEui":"70-B3-D5-7E-D0-00-00-DC","DevEui":"00-AF-EE-7C-F5-ED-6F-1E"`, form, 1)
		if got := hex.EncodeToString(parse(t, text).Uplink.PHY); got != "00dc0000d07ed5b3701e6fedf57ceeaf0085cc587fe913" {
			t.Errorf("%s: got %s", form, got)
		}
	}
	text := strings.Replace(publishedJoin, `"70-B3-D5-7E-D0-00-00-DC"`, `-2`, 1)
	if got := hex.EncodeToString(parse(t, text).Uplink.PHY[1:9]); got != "feffffffffffffff" {
		t.Errorf("negative JoinEui: got %s", got)
	}
	if got := hex.EncodeToString(parse(t, strings.Replace(publishedJoin, `"70-B3-D5-7E-D0-00-00-DC"`, `"::1"`, 1)).Uplink.PHY[1:9]); got != "0100000000000000" {
		t.Errorf("JoinEui ::1: got %s", got)
	}
}

func TestOtherMessagesAreTold(t *testing.T) {
	got := parse(t, `{"msgtype":"version","station":"2.0.6(linux/std)","firmware":"1.0","package":"2.1","model":"corecell","protocol":2,"features":"rmtsh gps"}`)
	want := Message{Type: "version", Version: &Version{
		Station: "2.0.6(linux/std)", Firmware: "1.0", Package: "2.1", Model: "corecell", Protocol: 2, Features: "rmtsh gps",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	parse(t, `{"msgtype":"version","station":null,"protocol":2,"features":["rmtsh"]}`)
	if got := parse(t, `{"msgtype":"timesync","txtime":1023024197000}`); got.TimeSync == nil || got.TimeSync.TxTime != 1023024197000 {
		t.Errorf("got %+v", got)
	}
	for _, text := range []string{
		`{"msgtype":"propdf","FRMPayload":"E0AABB","DR":5,"Freq":868100000,"upinfo":{}}`,
		`{"msgtype":"rejoin","MHdr":192,"JoinEui":"::1","DevEui":"::2","DevNonce":1,"MIC":1}`,
		`{"msgtype":"dntxed","diid":35,"DevEui":"::1","rctx":0,"xtime":1,"txtime":1.5,"gpstime":0}`,
		`{"msgtype":"tomorrow","DR":"anything"}`,
	} {
		if got := parse(t, text); got.Uplink != nil || got.Version != nil || got.TimeSync != nil || !strings.Contains(text, got.Type) {
			t.Errorf("%s: got %+v", text, got)
		}
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	data := func(old, changed string) string {
		if !strings.Contains(loggedData, old) {
			t.Fatalf("no %s in the message", old)
		}
		return strings.Replace(loggedData, old, changed, 1)
	}
	for name, text := range map[string]string{
		"nothing":              ``,
		"no JSON":              `hello`,
		"no object":            `[{"msgtype":"updf"}]`,
		"half an object":       loggedData[:100],
		"two objects":          `{"msgtype":"timesync","txtime":1}{}`,
		"no type":              `{"DR":5}`,
		"type is a number":     `{"msgtype":5}`,
		"two types":            `{"msgtype":"timesync","msgtype":"updf","txtime":1}`,
		"long type":            `{"msgtype":"` + strings.Repeat("a", 41) + `"}`,
		"too deep":             `{"msgtype":"x","a":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`,
		"very deep":            strings.Repeat("[", 60_000),
		"long text":            `{"msgtype":"x","a":"` + strings.Repeat("a", 1025) + `"}`,
		"too large":            `{"msgtype":"x"` + strings.Repeat(" ", MaxMessage) + `}`,
		"twice":                data(`"DR":5`, `"DR":5,"DR":5`),
		"no rate":              data(`"DR":5,`, ``),
		"no frequency":         data(`"Freq":868100000`, `"Freq":null`),
		"no radio":             data(`"upinfo"`, `"info"`),
		"no header":            data(`"MHdr":64,`, ``),
		"no address":           data(`"DevAddr":11874832,`, ``),
		"no code":              data(`"MIC":-1682518224,`, ``),
		"rate 16":              data(`"DR":5`, `"DR":16`),
		"negative rate":        data(`"DR":5`, `"DR":-1`),
		"frequency 0":          data(`868100000`, `0`),
		"frequency of 33 bits": data(`868100000`, `4294967296`),
		"header of 9 bits":     data(`"MHdr":64`, `"MHdr":256`),
		"address of 33 bits":   data(`11874832`, `4294967296`),
		"address below 32":     data(`11874832`, `-2147483649`),
		"address is a text":    data(`11874832`, `"00B53210"`),
		"counter of 17 bits":   data(`1296`, `65536`),
		"port 256":             data(`"FPort":2`, `"FPort":256`),
		"port -2":              data(`"FPort":2`, `"FPort":-2`),
		"payload, no port":     data(`"FPort":2`, `"FPort":-1`),
		"options that are not": data(`"FCtrl":128`, `"FCtrl":129`),
		"unsaid options":       data(`"FOpts":""`, `"FOpts":"02"`),
		"16 bytes of options":  data(`"FOpts":""`, `"FOpts":"`+strings.Repeat("00", 16)+`"`),
		"odd hex":              data(`"EF89`, `"F89`),
		"no hex":               data(`"EF89`, `"XX89`),
		"frame too long":       data(`EF89`, strings.Repeat("00", 232)),
		"payload too long":     data(`EF89`, strings.Repeat("00", 256)),
		"rssi is a text":       data(`-45`, `"-45"`),
		"rssi out of all":      data(`-45`, `1e300`),
		"snr too large":        data(`13.75`, `1e999`),
		"xtime of 64 bits":     data(`51791395861065770`, `9223372036854775808`),
		"GPS time below 0":     data(`1355505632761772`, `-1`),
		"upinfo is a list":     `{"msgtype":"updf","MHdr":64,"upinfo":[]}`,
		"nonce of 17 bits":     strings.Replace(publishedJoin, `52357`, `65536`, 1),
		"no nonce":             strings.Replace(publishedJoin, `"DevNonce":52357,`, ``, 1),
		"no EUI":               strings.Replace(publishedJoin, `"70-B3`, `"70-B`, 1),
		"EUI is a fraction":    strings.Replace(publishedJoin, `"70-B3-D5-7E-D0-00-00-DC"`, `1.5`, 1),
		"EUI of 65 bits":       strings.Replace(publishedJoin, `"70-B3-D5-7E-D0-00-00-DC"`, `18446744073709551616`, 1),
		"EUI in two spellings": strings.Replace(publishedJoin, `"DevEui"`, `"JoinEUI":1,"DevEui"`, 1),
		"no txtime":            `{"msgtype":"timesync"}`,
		"txtime is a text":     `{"msgtype":"timesync","txtime":"1"}`,
		"protocol is a text":   `{"msgtype":"version","protocol":"2"}`,
	} {
		if message, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, message)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: error of %d bytes", name, len(err.Error()))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		loggedData, publishedData, publishedJoin, `{"msgtype":"timesync","txtime":1023024197000}`,
		`{"msgtype":"version","station":"2.0.6","firmware":"1","package":"1","model":"corecell","protocol":2,"features":"gps"}`,
		`{"msgtype":"propdf","FRMPayload":"E0AABB","DR":5,"Freq":868100000,"upinfo":{}}`, `{"msgtype":"dntxed","diid":35}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		message, err := Parse(text)
		if err != nil {
			return
		}
		if message.Type == "" {
			t.Error("a message without a type")
		}
		if uplink := message.Uplink; uplink != nil && (len(uplink.PHY) < 12 || len(uplink.PHY) > maxPHY || uplink.DataRate > 15 || uplink.Frequency == 0) {
			t.Errorf("impossible uplink %+v", uplink)
		}
	})
}
