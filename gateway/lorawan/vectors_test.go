package lorawan

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"testing"

	"github.com/brocaar/lorawan"
)

// The frames and keys of this file are published with other implementations of LoRaWAN: lora-packet (README and tests) and
// The Things Stack (tests of its crypto package). None was made with the library that Belfry uses.

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keyOf(t testing.TB, text string) *Key {
	t.Helper()
	k, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return &k
}

func TestPublishedFramesAreReadWithTheirKeys(t *testing.T) {
	const (
		network = "44024241ed4ce9a68c6a8bc055233fd3"
		app     = "ec925802ae430ca77fd3dd73cb2cc588"
		large   = "40f17dbe490004000155332de41a11adc072553544429ce7787707d1c316e027e7e5e334263376affb8aa17ad30075293f28dea8a20af3c5e7"
	)
	packet := Device{DevEUI: "70b3d5e75e000001", DevAddr: "49be7df1", NwkSKey: keyOf(t, network), AppSKey: keyOf(t, app)}
	decoder := Device{
		DevEUI: "70b3d5e75e000002", DevAddr: "260413ae", NwkSKey: keyOf(t, "99D58493D1205B43EFF938F0F66C339E"),
		AppSKey: keyOf(t, "0A501524F8EA5FCBF9BDB5AD7D126F75"),
	}
	r := start(t, newGround(), nil, packet, decoder)
	for _, c := range []struct {
		frame, device string
		payload       []byte
	}{
		{"40F17DBE4900020001954378762B11FF0D", packet.DevEUI, []byte("test")},
		{"40F17DBE49000300012A3518AF", packet.DevEUI, []byte{}},
		{large, packet.DevEUI, []byte("The quick brown fox jumps over the lazy dog.")},
		{"40AE130426800000016F895D98810714E3268295", decoder.DevEUI, nil},
	} {
		before := len(r.Uplinks())
		r.hear(unhex(t, c.frame))
		got := r.Uplinks()
		if len(got) != before+1 {
			t.Errorf("%s: not taken; counts %v", c.frame, r.counts)
			continue
		}
		u := got[before]
		if u.Device != c.device || u.Port != 1 || len(c.payload) > 0 && !bytes.Equal(u.Payload, c.payload) {
			t.Errorf("%s: got %s port %d %q, want %s %q", c.frame, u.Device, u.Port, u.Payload, c.device, c.payload)
		}
	}
}

func TestPublishedFrameOfTheThingsStackIsSigned(t *testing.T) {
	same := "01010101010101010101010101010101"
	d := Device{DevEUI: "70b3d5e75e000001", DevAddr: "01020304", NwkSKey: keyOf(t, same), AppSKey: keyOf(t, same)}
	keys := d.givenKeys()
	legacy, err := parseData(unhex(t, "40040302010001000101020304"+"3b073182"))
	if err != nil {
		t.Fatal(err)
	}
	if !legacy.signed(lorawan.LoRaWAN1_0, &keys, 1, 0, 0) {
		t.Error("the signature of LoRaWAN 1.0 is not recognised")
	}
	modern, err := parseData(unhex(t, "40040302010001000101020304"+"3b073b07"))
	if err != nil {
		t.Fatal(err)
	}
	if !modern.signed(lorawan.LoRaWAN1_1, &keys, 1, 0, 0) || modern.signed(lorawan.LoRaWAN1_0, &keys, 1, 0, 0) {
		t.Error("the signature of LoRaWAN 1.1 is not recognised, or taken for one of 1.0")
	}
	encrypted, err := parseData(unhex(t, "400403020100010001"+"cff30b4e"+"00000000"))
	if err != nil {
		t.Fatal(err)
	}
	if payload, _, err := encrypted.decrypt(lorawan.LoRaWAN1_0, &keys, 1); err != nil || !bytes.Equal(payload, []byte{1, 2, 3, 4}) {
		t.Errorf("got %x, %v, want 01020304", payload, err)
	}
}

// TestOptionsAreDecryptedAsTheErratumSays computes the key stream of FOpts from the text of the erratum to LoRaWAN 1.1 (block
// A with 1 for counters of uplinks and i = 1), since test vectors before it are of another.
func TestOptionsAreDecryptedAsTheErratumSays(t *testing.T) {
	same := unhex(t, "01010101010101010101010101010101")
	cipher, err := aes.NewCipher(same)
	if err != nil {
		t.Fatal(err)
	}
	stream := unhex(t, "01000000"+"01"+"00"+"04030201"+"01000000"+"00"+"01")
	cipher.Encrypt(stream, stream)
	clear := []byte{1, 2, 3, 4}
	phy := unhex(t, "4004030201040100")
	for i := range clear {
		phy = append(phy, clear[i]^stream[i])
	}
	frame, err := parseData(append(phy, 0, 0, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	keys := sessionKeys{encrypt: lorawan.AES128Key(same)}
	if _, commands, err := frame.decrypt(lorawan.LoRaWAN1_1, &keys, 1); err != nil || !bytes.Equal(commands, clear) {
		t.Errorf("got %x, %v, want %x", commands, err, clear)
	}
}

func TestPublishedSessionKeysAreDerived(t *testing.T) {
	want := func(what string, got lorawan.AES128Key, text string) {
		t.Helper()
		if got.String() != text {
			t.Errorf("%s: got %s, want %s", what, got, text)
		}
	}
	old := Device{AppKey: keyOf(t, "98929b92c49edba9676d646d3b612456")}
	keys := old.sessionKeys(&session{joined: true, joinNonce: 0x376338, netID: 0xaabbcc, devNonce: 0xf18e})
	want("NwkSKey", keys.forward, "4e3d6e6afbcc67af2ba3c8e8ec4acf4b")
	want("AppSKey", keys.app, "610897aa6f1460623443b527d3ac6a9d")

	root := keyOf(t, "bec499c69e9c939e413b663961636c61")
	join := session{joined: true, joinNonce: 0xae3b1c, netID: 0x020101, devNonce: 0x7369, joinEUI: 0x0000001223224242}
	old = Device{AppKey: root}
	keys = old.sessionKeys(&join)
	want("NwkSKey", keys.forward, "0db924ee6af90698e05fc7ce48303c01")
	want("AppSKey", keys.app, "8c1e0543a229088de6f84e74bb46bd62")
	modern := Device{AppKey: root, NwkKey: root}
	keys = modern.sessionKeys(&join)
	want("FNwkSIntKey", keys.forward, "379084e7ce22ff191bff4b77536f2aa3")
	want("SNwkSIntKey", keys.serve, "63c59309d53485bc5164dbf71627aeb9")
	want("NwkSEncKey", keys.encrypt, "ce07a009a3970ac0519a099ed53e550b")
	want("AppSKey", keys.app, "b035cce24e4a040eb5cecbf21724412d")
	want("JSIntKey", derive(*root, deriveJoin, eui(0x0042004213424341)), "cb8e9ee114c3fb5ce472a5aa13ab1855")
}

func TestPublishedJoinRequestIsAcceptedAndItsAnswerSigned(t *testing.T) {
	d := Device{AppKey: keyOf(t, "98929b92c49edba9676d646d3b612456")}
	request := unhex(t, "0039363463336913AA05693574323831330489C65B1304")
	parsed, err := parseJoin(request)
	if err != nil {
		t.Fatal(err)
	}
	d.DevEUI = parsed.DevEUI.String()
	if d.DevEUI != "3331383274356905" || parsed.JoinEUI.String() != "aa13693363343639" {
		t.Fatalf("got DevEUI %s, JoinEUI %s", parsed.DevEUI, parsed.JoinEUI)
	}
	r := start(t, newGround(), nil, d)
	r.hear(request)
	r.wait("a join-accept", func() bool { return len(r.Sent()) == 1 })
	if r.Counted(countJoins) != 1 {
		t.Errorf("counts %v", r.counts)
	}
}

// TestPublishedJoinAcceptIsMade compares the join-accept with those of other implementations, byte for byte.
func TestPublishedJoinAcceptIsMade(t *testing.T) {
	region := start(t, newGround(), func(o *Options) { o.Channels = nil }).network.Region()
	made := func(d Device, s *session) string {
		t.Helper()
		request := &lorawan.JoinRequestPayload{DevEUI: lorawan.EUI64{1, 2, 3, 4, 5, 6, 7, 8}}
		j := &join{device: &device{Device: d, mac: d.version()}, request: request, accepted: s}
		accept, err := j.accept(region)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(accept)
	}
	ones := "01010101010101010101010101010101"
	s := &session{joined: true, joinNonce: 0x010203, netID: 0x010203, devAddr: 0x01020304}
	if got, want := made(Device{AppKey: keyOf(t, ones)}, s), "20"+"c9fbb259e11649096a568a9e3b7117c3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
