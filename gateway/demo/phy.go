package demo

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// The message types, in the upper three bits of a frame's first byte.
const (
	typeJoinRequest     = 0x00
	typeJoinAccept      = 0x20
	typeUnconfirmedUp   = 0x40
	typeUnconfirmedDown = 0x60
	typeConfirmedUp     = 0x80
	typeConfirmedDown   = 0xa0
)

// The bits of FCtrl.
const (
	controlADR = 0x80
	controlACK = 0x20
)

// The MAC commands that the town's devices know.
const (
	commandLinkCheck  = 0x02
	commandRekey      = 0x0b
	commandDeviceTime = 0x0d
)

// errDownlink says that a downlink is not what the device may take.
var errDownlink = errors.New("downlink refused")

// joinRequest makes the frame that asks for a session; the key is the NwkKey, with LoRaWAN 1.0 the AppKey.
func joinRequest(key aesKey, joinEUI, devEUI uint64, nonce uint16) []byte {
	frame := binary.LittleEndian.AppendUint64([]byte{typeJoinRequest}, joinEUI)
	frame = binary.LittleEndian.AppendUint64(frame, devEUI)
	frame = binary.LittleEndian.AppendUint16(frame, nonce)
	mic := key.cmac(frame)
	return append(frame, mic[:4]...)
}

// openJoinAccept decrypts and checks the answer to a join-request. With LoRaWAN 1.1 its MIC is made with JSIntKey.
func openJoinAccept(key aesKey, newer bool, joinEUI, devEUI uint64, nonce uint16, frame []byte) (*joinAnswer, error) {
	if len(frame) != 17 && len(frame) != 33 || frame[0] != typeJoinAccept {
		return nil, fmt.Errorf("%w: %d bytes are no join-accept", errDownlink, len(frame))
	}
	plain := []byte{frame[0]}
	for rest := frame[1:]; len(rest) > 0; rest = rest[16:] {
		block := key.encrypt([16]byte(rest)) // the network decrypts to encrypt, so that devices need one direction only
		plain = append(plain, block[:]...)
	}
	body, mic := plain[:len(plain)-4], plain[len(plain)-4:]
	signed, signer := body, key
	a := &joinAnswer{
		nonce: [3]byte(body[1:]), netID: [3]byte(body[4:]), address: binary.LittleEndian.Uint32(body[7:]),
		settings: body[11], delay: body[12], channels: body[13:],
	}
	if a.newer() {
		if !newer {
			return nil, fmt.Errorf("%w: a join-accept of LoRaWAN 1.1 for a device of 1.0", errDownlink)
		}
		var seed [16]byte
		seed[0] = 0x06
		binary.LittleEndian.PutUint64(seed[1:], devEUI)
		signer = key.encrypt(seed)
		signed = binary.LittleEndian.AppendUint64([]byte{0xff}, joinEUI)
		signed = append(binary.LittleEndian.AppendUint16(signed, nonce), body...)
	}
	if sum := signer.cmac(signed); !bytes.Equal(sum[:4], mic) {
		return nil, fmt.Errorf("%w: MIC of a join-accept", errDownlink)
	}
	return a, nil
}

// uplinkFrame is one data uplink before its encryption.
type uplinkFrame struct {
	confirmed bool
	adaptive  bool // the network may choose the data rate
	counter   uint32
	answers   *uint32 // counter of the confirmed downlink that it acknowledges
	options   []byte  // MAC commands, at most 15 bytes
	port      uint8
	payload   []byte
	rate      uint8 // data rate and channel index, which 1.1 signs
	channel   uint8
}

// seal encrypts and signs an uplink (LoRaWAN 1.1, sections 4.3 and 4.4).
func (s *session) seal(u *uplinkFrame) []byte {
	kind, control := byte(typeUnconfirmedUp), byte(len(u.options))
	if u.adaptive {
		control |= controlADR
	}
	if u.confirmed {
		kind = typeConfirmedUp
	}
	if u.answers != nil {
		control |= controlACK
	}
	frame := binary.LittleEndian.AppendUint32([]byte{kind}, s.address)
	frame = binary.LittleEndian.AppendUint16(append(frame, control), uint16(u.counter))
	options := bytes.Clone(u.options)
	if s.version == lorawan11 {
		s.cipher(s.encrypt, optionsNetwork, 0, u.counter, options)
	}
	frame = append(append(frame, options...), u.port)
	payload := bytes.Clone(u.payload)
	key := s.app
	if u.port == 0 {
		key = s.encrypt
	}
	s.cipher(key, 0, 0, u.counter, payload)
	frame = append(frame, payload...)
	return append(frame, s.signUplink(u, frame)...)
}

func (s *session) signUplink(u *uplinkFrame, frame []byte) []byte {
	block := s.block(0x49, 0, u.counter)
	block[15] = byte(len(frame))
	byForwarding := s.forward.cmac(append(block[:], frame...))
	if s.version == lorawan10 {
		return byForwarding[:4]
	}
	if u.answers != nil {
		binary.LittleEndian.PutUint16(block[1:], uint16(*u.answers))
	}
	block[3], block[4] = u.rate, u.channel
	byServing := s.serving.cmac(append(block[:], frame...))
	return []byte{byServing[0], byServing[1], byForwarding[0], byForwarding[1]}
}

// block is the start of what is signed or encrypted: the direction is 0 for uplinks.
func (s *session) block(first, direction byte, counter uint32) [16]byte {
	block := [16]byte{0: first, 5: direction}
	binary.LittleEndian.PutUint32(block[6:], s.address)
	binary.LittleEndian.PutUint32(block[10:], counter)
	return block
}

// What the MAC commands in a frame's header are encrypted with, beside the counter (errata of LoRaWAN 1.1, January 2018).
const (
	optionsNetwork     = 1 // uplinks, and downlinks that count NFCntDown
	optionsApplication = 2 // downlinks that count AFCntDown
)

// cipher encrypts or decrypts data in place. The kind is 0 for payloads.
func (s *session) cipher(key aesKey, kind, direction byte, counter uint32, data []byte) {
	block := s.block(0x01, direction, counter)
	block[4] = kind
	for ; len(data) > 0; data = data[min(16, len(data)):] {
		block[15]++
		stream := key.encrypt(block)
		subtle.XORBytes(data, data, stream[:])
	}
}

// downlinkFrame is one data downlink, checked and decrypted.
type downlinkFrame struct {
	confirmed bool
	ack       bool
	counter   uint32
	port      int    // -1: none
	commands  []byte // MAC commands, from the header or from port 0
	payload   []byte
}

// downlinkAddress returns for whom a data downlink is.
func downlinkAddress(frame []byte) (uint32, bool) {
	if len(frame) < 12 || frame[0] != typeUnconfirmedDown && frame[0] != typeConfirmedDown {
		return 0, false
	}
	return binary.LittleEndian.Uint32(frame[1:]), true
}

// open checks and decrypts a downlink and counts it; uplink is the counter of the confirmed uplink that it may acknowledge.
func (s *session) open(frame []byte, uplink uint32) (*downlinkFrame, error) {
	body := bytes.Clone(frame[:len(frame)-4])
	optionsEnd := 8 + int(body[5]&0x0f)
	if optionsEnd > len(body) {
		return nil, fmt.Errorf("%w: its MAC commands do not fit", errDownlink)
	}
	d := &downlinkFrame{confirmed: body[0] == typeConfirmedDown, ack: body[5]&controlACK != 0, port: -1}
	next, kind := &s.network, byte(optionsNetwork)
	if optionsEnd < len(body) {
		d.port = int(body[optionsEnd])
		d.payload = body[optionsEnd+1:]
	}
	if s.version == lorawan11 && d.port > 0 {
		next, kind = &s.apps, optionsApplication
	}
	d.counter = *next + uint32(binary.LittleEndian.Uint16(body[6:])-uint16(*next))
	if !bytes.Equal(s.signDownlink(d, body, uplink), frame[len(frame)-4:]) {
		return nil, fmt.Errorf("%w: MIC of a downlink with the counter %d, after %d", errDownlink, d.counter, *next)
	}
	*next = d.counter + 1
	d.commands = body[8:optionsEnd]
	if s.version == lorawan11 {
		s.cipher(s.encrypt, kind, 1, d.counter, d.commands)
	}
	if d.port == 0 {
		s.cipher(s.encrypt, 0, 1, d.counter, d.payload)
		d.commands, d.payload = d.payload, nil
	} else {
		s.cipher(s.app, 0, 1, d.counter, d.payload)
	}
	return d, nil
}

func (s *session) signDownlink(d *downlinkFrame, body []byte, uplink uint32) []byte {
	block := s.block(0x49, 1, d.counter)
	block[15] = byte(len(body))
	if s.version == lorawan11 && d.ack {
		binary.LittleEndian.PutUint16(block[1:], uint16(uplink))
	}
	sum := s.serving.cmac(append(block[:], body...))
	return sum[:4]
}
