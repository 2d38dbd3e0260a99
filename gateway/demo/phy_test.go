package demo

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/brocaar/lorawan"
)

func unhex(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keyOf(t *testing.T, digits string) aesKey { return aesKey(unhex(t, digits)) }

// RFC 4493, section 4.
func TestCMACIsThatOfTheRFC(t *testing.T) {
	key := keyOf(t, "2b7e151628aed2a6abf7158809cf4f3c")
	message := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	for length, want := range map[int]string{
		0:  "bb1d6929e95937287fa37d129b756746",
		16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827",
		64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		if got := key.cmac(message[:length]); hex.EncodeToString(got[:]) != want {
			t.Errorf("%d bytes: got %x, want %s", length, got, want)
		}
	}
}

// Frames that others published with their keys: the README of lora-packet, and the tests of brocaar/lorawan.
func TestUplinksAreThePublishedOnes(t *testing.T) {
	check := func(name string, s *session, u *uplinkFrame, want string) {
		t.Helper()
		if got := s.seal(u); hex.EncodeToString(got) != want {
			t.Errorf("%s: got %x, want %s", name, got, want)
		}
	}
	s := personalised(0x49be7df1, keyOf(t, "44024241ed4ce9a68c6a8bc055233fd3"), keyOf(t, "ec925802ae430ca77fd3dd73cb2cc588"), 2)
	check("1.0", s, &uplinkFrame{counter: 2, port: 1, payload: []byte("test")}, "40f17dbe4900020001954378762b11ff0d")

	hello := &uplinkFrame{adaptive: true, counter: 1, port: 1, payload: []byte("hello"), rate: 0, channel: 0}
	two := func(last string) aesKey { return keyOf(t, "020202020202020202020202020202"+last) }
	s = personalised(0x01020304, two("02"), keyOf(t, "01010101010101010101010101010101"), 1)
	check("1.0, adaptive data rate", s, hello, "400403020180010001a694642615d6c3b582")
}

func TestJoinRequestIsThePublishedOne(t *testing.T) {
	got := joinRequest(keyOf(t, "01010101010101010101010101010101"), 0x0102030401020304, 0x0203040502030405, 4141)
	if want := "00040302010403020105040302050403022d106a990e12"; hex.EncodeToString(got) != want {
		t.Errorf("got %x, want %s", got, want)
	}
}

func TestJoinAcceptOpensAsPublished(t *testing.T) {
	a, err := openJoinAccept(keyOf(t, "00112233445566778899aabbccddeeff"), false, 0, 0, 0, unhex(t, "20493eeb51fba2116f810edb3742975142"))
	if err != nil {
		t.Fatal(err)
	}
	if a.nonce != [3]byte{0xc7, 0x0b, 0x57} || a.netID != [3]byte{1, 17, 34} || a.address != 0x02031980 || a.newer() {
		t.Errorf("got %+v", a)
	}
}

// The join server's tests of brocaar/lorawan.
func TestDerivedKeysAreThePublishedOnes(t *testing.T) {
	root := keyOf(t, "01020304050607080102030405060708")
	a := joinAnswer{nonce: [3]byte{0, 0, 1}, netID: [3]byte{3, 2, 1}}
	check := func(name string, got aesKey, want ...byte) {
		t.Helper()
		if !bytes.Equal(got[:], want) {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
	older := a.session(root, root, 0x0807060504030201, 258)
	check("NwkSKey", older.forward, 223, 83, 195, 95, 48, 52, 204, 206, 208, 255, 53, 76, 112, 222, 4, 223)
	check("AppSKey of 1.0", older.app, 146, 123, 156, 145, 17, 131, 207, 254, 76, 178, 255, 75, 117, 84, 95, 109)
	a.settings = 0x80
	newer := a.session(aesKey{}, root, 0x0807060504030201, 258)
	check("FNwkSIntKey", newer.forward, 83, 127, 138, 174, 137, 108, 121, 224, 21, 209, 2, 208, 98, 134, 53, 78)
	check("SNwkSIntKey", newer.serving, 88, 148, 152, 153, 48, 146, 207, 219, 95, 210, 224, 42, 199, 81, 11, 241)
	check("NwkSEncKey", newer.encrypt, 152, 152, 40, 60, 79, 102, 235, 108, 111, 213, 22, 88, 130, 4, 108, 64)
	check("AppSKey of 1.1", newer.app, 1, 98, 18, 21, 209, 202, 8, 254, 191, 12, 96, 44, 194, 173, 144, 250)
}

// randomSession is a session of either version with keys of its own.
func randomSession(random *rand.Rand) *session {
	key := func() (k aesKey) {
		binary.LittleEndian.PutUint64(k[:], random.Uint64())
		binary.LittleEndian.PutUint64(k[8:], random.Uint64())
		return k
	}
	s := personalised(random.Uint32(), key(), key(), random.Uint32())
	if random.IntN(2) == 0 {
		s.version, s.serving, s.encrypt = lorawan11, key(), key()
	}
	s.network, s.apps = random.Uint32(), random.Uint32()
	return s
}

func (s *session) library() lorawan.MACVersion {
	if s.version == lorawan11 {
		return lorawan.LoRaWAN1_1
	}
	return lorawan.LoRaWAN1_0
}

func randomBytes(random *rand.Rand, most int) []byte {
	b := make([]byte, random.IntN(most+1))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func TestAnotherImplementationReadsTheUplinks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		s := randomSession(random)
		u := &uplinkFrame{
			confirmed: random.IntN(2) == 0, counter: s.counter, port: uint8(1 + random.IntN(200)), payload: randomBytes(random, 60),
			rate: uint8(random.IntN(6)), channel: uint8(random.IntN(8)), options: bytes.Repeat([]byte{commandLinkCheck}, random.IntN(16)),
		}
		answered := random.Uint32()
		if random.IntN(3) == 0 {
			u.answers = &answered
		}
		var phy lorawan.PHYPayload
		if err := phy.UnmarshalBinary(s.seal(u)); err != nil {
			t.Fatal(err)
		}
		mac := phy.MACPayload.(*lorawan.MACPayload)
		mac.FHDR.FCnt = u.counter
		valid, err := phy.ValidateUplinkDataMIC(s.library(), answered, u.rate, u.channel, lorawan.AES128Key(s.forward), lorawan.AES128Key(s.serving))
		if err != nil || !valid {
			t.Fatalf("%+v: MIC is %v, %v", u, valid, err)
		}
		if s.version == lorawan11 {
			if err := phy.DecryptFOpts(lorawan.AES128Key(s.encrypt)); err != nil {
				t.Fatal(err)
			}
		} else if err := phy.DecodeFOptsToMACCommands(); err != nil {
			t.Fatal(err)
		}
		if err := phy.DecryptFRMPayload(lorawan.AES128Key(s.app)); err != nil {
			t.Fatal(err)
		}
		if len(mac.FHDR.FOpts) != len(u.options) {
			t.Fatalf("%d commands, want %d", len(mac.FHDR.FOpts), len(u.options))
		}
		var got []byte
		if len(mac.FRMPayload) > 0 {
			got = mac.FRMPayload[0].(*lorawan.DataPayload).Bytes
		}
		if !bytes.Equal(got, u.payload) {
			t.Fatalf("got %x, want %x", got, u.payload)
		}
	}
}

// downlinkOf makes a downlink with the other implementation.
func downlinkOf(t *testing.T, s *session, confirmed, ack bool, counter, uplink uint32, port int, options, payload []byte) []byte {
	t.Helper()
	mac := &lorawan.MACPayload{FHDR: lorawan.FHDR{FCnt: counter, FCtrl: lorawan.FCtrl{ACK: ack}}}
	binary.BigEndian.PutUint32(mac.FHDR.DevAddr[:], s.address)
	if len(options) > 0 {
		mac.FHDR.FOpts = []lorawan.Payload{&lorawan.DataPayload{Bytes: options}}
	}
	if port >= 0 {
		number := uint8(port)
		mac.FPort, mac.FRMPayload = &number, []lorawan.Payload{&lorawan.DataPayload{Bytes: payload}}
	}
	phy := lorawan.PHYPayload{MHDR: lorawan.MHDR{MType: lorawan.UnconfirmedDataDown}, MACPayload: mac}
	if confirmed {
		phy.MHDR.MType = lorawan.ConfirmedDataDown
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := lorawan.AES128Key(s.app)
	if port == 0 {
		key = lorawan.AES128Key(s.encrypt)
	}
	must(phy.EncryptFRMPayload(key))
	if s.version == lorawan11 && len(options) > 0 {
		must(phy.EncryptFOpts(lorawan.AES128Key(s.encrypt)))
	}
	must(phy.SetDownlinkDataMIC(s.library(), uplink, lorawan.AES128Key(s.serving)))
	frame, err := phy.MarshalBinary()
	must(err)
	return frame
}

func TestDownlinksOfAnotherImplementationAreTakenOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		s := randomSession(random)
		port, options, payload := random.IntN(4)-1, randomBytes(random, 15), randomBytes(random, 50)
		if port == 0 {
			options = nil
		}
		next := &s.network
		if s.version == lorawan11 && port > 0 {
			next = &s.apps
		}
		ack, uplink := random.IntN(2) == 0, random.Uint32()
		counter := *next + random.Uint32N(60000)
		frame := downlinkOf(t, s, random.IntN(2) == 0, ack, counter, uplink, port, options, payload)

		changed := bytes.Clone(frame)
		changed[1+random.IntN(len(frame)-1)] ^= 1 << random.IntN(8)
		if _, err := s.open(changed, uplink); !errors.Is(err, errDownlink) {
			t.Fatalf("a changed frame is taken: %v", err)
		}
		got, err := s.open(frame, uplink)
		if err != nil {
			t.Fatal(err)
		}
		commands, data := options, payload
		if port == 0 {
			commands, data = payload, nil
		} else if port < 0 {
			data = nil
		}
		if got.counter != counter || got.ack != ack || got.port != port || !bytes.Equal(got.commands, commands) || !bytes.Equal(got.payload, data) {
			t.Fatalf("got %+v, want counter %d, port %d, commands %x, payload %x", got, counter, port, commands, data)
		}
		if _, err := s.open(frame, uplink); !errors.Is(err, errDownlink) {
			t.Fatalf("a frame is taken twice: %v", err)
		}
	}
}

func TestJoinsOfAnotherImplementationAreUnderstood(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 500 {
		d := newDevice(random.Uint64(), Sensor{Device: eui(1, 3*(i/2)+i%2+2)})
		newer := d.activation == otaa11
		frame, nonce := d.ask()
		var request lorawan.PHYPayload
		if err := request.UnmarshalBinary(frame); err != nil {
			t.Fatal(err)
		}
		if ok, err := request.ValidateUplinkJoinMIC(lorawan.AES128Key(d.net)); !ok || err != nil {
			t.Fatalf("MIC of the join-request: %v, %v", ok, err)
		}
		asked := request.MACPayload.(*lorawan.JoinRequestPayload)
		if asked.DevEUI.String() != d.sensor.Device || uint16(asked.DevNonce) != nonce {
			t.Fatalf("it asks as %s with %d", asked.DevEUI, asked.DevNonce)
		}
		answer := &lorawan.JoinAcceptPayload{
			JoinNonce: lorawan.JoinNonce(1 + random.Uint32N(1<<24-1)), HomeNetID: lorawan.NetID{1, 2, 3}, DevAddr: lorawan.DevAddr{9, 8, 7, 6},
			DLSettings: lorawan.DLSettings{OptNeg: newer, RX2DataRate: 3, RX1DROffset: 2}, RXDelay: 4,
			CFList: &lorawan.CFList{CFListType: lorawan.CFListChannel, Payload: &lorawan.CFListChannelPayload{Channels: [5]uint32{867100000, 867300000}}},
		}
		phy := lorawan.PHYPayload{MHDR: lorawan.MHDR{MType: lorawan.JoinAccept}, MACPayload: answer}
		signer := lorawan.AES128Key(d.net)
		if newer {
			var seed [16]byte
			seed[0] = 6
			binary.LittleEndian.PutUint64(seed[1:], d.eui)
			signer = lorawan.AES128Key(d.net.encrypt(seed))
		}
		if err := phy.SetDownlinkJoinMIC(lorawan.JoinRequestType, asked.JoinEUI, asked.DevNonce, signer); err != nil {
			t.Fatal(err)
		}
		if err := phy.EncryptJoinAcceptPayload(lorawan.AES128Key(d.net)); err != nil {
			t.Fatal(err)
		}
		accept, err := phy.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		d.window = window{nonce: nonce}
		if err := d.admit(accept); err != nil {
			t.Fatal(err)
		}
		s := d.session
		if s.address != 0x09080706 || s.delay != 4 || s.rate2 != 3 || s.offset != 2 || len(s.channels) != 5 || s.channels[4] != 867300000 ||
			(s.version == lorawan11) != newer || s.rekeyed == newer {
			t.Fatalf("got %+v", s)
		}
		if newer {
			if err := d.admit(accept); !errors.Is(err, errDownlink) {
				t.Fatalf("a JoinNonce is taken twice: %v", err)
			}
		}
		accept[5] ^= 4
		if err := d.admit(accept); !errors.Is(err, errDownlink) {
			t.Fatalf("a changed join-accept is taken: %v", err)
		}
	}
}
