package lorawan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brocaar/lorawan"
	"go.uber.org/goleak"

	"belfry/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNothingIsSettledBeforeItIsHeld(t *testing.T) {
	u, d := abp(1, 0x01020304)
	g := newGround()
	g.hold = make(chan struct{})
	r := start(t, g, nil, d)
	var settled atomic.Bool
	done := make(chan error, 1)
	r.feed.Receive([]Reception{r.heardBy(1, u.send(3, "x")), r.heardBy(1, []byte("stranger, longer than it must be"))}, func(err error) {
		settled.Store(true)
		done <- err
	})
	time.Sleep(50 * time.Millisecond)
	if settled.Load() {
		t.Error("settled before the commit")
	}
	close(g.hold)
	if err := <-done; err != nil || len(r.Uplinks()) != 1 {
		t.Errorf("got %v, %d uplinks", err, len(r.Uplinks()))
	}
}

func TestWhatCannotBeHeldEndsTheFeedAndIsNotSettled(t *testing.T) {
	u, d := abp(1, 0x01020304)
	g := newGround()
	full := errors.New("disk is full")
	g.fail = full
	r := start(t, g, nil, d)
	frame := u.send(3, "x")
	if err := r.receive(r.heardBy(1, frame)); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	select {
	case err := <-r.ended:
		r.ended <- err
		if !errors.Is(err, full) {
			t.Errorf("the feed ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the feed goes on")
	}
	if r.feed.Receive([]Reception{r.heardBy(1, frame)}, func(error) {}) {
		t.Error("a feed that ended takes more")
	}
	g.set(func() { g.fail = nil })
	r = start(t, g, nil, d)
	r.hear(frame)
	wantPayloads(t, r, "x")
}

func TestWhatWasHeardIsHandedOverAtTheEnd(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), func(o *Options) { o.Collect, o.RX1Delay = 5*time.Second, 6*time.Second }, d)
	done := make(chan error, 1)
	r.feed.Receive([]Reception{r.heardBy(1, u.send(3, "x"))}, func(err error) { done <- err })
	began := time.Now()
	r.end()
	if err := <-done; err != nil {
		t.Errorf("got %v, want it held", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the end took %s", took)
	}
	wantPayloads(t, r, "x")
}

// second starts another feed of the same network.
func (r *radio) second(emit gateway.Emit) (feed *Feed, stop func()) {
	feed = r.network.NewFeed(FeedOptions{Source: "second", Emit: emit, Downlink: true, Count: r.count})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = feed.Run(ctx); close(ended) }() // stop waits for it
	stop = func() { cancel(); <-ended }
	r.t.Cleanup(stop)
	return feed, stop
}

func TestCopiesThatComeThroughOtherSourcesAreOneUplink(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), func(o *Options) { o.Collect = 100 * time.Millisecond }, d)
	other, _ := r.second(r.emit)
	frame := u.send(3, "x")
	done := make(chan error, 2)
	r.feed.Receive([]Reception{r.heardBy(1, frame)}, func(err error) { done <- err })
	other.Receive([]Reception{r.heardBy(2, frame)}, func(err error) { done <- err })
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := r.Uplinks(); len(got) != 1 || got[0].Link.Gateways != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestSourceThatEndsDoesNotTakeTheCopyOfAnotherWithIt(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), func(o *Options) { o.Collect = 200 * time.Millisecond }, d)
	refused := errors.New("stopping")
	first, stop := r.second(func(context.Context, []gateway.Uplink, func(error)) error { return refused })
	frame := u.send(3, "x")
	firstDone, otherDone := make(chan error, 1), make(chan error, 1)
	first.Receive([]Reception{r.heardBy(1, frame)}, func(err error) { firstDone <- err })
	r.feed.Receive([]Reception{r.heardBy(2, frame)}, func(err error) { otherDone <- err })
	stop()
	if err := <-firstDone; !errors.Is(err, refused) {
		t.Errorf("the source that ended: got %v, want %v", err, refused)
	}
	if err := <-otherDone; err != nil {
		t.Errorf("the source that goes on: %v", err)
	}
	wantPayloads(t, r, "x")
}

func TestWhatWaitsIsBounded(t *testing.T) {
	u, d := abp(1, 0x01020304)
	g := newGround()
	g.hold = make(chan struct{})
	r := start(t, g, nil, d)
	taken := 0
	for range 2 * maxWaiting {
		if r.feed.Receive([]Reception{r.heardBy(1, u.send(3, "x"))}, func(error) {}) {
			taken++
		}
	}
	if taken > maxWaiting || taken < maxWaiting/4 {
		t.Errorf("%d deliveries were taken, at most %d receptions may wait", taken, maxWaiting)
	}
	close(g.hold)
	r.wait("what waited", func() bool { return len(r.Uplinks()) == taken })
	r.hear(u.send(3, "y"))
}

func TestEndIsInTimeHoweverMuchWaits(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), func(o *Options) { o.Collect, o.RX1Delay = maxCollect, 6*time.Second }, d)
	var settled atomic.Int64
	taken := int64(0)
	for range maxWaiting {
		if r.feed.Receive([]Reception{r.heardBy(1, u.send(3, "x"))}, func(error) { settled.Add(1) }) {
			taken++
		}
	}
	began := time.Now()
	r.end()
	if took := time.Since(began); took > 2*time.Second { // half a second, where nothing else runs
		t.Errorf("the end took %s", took)
	}
	r.wait("everything to be settled", func() bool { return settled.Load() == taken })
}

func TestFramesOfADeviceKeepTheirOrder(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	const many = 2000
	left := make(chan error, many)
	for i := range many {
		for !r.feed.Receive([]Reception{r.heardBy(1, u.send(3, fmt.Sprint(i)))}, func(err error) { left <- err }) {
			time.Sleep(time.Millisecond)
		}
	}
	for range many {
		<-left
	}
	for i, got := range r.Uplinks() {
		if string(got.Payload) != fmt.Sprint(i) {
			t.Fatalf("at place %d: %s", i, got.Payload)
		}
	}
}

func TestTheSameFrameByANetworkServerIsOneEvent(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	claim := func(counter uint32, payload string) gateway.Claimed {
		t.Helper()
		c := r.network.Claim(d.DevEUI, "01020304", counter, 3, []byte(payload))
		if c == nil {
			t.Fatal("the session is not known")
		}
		r.commit([]gateway.Uplink{{Device: d.DevEUI, Payload: []byte(payload), Claim: c}})
		tx := &transaction{r.ground, map[string][]byte{}}
		return c(tx)
	}
	r.hear(u.send(3, "raw first"))
	claim(0, "raw first")
	wantPayloads(t, r, "raw first")
	claim(1, "server first")
	r.hear(u.frame(1, 3, []byte("server first")))
	wantPayloads(t, r, "raw first", "server first")
	claim(0, "the server let it begin anew")
	wantPayloads(t, r, "raw first", "server first", "the server let it begin anew")
	got := r.Uplinks()
	if got[2].Claimed.Identity == got[0].Claimed.Identity || len(got[2].Flags) != 1 {
		t.Errorf("a new beginning has identity %s, flags %v", got[2].Claimed.Identity, got[2].Flags)
	}
	for _, unknown := range [][2]string{{"70b3d5e75e0000ff", "01020304"}, {d.DevEUI, "01020305"}, {d.DevEUI, "x"}} {
		if r.network.Claim(unknown[0], unknown[1], 0, 3, nil) != nil {
			t.Errorf("%v is taken for a session of ours", unknown)
		}
	}
	if (*Network)(nil).Claim(d.DevEUI, "01020304", 0, 3, nil) != nil {
		t.Error("no network knows a session")
	}
}

func TestNewBeginningFarBelowIsOneByANetworkServerToo(t *testing.T) {
	for _, relaxed := range []bool{false, true} {
		u, d := abp(1, 0x01020304)
		d.Relaxed = relaxed
		r := start(t, newGround(), nil, d)
		claim := func(counter uint32, payload string) gateway.Claimed {
			t.Helper()
			r.commit([]gateway.Uplink{{Payload: []byte(payload), Claim: r.network.Claim(d.DevEUI, "01020304", counter, 3, []byte(payload))}})
			all := r.Uplinks()
			return all[len(all)-1].Claimed
		}
		u.counter = 1000
		r.hear(u.send(3, "before"))
		first := claim(0, "after 0")
		if reset := slices.Equal(first.Flags, flagsReset); reset != relaxed {
			t.Errorf("relaxed %v: got flags %v", relaxed, first.Flags)
		}
		if want := "lorawan:" + d.DevEUI + ":01020304:0:1:0"; relaxed && first.Identity != want {
			t.Errorf("got identity %s, want that of a new epoch, %s", first.Identity, want)
		}
		if second := claim(1, "after 1"); len(second.Flags) > 0 {
			t.Errorf("relaxed %v: the second frame has flags %v", relaxed, second.Flags)
		}
		if !relaxed {
			continue
		}
		r.hear(u.frame(1, 3, []byte("after 1")))
		if r.hear(u.frame(2, 3, []byte("after 2"))); len(r.Uplinks()) != 4 || r.Counted(countResets) != 0 {
			t.Errorf("got %q, counts %v, want the radio to go on from there", payloads(r.Uplinks()), r.counts)
		}
	}
}

func TestIdentityIsTheSameOnBothWays(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	u.counter = 70_000
	r.hear(u.send(3, "x"))
	other := start(t, newGround(), nil, d)
	other.commit([]gateway.Uplink{{Claim: other.network.Claim(d.DevEUI, "01020304", 70_000, 3, []byte("x"))}})
	raw, server := r.Uplinks()[0].Claimed.Identity, other.Uplinks()[0].Claimed.Identity
	if raw != server || raw == "" {
		t.Errorf("got %q and %q", raw, server)
	}
}

func FuzzPHYPayload(f *testing.F) {
	u, d := abp(1, 0x01020304)
	joining, other := otaa(2, true)
	f.Add(u.send(3, "hello"))
	f.Add(u.frame(7, 0, []byte{2}))
	f.Add(joining.request())
	f.Add([]byte{0xc0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	r := start(f, newGround(), func(o *Options) { o.Collect = 0 }, d, other)
	f.Fuzz(func(t *testing.T, phy []byte) {
		if len(phy) > 1<<16 {
			return
		}
		done := make(chan error, 1)
		r.feed.Receive([]Reception{r.heardBy(1, bytes.Clone(phy))}, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if frame, err := parseData(append(phy, make([]byte, minPHY)...)); err == nil {
			keys := d.givenKeys()
			for _, version := range []byte{0, 1} {
				if _, commands, err := frame.decrypt(lorawan.MACVersion(version), &keys, 1); err == nil {
					frame.wishes(lorawan.MACVersion(version), commands)
				}
			}
		}
	})
}

func BenchmarkFrames(b *testing.B) {
	for _, modern := range []bool{false, true} {
		b.Run(map[bool]string{false: "1.0", true: "1.1"}[modern], func(b *testing.B) {
			u, d := otaa(1, modern)
			r := start(b, newGround(), nil, d)
			r.join(u)
			const many = 1024
			groups := make([]*group, many)
			for i := range groups {
				h := r.heardBy(1, u.send(3, "twenty-four bytes or so.."))
				groups[i] = &group{phy: string(h.PHY), owner: r.feed, heard: []heard{{Reception: h}}}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				all, refused := r.feed.resolve(groups[i%many])
				if len(all) != 1 || refused != "" {
					b.Fatalf("refused: %s", refused)
				}
			}
		})
	}
}

func TestFrameOverWhichTheProgramStumblesStopsNoOther(t *testing.T) {
	bad, badDevice := abp(1, 0x01020304)
	good, goodDevice := abp(2, 0x01020305)
	badDevice.AppSKey = nil
	r := start(t, newGround(), nil, badDevice, goodDevice)
	r.hear(bad.send(3, "x"), good.send(3, "y"))
	all := r.Uplinks()
	if len(all) != 2 || all[0].Fault == nil || all[1].Fault != nil {
		t.Errorf("got %+v", all)
	}
}

func TestCollectionLeavesTimeForAnAnswer(t *testing.T) {
	for _, c := range []struct {
		collect, delay time.Duration
		key            string
	}{
		{0, time.Second, ""},
		{500 * time.Millisecond, time.Second, ""},
		{501 * time.Millisecond, time.Second, "collect"},
		{1500 * time.Millisecond, 2 * time.Second, ""},
		{maxCollect, 6 * time.Second, ""},
		{maxCollect + 1, time.Second, "collect"},
		{maxCollect, 0, "rx1_delay"},
	} {
		options := Defaults()
		options.Collect, options.RX1Delay = c.collect, c.delay
		_, err := New(options)
		mistake, _ := errors.AsType[*OptionError](err)
		if c.key == "" && err != nil || c.key != "" && (mistake == nil || mistake.Key != c.key || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s before %s: got %v, want a mistake at %q", c.collect, c.delay, err, c.key)
		}
	}
}
