package decoders

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
)

// mbusKeyBytes is the length of the key of a meter, AES-128.
const mbusKeyBytes = 16

var errMbusAuthentic = errors.New("not authentic")

func mbusCipher(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length of the key has been checked
	}
	return block
}

// mbusCMAC is AES-CMAC (RFC 4493) over at most one block, which is all that key derivation needs.
func mbusCMAC(block cipher.Block, message []byte) [aes.BlockSize]byte {
	var subkey, last [aes.BlockSize]byte
	block.Encrypt(subkey[:], subkey[:])
	mbusDouble(&subkey)
	copy(last[:], message)
	if len(message) < aes.BlockSize {
		mbusDouble(&subkey)
		last[len(message)] = 0x80
	}
	subtle.XORBytes(last[:], last[:], subkey[:])
	block.Encrypt(last[:], last[:])
	return last
}

// mbusDouble multiplies by x in GF(2^128).
func mbusDouble(b *[aes.BlockSize]byte) {
	carry := b[0] >> 7
	for i := range len(b) - 1 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[len(b)-1] = b[len(b)-1]<<1 ^ carry*0x87
}

// mbusDerive is the key derivation of EN 13757-7 for encryption from the meter: the counter and the identification as they
// are sent.
func mbusDerive(key, counter, identification []byte) [aes.BlockSize]byte {
	message := [aes.BlockSize]byte{0x00}
	n := 1 + copy(message[1:5], counter)
	n += copy(message[n:9], identification)
	for ; n < len(message); n++ {
		message[n] = 0x07
	}
	return mbusCMAC(mbusCipher(key), message[:])
}

// mbusOpenCCM opens AES-CCM (RFC 3610) with a tag of 8 bytes, a nonce of 13 and less than 65 280 additional bytes.
func mbusOpenCCM(key, nonce, sealed, additional []byte) ([]byte, error) {
	const tagBytes = 8
	if len(sealed) < tagBytes {
		return nil, errMbusAuthentic
	}
	block := mbusCipher(key)
	length := len(sealed) - tagBytes

	var counter [aes.BlockSize]byte
	counter[0] = 1 // two bytes of length
	copy(counter[1:], nonce)
	stream := cipher.NewCTR(block, counter[:])
	var mask [aes.BlockSize]byte
	stream.XORKeyStream(mask[:], mask[:])
	plain := make([]byte, length)
	stream.XORKeyStream(plain, sealed[:length])

	mac := counter
	mac[0] = 1 | (tagBytes-2)/2<<3 | 1<<6
	mac[14], mac[15] = byte(length>>8), byte(length)
	block.Encrypt(mac[:], mac[:])
	head := append([]byte{byte(len(additional) >> 8), byte(len(additional))}, additional...)
	mbusChain(block, &mac, head)
	mbusChain(block, &mac, plain)
	subtle.XORBytes(mac[:], mac[:], mask[:])
	if subtle.ConstantTimeCompare(mac[:tagBytes], sealed[length:]) != 1 {
		return nil, errMbusAuthentic
	}
	return plain, nil
}

// mbusChain continues a CBC-MAC, the last block filled up with zeros.
func mbusChain(block cipher.Block, mac *[aes.BlockSize]byte, data []byte) {
	for len(data) > 0 {
		n := subtle.XORBytes(mac[:], mac[:], data[:min(len(data), len(mac))])
		block.Encrypt(mac[:], mac[:])
		data = data[n:]
	}
}

// mbusStream is AES-CTR.
func mbusStream(key, counter, plain, sealed []byte) {
	cipher.NewCTR(mbusCipher(key), counter).XORKeyStream(plain, sealed)
}
