package lorawan

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/brocaar/lorawan"
)

// otaa makes a device that joins; modern speaks LoRaWAN 1.1.
func otaa(number byte, modern bool) (*unit, Device) {
	u := &unit{version: lorawan.LoRaWAN1_0, rate: 5, appKey: key(number), nwkKey: key(number)}
	u.devEUI = lorawan.EUI64{0x70, 0xb3, 0xd5, 0xe7, 0x5e, 0, 1, number}
	u.joinEUI = lorawan.EUI64{0x70, 0xb3, 0xd5, 0x7e, 0xd0, 0, 0, 1}
	u.eui = u.devEUI.String()
	app := Key(u.appKey)
	d := Device{DevEUI: u.eui, AppKey: &app}
	if modern {
		u.version, u.nwkKey = lorawan.LoRaWAN1_1, key(number+50)
		network := Key(u.nwkKey)
		d.NwkKey = &network
	}
	return u, d
}

// request makes the device's next join-request.
func (u *unit) request() []byte {
	phy := lorawan.PHYPayload{
		MHDR:       lorawan.MHDR{MType: lorawan.JoinRequest},
		MACPayload: &lorawan.JoinRequestPayload{JoinEUI: u.joinEUI, DevEUI: u.devEUI, DevNonce: lorawan.DevNonce(u.nonce)},
	}
	check(phy.SetUplinkJoinMIC(u.nwkKey))
	u.nonce++
	packed, err := phy.MarshalBinary()
	check(err)
	return packed
}

// encrypted is one AES block of a constant and parts: the specification's key derivation, written out once more.
func encrypted(key lorawan.AES128Key, constant byte, parts ...[]byte) (derived lorawan.AES128Key) {
	block := append([]byte{constant}, bytes.Join(parts, nil)...)
	block = append(block, make([]byte, aes.BlockSize-len(block))...)
	cipher, err := aes.NewCipher(key[:])
	check(err)
	cipher.Encrypt(derived[:], block)
	return derived
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// accept reads the answer to the device's last join-request and begins its session.
func (u *unit) accept(t testing.TB, packed []byte) *lorawan.JoinAcceptPayload {
	t.Helper()
	var phy lorawan.PHYPayload
	check(phy.UnmarshalBinary(packed))
	check(phy.DecryptJoinAcceptPayload(u.nwkKey))
	answer, ok := phy.MACPayload.(*lorawan.JoinAcceptPayload)
	if !ok {
		t.Fatalf("not a join-accept: %T", phy.MACPayload)
	}
	nonce := u.nonce - 1
	signing := u.nwkKey
	if u.version == lorawan.LoRaWAN1_1 {
		signing = encrypted(u.nwkKey, 6, reversed(u.devEUI[:]))
	}
	if ok, err := phy.ValidateDownlinkJoinMIC(lorawan.JoinRequestType, u.joinEUI, lorawan.DevNonce(nonce), signing); err != nil || !ok {
		t.Fatalf("join-accept is not signed for request %d: %v", nonce, err)
	}
	if answer.DLSettings.OptNeg != (u.version == lorawan.LoRaWAN1_1) {
		t.Errorf("OptNeg is %v", answer.DLSettings.OptNeg)
	}
	number := binary.LittleEndian.AppendUint32(nil, uint32(answer.JoinNonce))[:3]
	request := binary.LittleEndian.AppendUint16(nil, nonce)
	network := reversed(answer.HomeNetID[:])
	if u.version == lorawan.LoRaWAN1_1 {
		eui := reversed(u.joinEUI[:])
		u.forward, u.serve = encrypted(u.nwkKey, 1, number, eui, request), encrypted(u.nwkKey, 3, number, eui, request)
		u.encrypt, u.app = encrypted(u.nwkKey, 4, number, eui, request), encrypted(u.appKey, 2, number, eui, request)
	} else {
		u.forward = encrypted(u.appKey, 1, number, network, request)
		u.app = encrypted(u.appKey, 2, number, network, request)
		u.serve, u.encrypt = u.forward, u.forward
	}
	u.address, u.counter = answer.DevAddr, 0
	return answer
}

// join lets a device join and returns the join-accept.
func (r *radio) join(u *unit) *lorawan.JoinAcceptPayload {
	r.t.Helper()
	before := len(r.Sent())
	r.hear(u.request())
	r.wait("a join-accept", func() bool { return len(r.Sent()) > before })
	return u.accept(r.t, r.Sent()[before].PHY)
}

func eachVersion(t *testing.T, test func(t *testing.T, modern bool)) {
	t.Run("1.0", func(t *testing.T) { test(t, false) })
	t.Run("1.1", func(t *testing.T) { test(t, true) })
}

func TestDeviceJoinsAndItsFramesAreReadAlsoAfterARestart(t *testing.T) {
	eachVersion(t, func(t *testing.T, modern bool) {
		u, d := otaa(1, modern)
		g := newGround()
		r := start(t, g, nil, d)
		answer := r.join(u)
		if answer.DevAddr.NwkID()[0] != 0 || answer.RXDelay != 1 {
			t.Errorf("got address %s, delay %d", answer.DevAddr, answer.RXDelay)
		}
		if list, ok := answer.CFList.Payload.(*lorawan.CFListChannelPayload); !ok || list.Channels != [5]uint32(euChannels) {
			t.Errorf("got channels %+v", answer.CFList)
		}
		for i := range 10 {
			r.hear(u.send(3, fmt.Sprint("before", i)))
		}
		r.end()
		r = start(t, g, nil, d)
		for i := range 10 {
			r.hear(u.send(3, fmt.Sprint("after", i)))
		}
		var readings []string
		for _, k := range r.Uplinks() {
			if k.Facts == nil {
				readings = append(readings, string(k.Payload))
			}
		}
		if len(readings) != 20 || readings[19] != "after9" {
			t.Errorf("got %q; counts %v", readings, r.counts)
		}
		if facts := r.Uplinks()[0].Facts; facts["dev_addr"] != answer.DevAddr.String() || facts["joined"] == "" {
			t.Errorf("got facts %v", facts)
		}
		for key, value := range g.state {
			for _, secret := range []lorawan.AES128Key{u.appKey, u.nwkKey, u.app, u.forward, u.serve, u.encrypt} {
				if bytes.Contains(value, secret[:]) || bytes.Contains(value, reversed(secret[:])) {
					t.Errorf("there is a key in the state %q", key)
				}
			}
		}
	})
}

func TestJoinAcceptGoesOutInBothWindowsThroughTheBestGateway(t *testing.T) {
	u, d := otaa(1, false)
	r := start(t, newGround(), func(o *Options) { o.Collect = 50 * time.Millisecond }, d)
	request := u.request()
	far, near := r.heardBy(7, request), r.heardBy(2, request)
	far.Frequency, near.Frequency = 868_500_000, 868_500_000
	if err := r.receive(far, near); err != nil {
		t.Fatal(err)
	}
	r.wait("a join-accept", func() bool { return len(r.Sent()) == 1 })
	sent := r.Sent()[0]
	want := []Window{
		{5 * time.Second, 868_500_000, DataRate{SpreadingFactor: 7, Bandwidth: 125}, 14},
		{6 * time.Second, 869_525_000, DataRate{SpreadingFactor: 12, Bandwidth: 125}, 27},
	}
	if sent.gateway != near.Gateway || !slices.Equal(sent.Windows, want) || sent.DevEUI != d.DevEUI {
		t.Errorf("got %s %+v, want %s %+v", sent.gateway, sent.Windows, near.Gateway, want)
	}
}

func TestAnotherGatewaySendsWhenTheBestCannot(t *testing.T) {
	u, d := otaa(1, false)
	r := start(t, newGround(), func(o *Options) { o.Collect = 50 * time.Millisecond }, d)
	request := u.request()
	best, other, deaf := r.heardBy(1, request), r.heardBy(3, request), r.heardBy(2, request)
	best.Transmit = func(Downlink) error { return fmt.Errorf("no address yet") }
	deaf.Transmit = nil
	if err := r.receive(best, deaf, other); err != nil {
		t.Fatal(err)
	}
	r.wait("a join-accept", func() bool { return len(r.Sent()) == 1 })
	if got := r.Sent()[0].gateway; got != other.Gateway {
		t.Errorf("sent by %s, want %s", got, other.Gateway)
	}
}

func TestJoinRequestThatIsRepeatedIsRefused(t *testing.T) { // F15
	eachVersion(t, func(t *testing.T, modern bool) {
		u, d := otaa(1, modern)
		g := newGround()
		r := start(t, g, nil, d)
		u.nonce = 500
		recorded := u.request()
		r.hear(recorded)
		r.wait("a join-accept", func() bool { return len(r.Sent()) == 1 })
		u.accept(t, r.Sent()[0].PHY)
		r.hear(u.send(3, "joined"))
		r.hear(recorded)
		if r.Counted(countRepeated) != 1 || len(r.network.Strangers()) != 0 {
			t.Errorf("a late copy: counts %v, strangers %+v", r.counts, r.network.Strangers())
		}
		r.end()
		r = start(t, g, nil, d)
		r.hear(recorded)
		if r.Counted(countJoinNonce) != 1 {
			t.Errorf("counts %v, want the request refused", r.counts)
		}
		u.nonce = 400 // a 1.0 device may draw any, a 1.1 device counts up
		r.hear(u.request())
		if refused := r.Counted(countJoinNonce) == 2; refused != modern {
			t.Errorf("a lower nonce that was never used: counts %v", r.counts)
		}
		strange := r.network.Strangers()
		if len(strange) != 1 || strange[0].Kind != joinRefused || strange[0].Address != d.DevEUI || strange[0].Reason == "" {
			t.Errorf("got %+v", strange)
		}
		u.nonce = 501
	})
}

func TestJoinNoncesOfADeviceRise(t *testing.T) {
	eachVersion(t, func(t *testing.T, modern bool) {
		u, d := otaa(1, modern)
		r := start(t, newGround(), nil, d)
		last := lorawan.JoinNonce(0)
		for range 5 {
			answer := r.join(u)
			if answer.JoinNonce <= last {
				t.Errorf("got join nonce %d after %d", answer.JoinNonce, last)
			}
			last = answer.JoinNonce
		}
	})
}

func TestNoncesAreRememberedForEver(t *testing.T) {
	var n nonces
	for i := range allNonces {
		nonce := uint16(i * 7919)
		if n.has(nonce) {
			t.Fatalf("%d is used before it was", nonce)
		}
		n = n.with(nonce)
		if !n.has(nonce) || i > 0 && !n.has(uint16((i-1)*7919)) {
			t.Fatalf("after %d nonces one is forgotten", i)
		}
	}
	if len(n) > nonceBits {
		t.Errorf("%d bytes, want at most %d", len(n), nonceBits)
	}
}

// readings are the payloads that were taken, and which of them were flagged late.
func (r *radio) readings() (all, late []string) {
	for _, k := range r.Uplinks() {
		if k.Facts != nil || k.Notice != nil {
			continue
		}
		all = append(all, string(k.Payload))
		if slices.Equal(k.Flags, flagsLate) {
			late = append(late, string(k.Payload))
		}
	}
	return all, late
}

func TestOldSessionIsGoodUntilTheNewOneIsUsed(t *testing.T) {
	u, d := otaa(1, false)
	r := start(t, newGround(), nil, d)
	r.join(u)
	r.hear(u.send(3, "first session"))
	old := *u
	r.join(u)
	r.hear(old.send(3, "did not hear the answer"))
	r.hear(u.send(3, "second session"))
	all, late := r.readings()
	if want := []string{"first session", "did not hear the answer", "second session"}; !slices.Equal(all, want) || len(late) > 0 {
		t.Errorf("got %q, late %q, want %q", all, late, want)
	}
}

func TestLateFramesOfTheSessionBeforeAreTakenOnceEachAndNotAnswered(t *testing.T) {
	eachVersion(t, func(t *testing.T, modern bool) {
		for _, relaxed := range []bool{false, true} {
			u, d := otaa(1, modern)
			d.Relaxed = relaxed
			g := newGround()
			r := start(t, g, nil, d)
			r.join(u)
			var late [][]byte
			u.confirmed = true
			for i := range 6 {
				if frame := u.send(3, fmt.Sprint("first ", i)); i%2 == 0 {
					r.hear(frame)
				} else {
					late = append(late, frame)
				}
			}
			r.sentFrame(4)
			first := *u
			r.join(u)
			r.hear(u.send(3, "second 0"))
			r.sentFrame(6) // two join-accepts, four acknowledgements
			r.end()
			r = start(t, g, nil, d)
			for range 2 {
				r.hear(late[2], late[0], late[1], first.frame(4, 3, []byte("first 4")))
			}
			all, flagged := r.readings()
			want := []string{"first 5", "first 1", "first 3"}
			if slices.Sort(want); !slices.Equal(all[:4], []string{"first 0", "first 2", "first 4", "second 0"}) || len(all) != 7 {
				t.Fatalf("got %q", all)
			}
			if slices.Sort(flagged); !slices.Equal(flagged, want) {
				t.Errorf("late are %q, want %q", flagged, want)
			}
			if r.Counted(countLate) != 3 || r.Counted(countRepeated) != 5 || len(r.Sent()) != 6 {
				t.Errorf("counts %v, %d downlinks, want 3 late, 5 repeated and no more than 6 downlinks", r.counts, len(r.Sent()))
			}
			r.hear(u.send(3, "second 1"))
			r.sentFrame(7)

			u.confirmed = false
			r.join(u)
			r.hear(u.send(3, "third 0"))
			r.hear(first.frame(6, 3, []byte("two sessions ago")))
			if all, _ := r.readings(); len(all) != 9 || r.Counted(countUnknownAddress) != 1 {
				t.Errorf("got %q, counts %v, want the address of the first session unknown", all, r.counts)
			}
		}
	})
}

func TestFrameOfASessionThatAnotherReplacesMeanwhileIsLate(t *testing.T) {
	u, d := otaa(1, false)
	r := start(t, newGround(), nil, d)
	r.join(u)
	r.hear(u.send(3, "first"))
	u.confirmed = true
	late := u.send(3, "late")
	r.join(u)
	hold := make(chan struct{})
	r.set(func() { r.hold = hold })
	done := make(chan error, 2)
	for _, phy := range [][]byte{u.send(3, "second"), late} {
		r.feed.Receive([]Reception{r.heardBy(1, phy)}, func(err error) { done <- err })
		time.Sleep(50 * time.Millisecond)
	}
	close(hold)
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	all, flagged := r.readings()
	if !slices.Equal(all, []string{"first", "second", "late"}) || !slices.Equal(flagged, []string{"late"}) {
		t.Errorf("got %q, late %q", all, flagged)
	}
	r.sentFrame(3)
	if down := r.network.devices[d.DevEUI].record(r.State).former.down; down != 0 {
		t.Errorf("the session before has used %d downlink counters", down)
	}
}

func TestRecordOfTheFirstVersionIsRead(t *testing.T) {
	packed := []byte{
		recordFirst, 5, 10,
		3, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 9, 4, 0, // joined; address, epoch, down, JoinEUI, DevNonce, JoinNonce, NetID
		5, 0, 0, 0, 2, 0, 0, 9, 1, 0, 0, 0, 0, // not joined; address, epoch, down, highest counter, window, no hashes
	}
	r, err := decodeRecord(packed)
	if err != nil || r.joinNonce != 5 || r.devNonce != 9 || r.check != 0 || r.former != nil {
		t.Fatalf("got %+v, %v", r, err)
	}
	if s := r.active; s.devAddr != 1 || s.down != 2 || s.joinEUI != 7 || s.devNonce != 9 || s.joinNonce != 4 || s.up.any {
		t.Errorf("got active %+v", s)
	}
	if s := r.pending; s.devAddr != 2 || s.joined || s.check != 0 || s.up.top != 9 || s.standing(9) != taken {
		t.Errorf("got pending %+v", s)
	}
}

func TestDeviceWithANewKeyBeginsAnew(t *testing.T) {
	eachVersion(t, func(t *testing.T, modern bool) {
		u, d := otaa(1, modern)
		g := newGround()
		r := start(t, g, nil, d)
		for range 3 {
			r.join(u)
		}
		last := r.network.devices[d.DevEUI].record(r.State).joinNonce
		old := *u
		r.end()

		fresh, other := otaa(2, modern) // as the device that had the DevEUI before, with a key and nonces of its own
		fresh.eui, fresh.devEUI, other.DevEUI = u.eui, u.devEUI, d.DevEUI
		r = start(t, g, nil, other)
		r.hear(old.send(3, "of the old key"))
		if r.Counted(countUnknownAddress) != 1 {
			t.Errorf("counts %v, want the old session gone", r.counts)
		}
		if answer := r.join(fresh); uint32(answer.JoinNonce) <= last {
			t.Errorf("got join nonce %d after %d", answer.JoinNonce, last)
		}
		r.hear(fresh.send(3, "of the new key"))
		if all, _ := r.readings(); !slices.Equal(all, []string{"of the new key"}) {
			t.Errorf("got %q", all)
		}
		fresh.nonce = 0
		r.hear(fresh.request())
		r.end()
		r = start(t, g, nil, other)
		fresh.nonce = 0
		r.hear(fresh.request())
		if r.Counted(countRepeated)+r.Counted(countJoinNonce) != 2 {
			t.Errorf("counts %v, want the nonce used", r.counts)
		}
	})
}

func TestJoinsThatCannotBeAreCountedByReason(t *testing.T) {
	u, d := otaa(1, false)
	other, _ := otaa(2, false)
	session, given := abp(3, 0x01020304)
	r := start(t, newGround(), nil, d, given)
	r.hear(other.request())
	forged := *u
	forged.nwkKey = key(99)
	r.hear(forged.request())
	session.devEUI, session.nwkKey = lorawan.EUI64{0x70, 0xb3, 0xd5, 0xe7, 0x5e, 0, 0, 3}, key(1)
	r.hear(session.request())
	silent := r.heardBy(1, u.request())
	silent.Transmit = nil
	if err := r.receive(silent); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{countUnknownEUI, countJoinUnsigned, countJoinKeys, countJoinDownlink} {
		if r.Counted(want) != 1 {
			t.Errorf("%s is counted %d times, want once; counts %v", want, r.Counted(want), r.counts)
		}
	}
	if len(r.Sent()) != 0 || len(r.Uplinks()) != 0 || r.Commits() != 0 {
		t.Errorf("%d sent, %d uplinks, %d commits, want none", len(r.Sent()), len(r.Uplinks()), r.Commits())
	}
	if strange := r.network.Strangers(); len(strange) != 3 || strange[1].Count != 2 {
		t.Errorf("got strangers %+v, want 3, one of them twice", strange)
	}
}

func TestBoxWithoutMemoryGoesOnAboveWhatItGaveOut(t *testing.T) {
	if first := firstJoinNonce(time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)); first < 1_000_000 || first > maxJoinNonce/2 {
		t.Errorf("got %d", first)
	}
	if first := firstJoinNonce(time.Unix(0, 0)); first != 1 {
		t.Errorf("in 1970: got %d, want 1", first)
	}
	if first := firstJoinNonce(time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)); first > maxJoinNonce/2 {
		t.Errorf("in 2099: got %d", first)
	}
}

func TestJoinAcceptUsesTheSecondWindowThatDevicesBeginWith(t *testing.T) {
	u, d := otaa(1, false)
	r := start(t, newGround(), func(o *Options) { o.RX2DataRate, o.RX2Frequency = 3, 869_600_000 }, d)
	r.hear(u.request())
	if w := r.sentFrame(1).Windows[1]; w.Frequency != 869_600_000 || w.DataRate.SpreadingFactor != 12 {
		t.Errorf("got %+v", w)
	}
}

func TestAddressesOfASmallNetworkAreSharedByFew(t *testing.T) {
	options := Defaults()
	options.NetID = 0xe00001 // type 7: 128 addresses
	n, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for range 128 * 8 {
		address := n.newAddress()
		n.settle(address, &device{})
		most = max(most, len(n.at(address)))
	}
	if most > 10 {
		t.Errorf("%d devices on one address, %d on each would do", most, 8)
	}
}

func TestJoinAcceptLeavesFixedChannelsAsTheDeviceHasThem(t *testing.T) {
	u, d := otaa(1, false)
	r := start(t, newGround(), func(o *Options) { o.Region, o.Channels = "US915", nil }, d)
	heard := r.heardBy(1, u.request())
	heard.Frequency, heard.DataRate = 903_900_000, DataRate{SpreadingFactor: 10, Bandwidth: 125}
	if err := r.receive(heard); err != nil {
		t.Fatal(err)
	}
	sent := r.sentFrame(1)
	want := []Window{
		{5 * time.Second, 923_300_000, DataRate{SpreadingFactor: 10, Bandwidth: 500}, 20},
		{6 * time.Second, 923_300_000, DataRate{SpreadingFactor: 12, Bandwidth: 500}, 20},
	}
	if answer := u.accept(t, sent.PHY); answer.CFList != nil || !slices.Equal(sent.Windows, want) {
		t.Errorf("got channels %+v, windows %+v, want %+v", answer.CFList, sent.Windows, want)
	}
}
