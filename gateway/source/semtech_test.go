package source_test

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"belfry/gateway/gatewaytest"
	"belfry/gateway/source"
)

func TestAPushIsAcknowledgedOnlyOnceItIsHeld(t *testing.T) {
	r := newRoof(t, nil)
	receiver := gatewaytest.NewReceiver(true)
	gatewaytest.Run(t, r, receiver)
	a := r.antenna(roofEUI, "127.0.0.1")
	phy := r.meter.frame(t)
	token := a.send(pushData, pushBody(1, phy))
	uplinks := receiver.WaitFor(t, 1)
	if got := uplinks[0]; string(got.Payload) != "reading 0" || got.Device != "70b3d5e75e000001" || got.Link == nil {
		t.Errorf("got %+v", got)
	}
	a.alive()
	a.sendAs(pushData, token, pushBody(1, phy)) // it has heard nothing, and sends again
	r.wait("repeated_datagrams", 1)
	a.alive()
	receiver.Done(nil)
	a.expect(pushAck, token)
	a.alive()
	a.sendAs(pushData, token, pushBody(1, phy)) // the acknowledgement was lost
	a.expect(pushAck, token)
	if got := len(receiver.Uplinks()); got > 2 {
		t.Errorf("%d uplinks of one frame", got)
	}
}

func TestAPushThatCouldNotBeHeldIsNotAcknowledged(t *testing.T) {
	r := newRoof(t, nil)
	receiver := gatewaytest.NewReceiver(true)
	running := gatewaytest.Run(t, r, receiver)
	a := r.antenna(roofEUI, "127.0.0.1")
	body := pushBody(1, r.meter.frame(t))
	token := a.send(pushData, body)
	receiver.WaitFor(t, 1)
	full := errors.New("disk full")
	receiver.Done(full)
	if err := running.Ended(t); !errors.Is(err, full) {
		t.Errorf("run ended with %v, want %v", err, full)
	}
	a.quiet()

	receiver = gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, r, receiver)
	a.sendAs(pushData, token, body)
	a.expect(pushAck, token)
}

func TestWhatHasNoFrameOfUseIsAcknowledgedAtOnce(t *testing.T) {
	r := newRoof(t, nil)
	receiver := gatewaytest.NewReceiver(true)
	gatewaytest.Run(t, r, receiver)
	a := r.antenna(roofEUI, "127.0.0.1")
	for _, c := range []struct{ counter, body string }{
		{"gateway_stats", `{"stat":{"rxnb":2}}`},
		{"bad_crc", pushBody(-1, r.meter.frame(t))},
		{"faulty_frames", `{"rxpk":[{"freq":868.1}]}`},
		{"malformed_bodies", `{"rxpk":[NaN]}`},
	} {
		token := a.send(pushData, c.body)
		a.expect(pushAck, token)
		r.wait(c.counter, 1)
	}
	if got := receiver.Uplinks(); len(got) > 0 {
		t.Errorf("%d uplinks of nothing", len(got))
	}
}

func TestABadFrameCostsNoneBesideItInADatagram(t *testing.T) {
	r := newRoof(t, nil)
	receiver := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, r, receiver)
	a := r.antenna(roofEUI, "127.0.0.1")
	body := strings.Replace(pushBody(1, r.meter.frame(t), r.meter.frame(t)), `},{`, `},{"freq":1},{`, 1)
	a.expect(pushAck, a.send(pushData, body))
	receiver.WaitFor(t, 2)
	r.wait("faulty_frames", 1)
}

func TestStrangersGetNoAnswerAndNoParsing(t *testing.T) {
	r := newRoof(t, func(o *source.SemtechOptions) {
		o.Gateways = []source.ForwarderOptions{{EUI: roofEUI, Address: "127.0.0.0/31"}}
	})
	receiver := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, r, receiver)
	strangers := []*antenna{r.antenna(otherEUI, "127.0.0.1"), r.antenna(roofEUI, "127.0.0.2")}
	for _, a := range strangers {
		a.send(pushData, pushBody(1, r.meter.frame(t)))
		a.send(pushData, "{")
		a.send(pullData, "")
		a.send(txAck, "")
	}
	r.wait("strangers", 8)
	r.antenna(roofEUI, "127.0.0.1").alive()
	for _, a := range strangers {
		a.quiet()
	}
	if got := r.Counters(); got["malformed_bodies"]+got["push_data"]+got["send_failed"] > 0 || len(receiver.Uplinks()) > 0 {
		t.Errorf("strangers were listened to: %v", got)
	}
	gatewaytest.WaitFor(t, 5*time.Second, "a line in the log", func() bool { return r.log.count("not in the list") > 0 })
	if got := r.log.count("not in the list"); got != 1 {
		t.Errorf("%d lines in the log, want 1", got)
	}
}

func TestNobodyTakesOverWhereAnswersGo(t *testing.T) {
	r := newRoof(t, nil)
	var passed atomic.Int64
	began := time.Now()
	source.SetClock(r.Source, func() time.Time { return began.Add(time.Duration(passed.Load())) })
	running := gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	real, forger := r.antenna(roofEUI, "127.0.0.1"), r.antenna(roofEUI, "127.0.0.1")
	real.alive()
	for n := range uint64(3) {
		forger.send(pullData, "")
		r.wait("pull_refused", n+1)
		passed.Add(int64(29 * time.Second))
		real.alive()
	}
	forger.quiet()

	running.Stop(t) // a new run does not forget
	running = gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	forger.send(pullData, "")
	r.wait("pull_refused", 4)

	passed.Add(int64(31 * time.Second))
	forger.alive() // the radio gateway has another address now
	real.send(pullData, "")
	r.wait("pull_refused", 5)
	real.quiet()
	running.Stop(t)
	if got := r.log.count("another address asks"); got < 1 || got > 3 {
		t.Errorf("%d lines about others who ask, want a line a minute", got)
	}
	if got := r.log.count("listens at another address"); got != 1 {
		t.Errorf("%d lines about the new address, want 1", got)
	}
}

func TestMalformedDatagramsOfAllKindsAreSurvived(t *testing.T) {
	r := newRoof(t, nil)
	receiver := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, r, receiver)
	a := r.antenna(roofEUI, "127.0.0.1")
	head := append([]byte{2, 0, 1, pushData}, a.eui...)
	malformed := uint64(0)
	for n := range head {
		a.raw(head[:n])
		malformed++
	}
	for _, version := range []byte{0, 1, 3, 255} {
		a.raw(append([]byte{version}, head[1:]...))
		malformed++
	}
	r.wait("malformed_datagrams", malformed)
	a.quiet()
	bodies := []string{
		"", "{", "[]", `{"rxpk":[{"lsnr":NaN}]}`, `{"rxpk":[],"rxpk":[]}`,
		strings.Repeat("[", 10_000), `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}",
		`{"rxpk":[` + strings.Repeat("{},", 10_000) + `{}]}`, strings.Repeat(" ", 65_507-12),
	}
	for _, body := range bodies {
		a.expect(pushAck, a.send(pushData, body)) // not to be sent again
	}
	a.send(txAck, "{")
	r.wait("malformed_bodies", uint64(len(bodies))+1)
	a.expect(pushAck, a.send(pushData, pushBody(1, r.meter.frame(t))))
	receiver.WaitFor(t, 1)
}

func TestWithoutDownlinkNothingIsSentButAcknowledgements(t *testing.T) {
	r := newRoof(t, nil)
	r.meter.confirmed = true
	gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	a := r.antenna(roofEUI, "127.0.0.1")
	a.alive()
	for range 3 {
		a.expect(pushAck, a.send(pushData, pushBody(1, r.meter.frame(t))))
	}
	a.alive()
	a.quiet()
	if got := r.Counters(); got["downlinks_sent"] != 0 || got["push_acks"] != 3 || got["pull_acks"] != 2 {
		t.Errorf("counters %v", got)
	}
}

func TestARefusedAnswerIsTriedInTheSecondWindow(t *testing.T) {
	r := newRoof(t, func(o *source.SemtechOptions) { o.Downlink = true })
	r.meter.confirmed = true
	gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	up, down, forger := r.antenna(roofEUI, "127.0.0.1"), r.antenna(roofEUI, "127.0.0.1"), r.antenna(roofEUI, "127.0.0.1")
	down.alive()
	pushed := up.send(pushData, pushBody(1, r.meter.frame(t)))

	token, first := down.answer()
	want := map[string]string{
		"imme": "false", "tmst": "32704", "freq": "868.1", "rfch": "0", "modu": "LORA", "datr": "SF7BW125",
		"codr": "4/5", "ipol": "true",
	}
	for key, value := range want {
		if got := first.Get(key).String(); got != value {
			t.Errorf("first window: %s is %s, want %s", key, got, value)
		}
	}
	up.expect(pushAck, pushed)

	forger.sendAs(txAck, token, `{"txpk_ack":{"error":"TOO_LATE"}}`)
	down.sendAs(txAck, token+1, `{"txpk_ack":{"error":"TOO_LATE"}}`)
	r.wait("tx_ack_unexpected", 2)
	down.sendAs(txAck, token, `{"txpk_ack":{"error":"COLLISION_PACKET"}}`)
	token, second := down.answer()
	for key, value := range map[string]string{"tmst": "1032704", "freq": "869.525", "datr": "SF12BW125"} {
		if got := second.Get(key).String(); got != value {
			t.Errorf("second window: %s is %s, want %s", key, got, value)
		}
	}
	if first.Get("data").String() != second.Get("data").String() {
		t.Error("the frame is another")
	}
	down.sendAs(txAck, token, `{"txpk_ack":{"error":"NONE"}}`)
	r.wait("downlinks_accepted", 1)
	for name, want := range map[string]uint64{
		"downlinks_sent": 2, "downlinks_retried": 1, "downlinks_refused_collision_packet": 1, "downlinks_refused_too_late": 0,
	} {
		r.wait(name, want)
	}
}

// answer returns the next PULL_RESP.
func (a *antenna) answer() (token uint16, txpk gjson.Result) {
	a.t.Helper()
	kind, token, body := a.receive()
	if kind != pullResp || !gjson.ValidBytes(body) {
		a.t.Fatalf("got kind %d: %s", kind, body)
	}
	return token, gjson.GetBytes(body, "txpk")
}

func TestWithoutAWayToTheRadioGatewayNothingIsSent(t *testing.T) {
	r := newRoof(t, func(o *source.SemtechOptions) { o.Downlink = true })
	r.meter.confirmed = true
	gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	a := r.antenna(roofEUI, "127.0.0.1")
	a.expect(pushAck, a.send(pushData, pushBody(1, r.meter.frame(t))))
	r.wait("answers_failed", 1)
	a.alive()
	if got := r.Counters()["downlinks_sent"]; got != 0 {
		t.Errorf("%d downlinks were sent somewhere", got)
	}
}

func TestARadioGatewayThatSendsTooMuchIsSlowedDown(t *testing.T) {
	r := newRoof(t, func(o *source.SemtechOptions) {
		o.Rate = 1
		o.Gateways = append(o.Gateways, source.ForwarderOptions{EUI: otherEUI})
	})
	began := time.Now()
	source.SetClock(r.Source, func() time.Time { return began })
	gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	greedy, modest := r.antenna(roofEUI, "127.0.0.1"), r.antenna(otherEUI, "127.0.0.1")
	for range 20 {
		greedy.send(pullData, "")
	}
	r.wait("over_rate", 15)
	modest.alive()
}

func TestSilenceOfARadioGatewayIsToldOnceEachWay(t *testing.T) {
	r := newRoof(t, func(o *source.SemtechOptions) {
		o.Gateways = append(o.Gateways, source.ForwarderOptions{EUI: otherEUI})
	})
	var passed atomic.Int64
	began := time.Now()
	source.SetClock(r.Source, func() time.Time { return began.Add(time.Duration(passed.Load())) })
	running := gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	told := func(what string, roof, other int) {
		t.Helper()
		gatewaytest.WaitFor(t, 5*time.Second, "the log to tell that it is "+what, func() bool {
			return r.log.count("is "+what+`" gateway=`+roofEUI) == roof && r.log.count("is "+what+`" gateway=`+otherEUI) == other
		})
	}
	a := r.antenna(roofEUI, "127.0.0.1")
	a.alive()
	told("heard", 1, 0)
	passed.Add(int64(6 * time.Minute))
	told("silent", 1, 1)
	a.alive()
	told("heard", 2, 0)
	running.Stop(t)
	told("silent", 1, 1)
	if got := r.log.count("last=never"); got != 1 {
		t.Errorf("%d radio gateways were never heard, want 1", got)
	}
}

func TestRadioGatewaysFindTheSourceAgainAndNothingIsLeft(t *testing.T) {
	before := goleak.IgnoreCurrent()
	r := newRoof(t, nil)
	a := r.antenna(roofEUI, "127.0.0.1")
	for range 3 {
		receiver := gatewaytest.NewReceiver(true) // something is always in flight at the end
		running := gatewaytest.Run(t, r, receiver)
		a.alive()
		a.send(pushData, pushBody(1, r.meter.frame(t)))
		receiver.WaitFor(t, 1)
		running.Stop(t)
		a.quiet()
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func TestAPortThatIsTakenEndsTheRun(t *testing.T) {
	r := newRoof(t, nil)
	gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	second := newRoof(t, func(o *source.SemtechOptions) { o.Listen = r.listen })
	running := gatewaytest.Begin(t, second, gatewaytest.NewReceiver(false))
	if err := running.Ended(t); err == nil || !strings.Contains(err.Error(), r.listen) {
		t.Errorf("run ended with %v, want an error that names %s", err, r.listen)
	}
}

func TestAnAnswerThatIsNeverConfirmedIsForgotten(t *testing.T) {
	r := newRoof(t, func(o *source.SemtechOptions) { o.Downlink = true })
	r.meter.confirmed = true
	var passed atomic.Int64
	began := time.Now()
	source.SetClock(r.Source, func() time.Time { return began.Add(time.Duration(passed.Load())) })
	gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	a := r.antenna(roofEUI, "127.0.0.1")
	a.alive()
	a.send(pushData, pushBody(1, r.meter.frame(t)))
	var token uint16
	for kind := byte(pushAck); kind != pullResp; {
		kind, token, _ = a.receive()
	}
	passed.Add(int64(11 * time.Second))
	r.wait("downlinks_unanswered", 1)
	a.sendAs(txAck, token, `{"txpk_ack":{"error":"TOO_LATE"}}`)
	r.wait("tx_ack_unexpected", 1)
	if got := r.Counters()["downlinks_sent"]; got != 1 {
		t.Errorf("%d downlinks were sent, want 1", got)
	}
}

func TestARefusalThatComesTooLateIsTheEndOfAnAnswer(t *testing.T) {
	r := newRoof(t, func(o *source.SemtechOptions) { o.Downlink = true })
	r.meter.confirmed = true
	var passed atomic.Int64
	began := time.Now()
	source.SetClock(r.Source, func() time.Time { return began.Add(time.Duration(passed.Load())) })
	running := gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
	up, down := r.antenna(roofEUI, "127.0.0.1"), r.antenna(roofEUI, "127.0.0.1")
	down.alive()
	up.send(pushData, pushBody(1, r.meter.frame(t)))
	token, _ := down.answer()
	passed.Add(int64(2 * time.Second)) // the second window is over
	down.sendAs(txAck, token, `{"txpk_ack":{"error":"TOO_LATE"}}`)
	r.wait("downlinks_refused_too_late", 1)
	down.alive()
	running.Stop(t)
	if got := r.Counters(); got["downlinks_sent"] != 1 || got["downlinks_retried"] != 0 || r.log.count("refused to send") != 1 {
		t.Errorf("counters %v, %d lines", got, r.log.count("refused to send"))
	}
}

func TestIPv4IsHeardOnAllAddressesAsWritten(t *testing.T) {
	for _, c := range []struct {
		host string
		ipv6 bool
	}{{"0.0.0.0", false}, {"[::]", true}} {
		t.Run(c.host, func(t *testing.T) {
			r := newRoof(t, func(o *source.SemtechOptions) {
				o.Listen = strings.Replace(o.Listen, "127.0.0.1", c.host, 1)
				o.Gateways = []source.ForwarderOptions{{EUI: roofEUI, Address: "127.0.0.1"}, {EUI: otherEUI, Address: "::1"}}
			})
			gatewaytest.Run(t, r, gatewaytest.NewReceiver(false))
			r.antenna(roofEUI, "127.0.0.1").alive()
			_, port, _ := net.SplitHostPort(r.listen)
			socket, err := net.Dial("udp6", "[::1]:"+port)
			if err != nil {
				t.Skip(err)
			}
			defer socket.Close()
			if _, err := socket.Write([]byte{2, 0, 1, pullData, 0xb8, 0x27, 0xeb, 0xff, 0xfe, 1, 2, 0xff}); err != nil {
				t.Fatal(err)
			}
			wait := 50 * time.Millisecond
			if c.ipv6 {
				wait = 10 * time.Second
			}
			_ = socket.SetReadDeadline(time.Now().Add(wait))
			space := make([]byte, 16)
			if n, err := socket.Read(space); (err == nil && n == 4) != c.ipv6 {
				t.Errorf("over IPv6 came %d bytes, %v", n, err)
			}
		})
	}
}
