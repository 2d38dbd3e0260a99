package demo

import "encoding/binary"

// macVersion is which LoRaWAN a session speaks.
type macVersion uint8

const (
	lorawan10 macVersion = iota
	lorawan11
)

// session is what a device knows once it is activated. With LoRaWAN 1.0 the three network keys are the same.
type session struct {
	version   macVersion
	address   uint32
	forward   aesKey // FNwkSIntKey
	serving   aesKey // SNwkSIntKey
	encrypt   aesKey // NwkSEncKey
	app       aesKey // AppSKey
	counter   uint32 // FCntUp of the next uplink
	network   uint32 // the least downlink counter that is still new; with 1.1 that of downlinks without an application port
	apps      uint32 // with 1.1, of downlinks with an application port
	delay     uint8  // seconds from the end of an uplink to the first receive window
	offset    uint8  // RX1DROffset
	rate2     uint8  // data rate of the second window
	channels  []uint32
	confirmed *uint32 // counter of a confirmed downlink that the next uplink acknowledges
	rekeyed   bool    // the network has confirmed the keys of 1.1
}

// euChannels are those that every device in Europe knows, in Hz, by channel index.
var euChannels = []uint32{868_100_000, 868_300_000, 868_500_000}

const (
	rx2Frequency = 869_525_000 // of EU868
	joinDelay    = 5           // seconds, JOIN_ACCEPT_DELAY1
)

// personalised is the session of a device that was activated in its factory (ABP, LoRaWAN 1.0).
func personalised(address uint32, network, app aesKey, counter uint32) *session {
	return &session{
		version: lorawan10, address: address, forward: network, serving: network, encrypt: network, app: app, counter: counter,
		delay: 1, channels: euChannels, rekeyed: true,
	}
}

// joinAnswer is a join-accept, decrypted and checked.
type joinAnswer struct {
	nonce    [3]byte // JoinNonce, as on air
	netID    [3]byte
	address  uint32
	settings byte // DLSettings
	delay    byte
	channels []byte // CFList, 16 bytes or none
}

// newer says that the network of LoRaWAN 1.1 is meant.
func (a *joinAnswer) newer() bool { return a.settings&0x80 != 0 }

// session derives the keys (LoRaWAN 1.1, section 6.2.5; 1.0.x, section 6.2.5).
func (a *joinAnswer) session(app, network aesKey, joinEUI uint64, nonce uint16) *session {
	s := &session{
		address: a.address, delay: max(a.delay&0x0f, 1), offset: a.settings >> 4 & 7, rate2: a.settings & 0x0f,
		channels: append(euChannels[:len(euChannels):len(euChannels)], a.frequencies()...),
	}
	derive := func(root aesKey, kind byte) aesKey {
		block := append([]byte{kind}, a.nonce[:]...)
		if a.newer() {
			block = binary.LittleEndian.AppendUint64(block, joinEUI)
		} else {
			block = append(block, a.netID[:]...)
		}
		block = binary.LittleEndian.AppendUint16(block, nonce)
		return root.encrypt([16]byte(append(block, make([]byte, 16-len(block))...)))
	}
	if a.newer() {
		s.version = lorawan11
		s.forward, s.serving, s.encrypt, s.app = derive(network, 1), derive(network, 3), derive(network, 4), derive(app, 2)
		return s
	}
	s.forward, s.app, s.rekeyed = derive(network, 1), derive(network, 2), true
	s.serving, s.encrypt = s.forward, s.forward
	return s
}

// frequencies are the channels 3 to 7 that a join-accept may add, in Hz (type 0 of the CFList).
func (a *joinAnswer) frequencies() []uint32 {
	if len(a.channels) != 16 || a.channels[15] != 0 {
		return nil
	}
	var frequencies []uint32
	for i := 0; i < 15; i += 3 {
		hundreds := uint32(a.channels[i]) | uint32(a.channels[i+1])<<8 | uint32(a.channels[i+2])<<16
		if hundreds != 0 {
			frequencies = append(frequencies, hundreds*100)
		}
	}
	return frequencies
}
