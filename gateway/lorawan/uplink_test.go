package lorawan

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func identities(uplinks []kept) []string {
	ids := make([]string, len(uplinks))
	for i := range uplinks {
		ids[i] = uplinks[i].Claimed.Identity
	}
	return ids
}

func payloads(uplinks []kept) []string {
	all := make([]string, len(uplinks))
	for i := range uplinks {
		all[i] = string(uplinks[i].Payload)
	}
	return all
}

func wantPayloads(t *testing.T, r *radio, want ...string) {
	t.Helper()
	if got := payloads(r.Uplinks()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q; counts %v, dropped %v", got, want, r.counts, r.dropped)
	}
}

func TestOneFrameHeardByFiveGatewaysIsOneUplinkWithTheBestLink(t *testing.T) { // F07
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), func(o *Options) { o.Collect = 100 * time.Millisecond }, d)
	frame := u.send(3, "once")
	copies := make([]Reception, 5)
	for i := range copies {
		copies[i] = r.heardBy(5-i, frame)
		copies[i].Frequency += uint32(i) * 200_000 // not part of the identity
	}
	at := time.Now().Add(-3 * time.Second).Truncate(time.Millisecond)
	copies[2].Time = at
	if err := r.receive(copies...); err != nil {
		t.Fatal(err)
	}
	got := r.Uplinks()
	if len(got) != 1 {
		t.Fatalf("got %d uplinks, want 1", len(got))
	}
	if link := got[0].Link; link.Gateways != 5 || link.SNR != 8 || link.RSSI != -61 || link.SpreadingFactor != 7 {
		t.Errorf("got link %+v, want that of gateway 1, heard by 5", *link)
	}
	if !got[0].Time.Equal(at) {
		t.Errorf("got time %s, want that of the gateway with a clock, %s", got[0].Time, at)
	}
	r.hear(frame) // a sixth copy, much later
	wantPayloads(t, r, "once")
	if r.Counted("copies") != 4 || r.Counted(countRepeated) != 1 {
		t.Errorf("counts %v, want 4 copies and one late", r.counts)
	}
}

func TestRecordedFrameIsRefusedAfterARestart(t *testing.T) { // F08
	u, d := abp(1, 0x01020304)
	g := newGround()
	r := start(t, g, nil, d)
	first := u.send(3, "a")
	r.hear(first)
	for range 10 {
		r.hear(u.send(3, "b"))
	}
	r.end()
	g.uplinks = nil
	r = start(t, g, nil, d)
	commits := g.Commits()
	r.hear(first)
	if wantPayloads(t, r); r.Counted(countRepeated) != 1 || g.Commits() != commits {
		t.Errorf("counts %v, %d commits: want it refused without a write", r.counts, g.Commits()-commits)
	}
	r.hear(u.send(3, "c"))
	wantPayloads(t, r, "c")
}

func TestCounterGoesOnOverSixteenBits(t *testing.T) { // F09
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	u.counter = 65_533
	for i := range 6 {
		r.hear(u.send(3, fmt.Sprint(i)))
	}
	wantPayloads(t, r, "0", "1", "2", "3", "4", "5")
	if got := r.network.devices[d.DevEUI].record(r.State).active.up.top; got != 65_538 {
		t.Errorf("got counter %d, want 65538", got)
	}
	u.counter = 65_540 + 30_000
	r.hear(u.send(3, "after a long silence"))
	if len(r.Uplinks()) != 7 {
		t.Error("a gap of 30,000 frames is too much")
	}
}

func TestDeviceThatWasOnAirLongBeforeIsTakenUp(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	u.counter = 5*65_536 + 17
	r.hear(u.send(3, "hello"))
	wantPayloads(t, r, "hello")
}

func TestLateFramesAreTakenOnceEach(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	var late [][]byte
	for i := range 40 {
		frame := u.send(3, fmt.Sprint(i))
		if i >= 10 && i < 30 {
			late = append(late, frame)
		} else {
			r.hear(frame)
		}
	}
	rand.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
	for _, frame := range late {
		r.hear(frame)
		r.hear(frame)
	}
	got := r.Uplinks()
	if len(got) != 40 {
		t.Fatalf("got %d uplinks, want 40; counts %v", len(got), r.counts)
	}
	ids := identities(got)
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 40 {
		t.Error("two frames have one identity")
	}
	for _, u := range got[20:] {
		if !slices.Equal(u.Flags, flagsLate) {
			t.Errorf("late frame %s has flags %v", u.Payload, u.Flags)
		}
	}
	if r.Counted(countLate) != 20 {
		t.Errorf("counts %v, want 20 late", r.counts)
	}
}

func TestCounterThatBeginsAnewIsRefusedUnlessTheSensorMay(t *testing.T) { // F10
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	for i := range 20 {
		r.hear(u.send(3, fmt.Sprint("before", i)))
	}
	u.counter = 0
	for i := range 4 {
		r.hear(u.send(3, fmt.Sprint("after", i)))
	}
	readings := slices.DeleteFunc(r.Uplinks(), func(k kept) bool { return k.Notice != nil })
	if len(readings) != 20 || r.Counted(countReplayed) != 4 {
		t.Errorf("strict: got %d uplinks, counts %v, want 20 and 4 refused", len(readings), r.counts)
	}
	notices := slices.DeleteFunc(r.Uplinks(), func(k kept) bool { return k.Notice == nil })
	if len(notices) != 1 || notices[0].Notice.Code != troubleReplayed || notices[0].Device != d.DevEUI {
		t.Errorf("got notices %v, want one after the third frame", notices)
	}

	d.Relaxed = true
	u.counter = 0
	r = start(t, newGround(), nil, d)
	var recorded []byte
	for i := range 20 {
		recorded = u.send(3, fmt.Sprint("before", i))
		r.hear(recorded)
	}
	u.counter = 0
	for i := range 4 {
		r.hear(u.send(3, fmt.Sprint("after", i)))
	}
	got := r.Uplinks()
	if len(got) != 24 {
		t.Fatalf("relaxed: got %d uplinks, want 24; counts %v dropped %v", len(got), r.counts, r.dropped)
	}
	for i, u := range got {
		if flagged := slices.Equal(u.Flags, flagsReset); flagged != (i == 20) {
			t.Errorf("uplink %d (%s) has flags %v", i, u.Payload, u.Flags)
		}
	}
	if got[0].Claimed.Identity == got[20].Claimed.Identity {
		t.Error("frame 0 before and after have one identity")
	}
	if r.Counted(countResets) != 1 {
		t.Errorf("counts %v, want one reset", r.counts)
	}
}

func TestCounterBeginsAnewWithANewKeyOnly(t *testing.T) {
	u, d := abp(1, 0x01020304)
	g := newGround()
	r := start(t, g, nil, d)
	u.confirmed = true
	for i := range 20 {
		r.hear(u.send(3, fmt.Sprint("before", i)))
	}
	r.sentFrame(20)
	r.end()
	old := *u
	replaced, other := abp(2, 0x01020304)
	other.DevEUI, replaced.confirmed = d.DevEUI, true
	r = start(t, g, nil, other)
	r.hear(replaced.send(3, "after0"))
	replaced.answer(t, r.sentFrame(21).PHY, 0, 0)
	r.hear(old.frame(0, 3, []byte("before0")))
	got := r.Uplinks()
	if len(got) != 21 || got[20].Claimed.Identity == got[0].Claimed.Identity || len(got[20].Flags) > 0 {
		t.Errorf("got %d uplinks, the last with %+v", len(got), got[len(got)-1].Claimed)
	}
	r.end()
	r = start(t, g, nil, other)
	r.hear(replaced.frame(0, 3, []byte("after0")), replaced.frame(0, 3, []byte("else")))
	if len(r.Uplinks()) != 21 {
		t.Error("the counter begins anew without a new key")
	}
}

func TestDeviceThatGetsItsAddressBackHasItsCountersToo(t *testing.T) {
	g := newGround()
	u, d := abp(1, 0x01020304)
	elsewhere, moved := abp(1, 0x05060708)
	r := start(t, g, nil, d)
	first := u.send(3, "a")
	r.hear(first, u.send(3, "b"))
	r.end()
	r = start(t, g, nil, moved)
	r.hear(elsewhere.send(3, "c"), first)
	r.end()
	r = start(t, g, nil, d)
	r.hear(first)
	r.hear(u.send(3, "d"))
	r.end()
	r = start(t, g, nil, moved)
	r.hear(elsewhere.frame(0, 3, []byte("c")))
	got := payloads(r.Uplinks())
	slices.Sort(got)
	if !slices.Equal(got, []string{"a", "b", "c", "d"}) || r.Counted(countRepeated) != 2 || r.Counted(countUnknownAddress) != 1 {
		t.Errorf("got %q, counts %v, want nothing taken twice", got, r.counts)
	}
}

func TestNoKeyIsInTheStore(t *testing.T) {
	u, given := abp(1, 0x01020304)
	joining, d := otaa(2, true)
	r := start(t, newGround(), nil, given, d)
	r.join(joining)
	r.hear(u.send(3, "x"), joining.send(3, "y"))
	for name, value := range r.state {
		for _, key := range [][16]byte{u.forward, u.app, joining.appKey, joining.nwkKey, joining.forward, joining.serve, joining.encrypt, joining.app} {
			for from := range len(key) - 3 {
				if bytes.Contains(value, key[from:from+4]) {
					t.Errorf("%s holds a part of a key", name)
				}
			}
		}
	}
}

func TestLateCopyIsNotTakenForANewBeginning(t *testing.T) {
	u, d := abp(1, 0x01020304)
	d.Relaxed = true
	r := start(t, newGround(), nil, d)
	var frames [][]byte
	for i := range 100 {
		frames = append(frames, u.send(3, fmt.Sprint(i)))
		r.hear(frames[i])
	}
	for _, frame := range frames {
		r.hear(frame)
	}
	if len(r.Uplinks()) != 100 || r.Counted(countResets) != 0 {
		t.Errorf("got %d uplinks, counts %v, want 100 and no reset", len(r.Uplinks()), r.counts)
	}
}

func TestNoFlippedBitPasses(t *testing.T) { // F11
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), func(o *Options) { o.Collect = 0 }, d)
	flips := 0
	for i := range 100 {
		frame := u.send(uint8(1+i%200), fmt.Sprintf("reading number %d", i))
		var flipped []Reception
		for bit := range 8 * len(frame) {
			phy := bytes.Clone(frame)
			phy[bit/8] ^= 1 << (bit % 8)
			flipped = append(flipped, r.heardBy(1, phy))
		}
		flips += len(flipped)
		if err := r.receive(flipped...); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range r.Uplinks() {
		if u.Notice == nil {
			t.Errorf("a flipped frame was taken: %+v", u)
		}
	}
	refused := r.Counted(countMalformed) + r.Counted(countNoUplink) + r.Counted(countUnknownAddress) + r.Counted(countUnsigned) + r.Counted(countUnknownEUI)
	if refused != flips {
		t.Errorf("%d of %d flips are accounted for; counts %v", refused, flips, r.counts)
	}
}

func TestThreeSensorsOnOneAddressAreToldApartByTheirKeys(t *testing.T) { // F12
	const address = 0x26011bda
	var units []*unit
	var devices []Device
	for i := range byte(3) {
		u, d := abp(i+1, address)
		units, devices = append(units, u), append(devices, d)
	}
	r := start(t, newGround(), nil, devices...)
	for i := range 9 {
		r.hear(units[i%3].send(3, units[i%3].eui))
	}
	got := r.Uplinks()
	if len(got) != 9 {
		t.Fatalf("got %d uplinks, want 9", len(got))
	}
	for _, u := range got {
		if u.Device != string(u.Payload) {
			t.Errorf("a frame of %s was taken for one of %s", u.Payload, u.Device)
		}
	}
}

func TestFramesUnderOtherKeysAreNoticedOnce(t *testing.T) { // F13
	_, d := abp(1, 0x01020304)
	stranger, _ := abp(9, 0x01020304)
	r := start(t, newGround(), nil, d)
	for range 25 {
		r.hear(stranger.send(3, "x"))
	}
	got := r.Uplinks()
	if len(got) != 1 || got[0].Notice == nil || got[0].Notice.Code != troubleUnsigned || got[0].Device != d.DevEUI {
		t.Fatalf("got %v, want one notice", got)
	}
	if r.Counted(countUnsigned) != 25 {
		t.Errorf("counts %v, want 25 unsigned", r.counts)
	}
	strange := r.network.Strangers()
	if len(strange) != 1 || strange[0].Kind != unsigned || strange[0].Count != 25 || strange[0].Device != d.DevEUI || strange[0].Address != "01020304" {
		t.Errorf("got %+v", strange)
	}
}

func TestThousandsOfStrangersCostNothing(t *testing.T) { // F14
	_, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	stranger, _ := abp(9, 0)
	regular, _ := abp(8, 0xfe000001)
	frame := stranger.send(3, "nobody knows me")
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	run := func() {
		for i := range 10_000 {
			phy := bytes.Clone(frame)
			phy[1], phy[2], phy[3], phy[4] = byte(i), byte(i>>8), 0xee, 0x7e
			reception := r.heardBy(1, phy)
			if err := r.receive(reception); err != nil {
				t.Fatal(err)
			}
			if i%20 == 0 {
				r.hear(regular.send(1, "x"))
			}
		}
	}
	run()
	before := heap()
	run()
	if after := heap(); after > before+256<<10 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
	if r.Commits() != 0 {
		t.Errorf("%d commits, want none", r.Commits())
	}
	if got := r.Counted(countUnknownAddress); got != 21_000 {
		t.Errorf("counted %d, want 21000", got)
	}
	strange := r.network.Strangers()
	if len(strange) > maxStrangers {
		t.Errorf("%d strangers are remembered, want at most %d", len(strange), maxStrangers)
	}
	if strange[0].Address != "fe000001" || strange[0].Count != 1000 {
		t.Errorf("the one that is there all the time is not the first: %+v", strange[0])
	}
}

func TestFramesThatAreNoUplinksAreCounted(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	down := u.send(1, "x")
	down[0] = 0x60
	proprietary := bytes.Repeat([]byte{0xe0}, 20)
	rejoin := append([]byte{0xc0, 0}, make([]byte, 17)...)
	for _, phy := range [][]byte{down, rejoin} {
		r.hear(phy)
	}
	if r.Counted(countNoUplink) != 2 {
		t.Errorf("counts %v, want 2 that are no uplinks", r.counts)
	}
	for _, phy := range [][]byte{nil, {0x40}, proprietary[:11], make([]byte, 256), {0x40, 4, 3, 2, 1, 0x0f, 0, 0, 1, 2, 3, 4}, append([]byte{0x41}, down[1:]...)} {
		r.hear(phy)
	}
	if r.Counted(countMalformed) != 6 {
		t.Errorf("counts %v, want 6 malformed", r.counts)
	}
}

func TestFrameWithoutPayloadOnlyMovesTheCounter(t *testing.T) {
	u, d := abp(1, 0x01020304)
	r := start(t, newGround(), nil, d)
	phy := u.frame(7, 0, nil)
	r.hear(phy)
	wantPayloads(t, r)
	if r.Dropped(discardCommands) != 1 {
		t.Errorf("dropped %v, want one with MAC commands only", r.dropped)
	}
	r.hear(u.frame(6, 3, []byte("late")))
	wantPayloads(t, r, "late")
	r.hear(phy)
	if r.Dropped(discardCommands) != 1 {
		t.Errorf("dropped %v: it was taken twice", r.dropped)
	}
}

func TestWindowRemembersWhatWasTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c counters
		c.keep(false)
		model := map[uint32]bool{}
		top, any := uint32(0), false
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			counter := uint32(rapid.IntRange(0, 5000).Draw(t, "counter"))
			if any && rapid.Bool().Draw(t, "near") {
				counter = top + uint32(rapid.IntRange(0, 300).Draw(t, "by")) - min(top, uint32(rapid.IntRange(0, 300).Draw(t, "back")))
			}
			want := fresh
			switch {
			case !any || counter > top:
			case top-counter >= windowSize:
				want = gone
			case model[counter]:
				want = taken
			default:
				want = late
			}
			if got := c.standing(counter); got != want {
				t.Fatalf("counter %d, highest %d: got %d, want %d", counter, top, got, want)
			}
			if want == fresh || want == late {
				c.take(counter, counter+1)
				model[counter] = true
				if !any || counter > top {
					any, top = true, counter
				}
			}
			if same, known := c.same(counter, counter+1); known && !same {
				t.Fatalf("counter %d: what it said is remembered wrong", counter)
			}
			r := &record{joinNonce: 5, devNonce: 9, active: &session{devAddr: 1, up: c, down: 3}}
			again, err := decodeRecord(r.encode())
			if err != nil || again.active.standing(counter) != c.standing(counter) || again.active.up.top != top || again.active.down != 3 {
				t.Fatalf("packed and unpacked: %v", err)
			}
		}
	})
}

func (s *session) standing(counter uint32) standing { return s.up.standing(counter) }

func TestCandidatesHaveEveryCounterThatCanBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top := rapid.Uint32Range(0, 1<<24).Draw(t, "top")
		counter := top + uint32(rapid.IntRange(0, 32_000).Draw(t, "ahead"))
		if rapid.Bool().Draw(t, "late") {
			counter = top - min(top, uint32(rapid.IntRange(0, windowSize-1).Draw(t, "behind")))
		}
		c := counters{any: true, top: top}
		if all := c.candidates(uint16(counter), false); !slices.Contains(all, counter) || len(all) > 3 {
			t.Fatalf("highest %d, on air %d: got %v, want %d among them", top, uint16(counter), all, counter)
		}
	})
}

func TestDamagedRecordIsAnErrorAndNoPanic(t *testing.T) {
	r := &record{joinNonce: 5, devNonce: 9, active: &session{devAddr: 1, up: counters{any: true, top: 9}}, pending: &session{joined: true}}
	packed := r.encode()
	for n := range packed {
		if _, err := decodeRecord(packed[:n]); err == nil && n > 0 {
			t.Errorf("the first %d of %d bytes pass", n, len(packed))
		}
	}
	if _, err := decodeRecord(append(packed, 0)); err == nil {
		t.Error("a byte too many passes")
	}
}

func TestRecordsThatCannotBeReadAreToldOnce(t *testing.T) {
	g := newGround()
	var devices []Device
	for i := range byte(20) {
		_, given := abp(i+1, 0x01020300+uint32(i))
		_, joins := otaa(i+1, false)
		devices = append(devices, given, joins)
		g.state[prefixRecord+given.DevEUI], g.state[prefixRecord+joins.DevEUI] = []byte{99}, []byte{recordVersion}
	}
	u, _ := abp(1, 0x01020300)
	var log bytes.Buffer
	r := start(t, g, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) }, devices...)
	r.hear(u.send(3, "x"))
	wantPayloads(t, r, "x")
	if lines := strings.Count(log.String(), "\n"); lines != 2 || strings.Count(log.String(), "count=20") != 2 ||
		!strings.Contains(log.String(), "have to join again") || !strings.Contains(log.String(), "downlink counter") {
		t.Errorf("got %d lines, want one for each kind of device:\n%s", lines, log.String())
	}
}
