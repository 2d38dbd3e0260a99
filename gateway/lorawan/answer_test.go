package lorawan

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/brocaar/lorawan"
)

// answer reads a downlink as the device does and returns its MAC commands.
func (u *unit) answer(t testing.TB, packed []byte, counter, confirmed uint32) (ack bool, commands []*lorawan.MACCommand) {
	t.Helper()
	var phy lorawan.PHYPayload
	check(phy.UnmarshalBinary(packed))
	mac := phy.MACPayload.(*lorawan.MACPayload)
	if phy.MHDR.MType != lorawan.UnconfirmedDataDown || mac.FHDR.DevAddr != u.address || mac.FHDR.FCnt != counter || mac.FPort != nil {
		t.Errorf("got %s for %s with counter %d, want it for %s with %d", phy.MHDR.MType, mac.FHDR.DevAddr, mac.FHDR.FCnt, u.address, counter)
	}
	ack = mac.FHDR.FCtrl.ACK
	if ok, err := phy.ValidateDownlinkDataMIC(u.version, confirmed, u.serve); err != nil || !ok {
		t.Errorf("downlink %d is not signed (%v)", counter, err)
	}
	if u.version == lorawan.LoRaWAN1_1 {
		check(phy.DecryptFOpts(u.encrypt))
	} else {
		check(phy.DecodeFOptsToMACCommands())
	}
	for _, option := range phy.MACPayload.(*lorawan.MACPayload).FHDR.FOpts {
		command, ok := option.(*lorawan.MACCommand)
		if !ok {
			t.Fatalf("option %T", option)
		}
		commands = append(commands, command)
	}
	return ack, commands
}

// sent waits for the n-th downlink.
func (r *radio) sentFrame(n int) sentFrame {
	r.t.Helper()
	r.wait("a downlink", func() bool { return len(r.Sent()) >= n })
	return r.Sent()[n-1]
}

func TestConfirmedUplinksAreAcknowledgedAlsoWhenRepeated(t *testing.T) {
	eachVersion(t, func(t *testing.T, modern bool) {
		u, d := otaa(1, modern)
		r := start(t, newGround(), nil, d)
		r.join(u)
		u.confirmed = true
		for i := range uint32(3) {
			r.hear(u.send(3, "x"))
			if ack, commands := u.answer(t, r.sentFrame(int(2+i)).PHY, i, i); !ack || len(commands) > 0 {
				t.Errorf("got ack %v, commands %v", ack, commands)
			}
		}
		r.network.devices[d.DevEUI].answered.Store(0)
		again := u.frame(2, 3, []byte("x"))
		r.hear(again)
		if ack, _ := u.answer(t, r.sentFrame(5).PHY, 3, 2); !ack {
			t.Error("the repeated frame is not acknowledged")
		}
		r.hear(again) // at once: somebody else repeats it
		if len(r.Uplinks()) != 4 || len(r.Sent()) != 5 {
			t.Errorf("%d uplinks, %d downlinks, want 4 and 5", len(r.Uplinks()), len(r.Sent()))
		}
	})
}

func TestLinkCheckAndDeviceTimeAreAnswered(t *testing.T) {
	eachVersion(t, func(t *testing.T, modern bool) {
		u, d := otaa(1, modern)
		r := start(t, newGround(), func(o *Options) { o.Collect = 50 * time.Millisecond }, d)
		r.join(u)
		u.commands = []lorawan.Payload{&lorawan.MACCommand{CID: lorawan.LinkCheckReq}, &lorawan.MACCommand{CID: lorawan.DeviceTimeReq}}
		frame := u.send(3, "x")
		at := time.Now().Add(-123 * time.Millisecond)
		one, two := r.heardBy(1, frame), r.heardBy(2, frame)
		one.Time = at.Add(-time.Second) // by no GPS
		two.Time, two.GPS = at, true
		if err := r.receive(one, two); err != nil {
			t.Fatal(err)
		}
		ack, commands := u.answer(t, r.sentFrame(2).PHY, 0, 0)
		if ack || len(commands) != 2 {
			t.Fatalf("got ack %v, commands %v", ack, commands)
		}
		if check := commands[0].Payload.(*lorawan.LinkCheckAnsPayload); check.GwCnt != 2 || check.Margin != 15 {
			t.Errorf("got %+v, want 2 gateways and a margin of 15 dB (SNR 8, SF7 reads -7.5)", check)
		}
		const ahead = 18 * time.Second
		epoch := time.Date(1980, 1, 6, 0, 0, 0, 0, time.UTC)
		told := epoch.Add(commands[1].Payload.(*lorawan.DeviceTimeAnsPayload).TimeSinceGPSEpoch - ahead)
		if off := told.Sub(at).Abs(); off > 5*time.Millisecond {
			t.Errorf("the time is off by %s", off)
		}
		window := r.sentFrame(2).Windows[0]
		if window.Delay != time.Second || window.Frequency != 868_100_000 {
			t.Errorf("got window %+v", window)
		}
	})
}

func TestDeviceOf11IsToldThatItsKeysAreNew(t *testing.T) {
	u, d := otaa(1, true)
	r := start(t, newGround(), nil, d)
	r.join(u)
	u.commands = []lorawan.Payload{&lorawan.MACCommand{CID: lorawan.RekeyInd, Payload: &lorawan.RekeyIndPayload{DevLoRaWANVersion: lorawan.Version{Minor: 1}}}}
	r.hear(u.send(3, "x"))
	_, commands := u.answer(t, r.sentFrame(2).PHY, 0, 0)
	if len(commands) != 1 || commands[0].CID != lorawan.RekeyConf {
		t.Errorf("got %v, want RekeyConf", commands)
	}
}

func TestDeviceThatAsksForAnySignOfLifeGetsOne(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	u.adr = true
	r.hear(u.send(3, "x"))
	u.adrAsks = true
	r.hear(u.send(3, "y"))
	if ack, commands := u.answer(t, r.sentFrame(1).PHY, 0, 0); ack || len(commands) > 0 {
		t.Errorf("got ack %v, commands %v, want an empty frame", ack, commands)
	}
	if len(r.Sent()) != 1 {
		t.Errorf("%d downlinks, want 1", len(r.Sent()))
	}
}

func TestCommandsAreReadUpToTheFirstThatIsNotKnown(t *testing.T) {
	f := dataFrame{}
	if w := f.wishes(lorawan.LoRaWAN1_0, []byte{0x03, 0x07, 0x7f, 0x02}); w.any() {
		t.Errorf("got %+v from behind an unknown command", w)
	}
	if w := f.wishes(lorawan.LoRaWAN1_0, []byte{0x03, 0x07, 0x02}); !w.linkCheck {
		t.Error("LinkCheckReq behind LinkADRAns is not read")
	}
	if w := f.wishes(lorawan.LoRaWAN1_0, []byte{0x06, 0x02}); w.any() {
		t.Errorf("got %+v from a command that is cut off", w)
	}
}

func TestNothingIsSentThatTheSourceDoesNotAllow(t *testing.T) { // N8
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	r.feed.Downlink = false
	u.confirmed = true
	r.hear(u.send(3, "x"))
	r.hear(u.send(3, "y"))
	if len(r.Uplinks()) != 2 || len(r.Sent()) != 0 || r.Counted(countAnswers) != 0 {
		t.Errorf("%d uplinks, %d downlinks, want 2 and none", len(r.Uplinks()), len(r.Sent()))
	}
	if down := r.network.devices[d.DevEUI].record(r.State).active.down; down != 0 {
		t.Errorf("%d downlink counters are used", down)
	}
}

// slowWindows are those of a device far away.
func slowWindows(*Reception) []Window {
	return []Window{
		{time.Second, 868_100_000, DataRate{SpreadingFactor: 12, Bandwidth: 125}, 14},
		{2 * time.Second, 869_525_000, DataRate{SpreadingFactor: 12, Bandwidth: 125}, 27},
	}
}

func senders(received time.Time, gateways ...string) []heard {
	var all []heard
	for _, name := range gateways {
		all = append(all, heard{Reception: Reception{Gateway: name, Received: received, Transmit: func(Downlink) error { return nil }}})
	}
	return all
}

func TestTimeOnAirIsLimitedAsTheBandSays(t *testing.T) {
	region := start(t, newGround(), nil).network.Region()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b budgets
	onAir := map[uint32]time.Duration{}
	for i := range 1000 {
		attempts := b.attempts(region, senders(now.Add(time.Duration(i)*time.Hour), "a"), slowWindows, 33, now) // never busy
		if len(attempts) > 0 {
			b.spend(&attempts[0], 33, now)
			onAir[attempts[0].windows[0].Frequency] += timeOnAir(attempts[0].windows[0].DataRate, 33)
		}
	}
	if first := onAir[868_100_000]; first < 33*time.Second || first > 36*time.Second {
		t.Errorf("the first window is on air for %s in an hour, want up to 36 s", first)
	}
	if second := onAir[869_525_000]; second < 350*time.Second || second > 360*time.Second {
		t.Errorf("the second window is on air for %s in an hour, want up to 360 s", second)
	}
	if len(b.attempts(region, senders(now, "a"), slowWindows, 33, now)) != 0 || len(b.attempts(region, senders(now, "b"), slowWindows, 33, now)) != 2 {
		t.Error("the budget is not each gateway's own")
	}
	later := now.Add(10 * time.Minute)
	if attempts := b.attempts(region, senders(later, "a"), slowWindows, 33, later); len(attempts) != 2 || len(attempts[0].windows) != 2 {
		t.Error("the budget does not come back")
	}
}

func TestAnswersAtOneTimeAreSpreadOverTheGateways(t *testing.T) {
	region := start(t, newGround(), nil).network.Region()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b budgets
	var got []string
	for range 5 {
		attempts := b.attempts(region, senders(now, "near", "far"), slowWindows, 33, now)
		b.spend(&attempts[0], 33, now)
		got = append(got, fmt.Sprintf("%s %s", attempts[0].heard.Gateway, attempts[0].windows[0].Delay))
	}
	// At SF12 both windows overlap: whoever sends in the first is not free in the second.
	want := []string{"near 1s", "far 1s", "near 1s", "near 1s", "near 1s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	soon := now.Add(10 * time.Second)
	if attempts := b.attempts(region, senders(soon, "near", "far"), slowWindows, 33, soon); attempts[0].heard.Gateway != "near" || attempts[0].busy {
		t.Error("a gateway is busy for ever")
	}
	if len(b.busy) > 2 {
		t.Errorf("%d gateways are remembered", len(b.busy))
	}
}

func TestAnswersThatTheBandForbidsAreNotSent(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	u.confirmed = true
	for i := range subBands {
		r.network.budgets.accountLocked("0000000000000001", subBands[i].from, time.Now()).left = 0
	}
	r.hear(u.send(3, "x"))
	r.wait("the answer to be given up", func() bool { return r.Counted(countAnswerAirtime) == 1 })
	if len(r.Sent()) != 0 {
		t.Error("it was sent all the same")
	}
}

func TestSourceThatMaySendAnswersWhatAnotherHeardFirst(t *testing.T) {
	joining, otaaDevice := otaa(1, false)
	talking, abpDevice := abp(2, 0x01020304)
	talking.confirmed = true
	r := start(t, newGround(), func(o *Options) { o.Collect = 50 * time.Millisecond }, otaaDevice, abpDevice)
	deaf := r.network.NewFeed(FeedOptions{Source: "listens", Emit: r.emit, Count: r.count})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = deaf.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	for i, phy := range [][]byte{joining.request(), talking.send(3, "x")} {
		first := r.heardBy(1, phy)
		first.Transmit = nil
		deaf.Receive([]Reception{first}, func(error) {})
		if err := r.receive(r.heardBy(2, phy)); err != nil {
			t.Fatal(err)
		}
		r.wait("an answer", func() bool { return len(r.Sent()) == i+1 })
	}
}

func TestRepeatedFrameIsAnsweredAlsoWhenTheClockWasSetBack(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	u.confirmed = true
	frame := u.send(3, "x")
	r.hear(frame)
	r.sentFrame(1)
	r.network.devices[d.DevEUI].answered.Store(time.Now().Add(time.Hour).UnixNano())
	r.hear(frame)
	r.sentFrame(2)
}

func TestWhatAGatewayKeptWhileItWasCutOffIsNotAnswered(t *testing.T) {
	joining, joins := otaa(1, false)
	u, d := abp(2, 0x01020304)
	u.confirmed = true
	r := start(t, newGround(), nil, joins, d)
	hear := func(phy []byte, late time.Duration, gateways ...int) {
		t.Helper()
		var all []Reception
		for _, number := range gateways {
			heard := r.heardBy(number, phy)
			heard.Time = heard.Received
			if number == 1 {
				heard.Time = heard.Received.Add(-late)
			}
			all = append(all, heard)
		}
		if err := r.receive(all...); err != nil {
			t.Fatal(err)
		}
	}
	hear(u.send(3, "kept"), time.Hour, 1)
	hear(joining.request(), time.Hour-10*time.Second, 1)
	if len(r.Uplinks()) != 1 || len(r.Sent()) != 0 || r.Counted(countJoinLate) != 1 {
		t.Errorf("%d uplinks, %d downlinks, counts %v; want the reading and no answer", len(r.Uplinks()), len(r.Sent()), r.counts)
	}
	if down := r.network.devices[d.DevEUI].record(r.State).active.down; down != 0 {
		t.Errorf("%d downlink counters are used", down)
	}
	hear(u.send(3, "heard by another in time"), time.Minute, 1, 2)
	if sent := r.sentFrame(1); sent.gateway != "0000000000000002" {
		t.Errorf("answered through %s", sent.gateway)
	}
	hear(joining.request(), 4*time.Second, 1) // the device listens 5 and 6 seconds after
	r.sentFrame(2)
	hear(u.send(3, "a clock that is wrong"), 1000*time.Second, 1)
	hear(u.send(3, "a clock that is wrong"), 1000*time.Second+200*time.Millisecond, 1)
	r.sentFrame(3)
}
