package lorawan

import (
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/brocaar/lorawan"
)

// sessionKeys are those of one session. In LoRaWAN 1.0 the three network keys are one.
type sessionKeys struct {
	forward, serve, encrypt lorawan.AES128Key // FNwkSIntKey, SNwkSIntKey, NwkSEncKey
	app                     lorawan.AES128Key // AppSKey
}

// version is what a device speaks. That it has a second network key says so.
func (d *Device) version() lorawan.MACVersion {
	if d.NwkKey != nil || d.SNwkSIntKey != nil {
		return lorawan.LoRaWAN1_1
	}
	return lorawan.LoRaWAN1_0
}

// joinKey is what a join-request is signed with, and its answer encrypted.
func (d *Device) joinKey() lorawan.AES128Key {
	if d.NwkKey != nil {
		return lorawan.AES128Key(*d.NwkKey)
	}
	return lorawan.AES128Key(*d.AppKey)
}

// checkValue is a value that tells whether a key of the device is another than before, and nothing else of the key. Never 0.
func (d *Device) checkValue(key lorawan.AES128Key) uint32 {
	h := hmac.New(sha256.New, key[:])
	_, _ = h.Write([]byte("belfry key check " + d.DevEUI))
	return max(binary.BigEndian.Uint32(h.Sum(nil)), 1)
}

// Derivation blocks, sections 6.2.5 of LoRaWAN 1.0.4 and 6.2.6, 6.1.1 of 1.1.
const (
	deriveForward = 0x01 // NwkSKey, FNwkSIntKey
	deriveApp     = 0x02
	deriveServe   = 0x03
	deriveEncrypt = 0x04
	deriveJoin    = 0x06 // JSIntKey
)

// sessionKeys derives the keys of a session.
func (d *Device) sessionKeys(s *session) sessionKeys {
	if !s.joined {
		return d.givenKeys()
	}
	if d.version() == lorawan.LoRaWAN1_0 {
		network := derive(*d.AppKey, deriveForward, nonce3(s.joinNonce), nonce3(s.netID), nonce2(s.devNonce))
		return sessionKeys{
			forward: network, serve: network, encrypt: network,
			app: derive(*d.AppKey, deriveApp, nonce3(s.joinNonce), nonce3(s.netID), nonce2(s.devNonce)),
		}
	}
	of := func(root Key, block byte) lorawan.AES128Key {
		return derive(root, block, nonce3(s.joinNonce), eui(s.joinEUI), nonce2(s.devNonce))
	}
	return sessionKeys{
		forward: of(*d.NwkKey, deriveForward), serve: of(*d.NwkKey, deriveServe), encrypt: of(*d.NwkKey, deriveEncrypt),
		app: of(*d.AppKey, deriveApp),
	}
}

// givenKeys are the keys of a device that has its session from its maker.
func (d *Device) givenKeys() sessionKeys {
	keys := sessionKeys{forward: lorawan.AES128Key(*d.NwkSKey), app: lorawan.AES128Key(*d.AppSKey)}
	keys.serve, keys.encrypt = keys.forward, keys.forward
	if d.SNwkSIntKey != nil {
		keys.serve, keys.encrypt = lorawan.AES128Key(*d.SNwkSIntKey), lorawan.AES128Key(*d.NwkSEncKey)
	}
	return keys
}

// derive encrypts a block of a constant and numbers, padded with zeros.
func derive(root Key, constant byte, parts ...[]byte) lorawan.AES128Key {
	block := make([]byte, 1, aes.BlockSize)
	block[0] = constant
	for _, part := range parts {
		block = append(block, part...)
	}
	block = block[:aes.BlockSize]
	cipher, err := aes.NewCipher(root[:])
	if err != nil {
		panic(err) // the key has the right length
	}
	var key lorawan.AES128Key
	cipher.Encrypt(key[:], block)
	return key
}

// Numbers in the order in which they are on air, the lowest byte first.
func nonce2(n uint16) []byte { return binary.LittleEndian.AppendUint16(nil, n) }
func nonce3(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n)[:3] }
func eui(n uint64) []byte    { return binary.LittleEndian.AppendUint64(nil, n) }
