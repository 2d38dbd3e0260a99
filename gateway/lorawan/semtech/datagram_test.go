package semtech

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"belfry/gateway/lorawan"
)

var head = []byte{2, 0x12, 0x34, 0, 0xb8, 0x27, 0xeb, 0xff, 0xfe, 1, 2, 3}

func headOf(version, kind byte) []byte {
	changed := bytes.Clone(head)
	changed[0], changed[3] = version, kind
	return changed
}

func TestTheHeadIsRead(t *testing.T) {
	for _, kind := range []Kind{PushData, PullData, TxAck} {
		d, err := Parse(headOf(2, byte(kind)))
		if err != nil || d.Kind != kind || d.Token != (Token{0x12, 0x34}) || d.Gateway.String() != "b827ebfffe010203" || len(d.Body) != 0 {
			t.Errorf("kind %d: got %+v, %v", kind, d, err)
		}
	}
	if d, err := Parse(append(bytes.Clone(head), "{}"...)); err != nil || string(d.Body) != "{}" {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestAHeadThatIsNoneIsRefusedWithAReason(t *testing.T) {
	for n := range len(head) {
		if _, err := Parse(head[:n]); err == nil || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%d bytes: got error %v", n, err)
		}
	}
	for _, c := range []struct {
		name, want string
		datagram   []byte
	}{
		{"version 1", "version 1 of the protocol, want 2", headOf(1, 0)},
		{"version 3", "version 3 of the protocol, want 2", headOf(3, 0)},
		{"what we send", "is not for a radio gateway", headOf(2, byte(PullResp))},
		{"unknown", "unknown identifier 6", headOf(2, 6)},
		{"PULL_DATA with a body", "2 bytes too many", append(headOf(2, byte(PullData)), "{}"...)},
		{"too large", "more than a datagram has", append(bytes.Clone(head), make([]byte, MaxDatagram)...)},
	} {
		if _, err := Parse(c.datagram); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestAcknowledgementsHaveFourBytes(t *testing.T) {
	if got := Acknowledge(PushAck, Token{0x12, 0x34}); !bytes.Equal(got, []byte{2, 0x12, 0x34, 1}) {
		t.Errorf("PUSH_ACK is % x", got)
	}
	if got := Acknowledge(PullAck, Token{0x12, 0x34}); !bytes.Equal(got, []byte{2, 0x12, 0x34, 4}) {
		t.Errorf("PULL_ACK is % x", got)
	}
}

func TestATransmissionIsWrittenAsThePacketForwarderReadsIt(t *testing.T) {
	for _, c := range []struct {
		send Transmission
		want string
	}{
		{Transmission{PHY: []byte("TEST_PACKET_1234"), Timestamp: 4294967295, Frequency: 868_100_000, Power: 14,
			DataRate: lorawan.DataRate{SpreadingFactor: 7, Bandwidth: 125}},
			`{"txpk":{"imme":false,"tmst":4294967295,"freq":868.1,"rfch":0,"powe":14,"modu":"LORA","datr":"SF7BW125","codr":"4/5",` +
				`"ipol":true,"ncrc":true,"size":16,"data":"VEVTVF9QQUNLRVRfMTIzNA=="}}`},
		{Transmission{PHY: []byte("TEST_PACKET_1234"), Frequency: 864_123_456, Power: -3, DataRate: lorawan.DataRate{BitRate: 50_000}},
			`{"txpk":{"imme":false,"tmst":0,"freq":864.123456,"rfch":0,"powe":0,"modu":"FSK","datr":50000,"fdev":25000,"prea":5,` +
				`"ncrc":false,"size":16,"data":"VEVTVF9QQUNLRVRfMTIzNA=="}}`},
	} {
		got, err := c.send.PullResp(Token{0x12, 0x34})
		if want := append([]byte{2, 0x12, 0x34, 3}, c.want...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
	for name, send := range map[string]Transmission{
		"no frame": {DataRate: lorawan.DataRate{BitRate: 50_000}},
		"long":     {PHY: make([]byte, maxPHY+1), DataRate: lorawan.DataRate{BitRate: 50_000}},
		"LR-FHSS":  {PHY: make([]byte, 12), DataRate: lorawan.DataRate{OccupiedWidth: 137_000}},
	} {
		if _, err := send.PullResp(Token{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFrequenciesAreExactBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hz := rapid.Uint32Range(1_000_000, 4_000_000_000).Draw(t, "Hz")
		frame := strings.Replace(goodFrame, "868.1", megahertz(hz), 1)
		push, err := ParsePush(pushOf(frame))
		if err != nil || len(push.Frames) != 1 || push.Frames[0].Frequency != hz {
			t.Fatalf("%d Hz, written %s, came back as %+v, %v", hz, megahertz(hz), push, err)
		}
	})
	if got := megahertz(868_000_000); got != "868" {
		t.Errorf("868 MHz is written as %s", got)
	}
}

func TestOutcomesAreRead(t *testing.T) {
	for _, c := range []struct {
		body string
		want Outcome
	}{
		{"", Outcome{}},
		{"\x00", Outcome{}},
		{`{"txpk_ack":{}}`, Outcome{}},
		{`{"txpk_ack":{"error":"NONE"}}`, Outcome{}},
		{`{"txpk_ack":{"error":"COLLISION_PACKET"}}`, Outcome{Refused: "COLLISION_PACKET"}},
		{`{"txpk_ack":{"error":"NEW_ONE"}}`, Outcome{Refused: OtherRefusal}},
		{`{"txpk_ack":{"warn":"TX_POWER", "value":20}}`, Outcome{Warned: true}},
	} {
		if got, err := ParseTxAck([]byte(c.body)); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v; want %+v", c.body, got, err, c.want)
		}
	}
	for _, refusal := range refusals {
		if got, err := ParseTxAck([]byte(`{"txpk_ack":{"error":"` + refusal + `"}}`)); err != nil || got.Refused != refusal {
			t.Errorf("%s: got %+v, %v", refusal, got, err)
		}
	}
	for _, body := range []string{`{`, `{}`, `[]`, `{"txpk_ack":[]}`, `{"txpk_ack":{"error":1}}`, `{"txpk_ack":{"error":"A","error":"B"}}`} {
		if got, err := ParseTxAck([]byte(body)); err == nil {
			t.Errorf("%s: got %+v, want an error", body, got)
		}
	}
}

func TestGPSTimeGoesBeforeTheOther(t *testing.T) {
	frame := change(`"tmst"`, `"time":"2099-01-01T00:00:00Z","tmms":1452445348412,"tmst"`)
	push, err := ParsePush(pushOf(frame))
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2026, time.January, 14, 17, 2, 10, 412_000_000, time.UTC)
	if got := push.Frames[0]; !got.Time.Equal(want) || !got.GPS {
		t.Errorf("got %s, by GPS %v, want %s", got.Time, got.GPS, want)
	}
	for written, want := range map[string]int{`"time":"2099-01-01T00:00:00Z"`: 2099, `"tmms":10000000000000`: 2296, `"tmms":0`: 1980} {
		push, err := ParsePush(pushOf(change(`"tmst"`, written+`,"tmst"`)))
		if err != nil || len(push.Frames) != 1 {
			t.Fatal(push, err)
		}
		if byGPS := strings.Contains(written, "tmms"); push.Frames[0].GPS != byGPS {
			t.Errorf("%s is by GPS: got %v", written, !byGPS)
		}
		if got := push.Frames[0].Time.Year(); written != `"tmms":0` && got != want || got < 1979 {
			t.Errorf("%s is in %d, want %d", written, got, want)
		}
	}
}
