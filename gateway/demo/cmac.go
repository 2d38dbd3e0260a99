package demo

import (
	"crypto/aes"
	"crypto/subtle"
)

// aesKey is an AES-128 key of a simulated device. The town writes its own cryptography instead of calling what the gateway
// calls: a mistake that both made alike would not show.
type aesKey [16]byte

// encrypt is one block of AES.
func (k aesKey) encrypt(block [16]byte) [16]byte {
	cipher, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // the length is right
	}
	cipher.Encrypt(block[:], block[:])
	return block
}

// cmac is AES-CMAC (RFC 4493).
func (k aesKey) cmac(message []byte) [16]byte {
	first := doubled(k.encrypt([16]byte{}))
	var state, last [16]byte
	for len(message) > 16 {
		subtle.XORBytes(state[:], state[:], message[:16])
		state = k.encrypt(state)
		message = message[16:]
	}
	copy(last[:], message)
	if len(message) < 16 {
		last[len(message)] = 0x80
		first = doubled(first)
	}
	subtle.XORBytes(last[:], last[:], first[:])
	subtle.XORBytes(state[:], state[:], last[:])
	return k.encrypt(state)
}

// doubled multiplies by x in the field of RFC 4493, which makes the subkeys.
func doubled(block [16]byte) [16]byte {
	var out [16]byte
	for i := range 15 {
		out[i] = block[i]<<1 | block[i+1]>>7
	}
	out[15] = block[15] << 1
	if block[0]&0x80 != 0 {
		out[15] ^= 0x87
	}
	return out
}
