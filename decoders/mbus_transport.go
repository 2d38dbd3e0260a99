package decoders

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"strconv"
)

// The transport layer of EN 13757-7: what stands before the records, and how they are encrypted.

// mbusAddress is who a meter is, in the bytes that are sent.
type mbusAddress struct {
	maker          [2]byte
	identification [4]byte
	version        byte
	medium         byte
}

// MeterBytes is the length of a meter's address: identification (4), maker (2), version and medium, as a long header has them.
const MeterBytes = 8

// mbusLongAddress reads the order of a long header.
func mbusLongAddress(b []byte) mbusAddress {
	return mbusAddress{[2]byte(b[4:6]), [4]byte(b[:4]), b[6], b[7]}
}

// mbusLinkAddress reads the order of the link layer. Hydrometer's IZAR RS sends version and medium before the identification.
func mbusLinkAddress(b []byte) mbusAddress {
	swapped := mbusAddress{[2]byte(b[:2]), [4]byte(b[4:8]), b[2], b[3]}
	if swapped.makerText() == "HYD" && mbusDigits(b[2:6]) == "" && mbusDigits(b[4:8]) != "" {
		return swapped
	}
	return mbusAddress{[2]byte(b[:2]), [4]byte(b[2:6]), b[6], b[7]}
}

func (a *mbusAddress) appendLink(b []byte) []byte {
	b = append(append(b, a.maker[:]...), a.identification[:]...)
	return append(b, a.version, a.medium)
}

// makerText is the three letters of the maker's code.
func (a *mbusAddress) makerText() string {
	code := binary.LittleEndian.Uint16(a.maker[:])
	letters := []byte{byte(code>>10&31) + '@', byte(code>>5&31) + '@', byte(code&31) + '@'}
	for _, letter := range letters {
		if letter < 'A' || letter > 'Z' {
			return fmt.Sprintf("%04x", code)
		}
	}
	return string(letters)
}

func (a *mbusAddress) identificationText() string {
	if text := mbusDigits(a.identification[:]); text != "" {
		return text
	}
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(a.identification[:]))
}

// mbusMedia are the device types of EN 13757-7 that meters have.
var mbusMedia = map[byte]string{
	0x00: "other", 0x01: "oil", 0x02: "electricity", 0x03: "gas", 0x04: "heat", 0x05: "steam", 0x06: "warm water", 0x07: "water",
	0x08: "heat cost allocator", 0x09: "compressed air", 0x0a: "cooling", 0x0b: "cooling", 0x0c: "heat", 0x0d: "heat and cooling",
	0x0e: "bus component", 0x15: "hot water", 0x16: "cold water", 0x17: "dual water", 0x18: "pressure", 0x28: "waste water",
	0x37: "radio converter",
}

func (a *mbusAddress) mediumText() string {
	if name, ok := mbusMedia[a.medium]; ok {
		return name
	}
	return "medium " + strconv.Itoa(int(a.medium))
}

// mbusTelegram is what a transport layer says.
type mbusTelegram struct {
	address mbusAddress
	known   bool // the address is
	header  bool // access and status are
	access  byte
	status  byte
	counter []byte // message counter of the layer below, nil when it has none
	records []byte // in clear
}

// CI fields of the transport layer.
const (
	mbusLongHeader  = 0x72
	mbusNoHeader    = 0x78
	mbusShortHeader = 0x7a
)

// Security modes.
const (
	mbusModeNone = 0
	mbusModeCBC  = 5
	mbusModeKDF  = 7
	mbusModeCCM  = 10
)

// open reads the transport layer from its CI field on and decrypts the records.
func (t *mbusTelegram) open(payload, key []byte) error {
	r := reader{payload: payload, part: "header"}
	switch ci := r.uint8(); {
	case r.err != nil:
		return r.err
	case ci == mbusNoHeader:
		t.records = payload[1:]
		return nil
	case ci == mbusLongHeader:
		if address := r.take(MeterBytes); address != nil {
			t.address, t.known = mbusLongAddress(address), true
		}
	case ci == mbusShortHeader:
	case ci >= 0xa0 && ci <= 0xb7:
		return fmt.Errorf("%w: CI 0x%02x, a format of the maker's own that is not published", ErrUnknownKind, ci)
	case ci == 0x79 || ci == 0x7b || ci == 0x69 || ci == 0x6a || ci == 0x6b:
		return fmt.Errorf("%w: CI 0x%02x, a compact or format frame, whose records make sense only with an earlier telegram", ErrUnknownKind, ci)
	default:
		return fmt.Errorf("%w: CI 0x%02x, read are 0x72, 0x78 and 0x7a", ErrUnknownKind, ci)
	}
	t.header = true
	t.access, t.status = r.uint8(), r.uint8()
	config := r.uint16()
	if r.err != nil {
		return r.err
	}
	return t.decrypt(&r, config, key)
}

const mbusPayloadKey = "a payload_key is missing for this sensor"

func (t *mbusTelegram) decrypt(r *reader, config uint16, key []byte) error {
	mode := config >> 8 & 0x1f
	if mode > mbusModeCCM && t.known && t.address.makerText() == "HYD" { // IZAR RS of Hydrometer: the field is no security mode, nothing is encrypted
		mode = mbusModeNone
	}
	switch mode {
	case mbusModeNone:
	case mbusModeCBC:
		return t.openCBC(r, config, key, func() (cipher.Block, []byte) {
			vector := t.address.appendLink(make([]byte, 0, aes.BlockSize))
			for len(vector) < aes.BlockSize {
				vector = append(vector, t.access)
			}
			return mbusCipher(key), vector
		})
	case mbusModeKDF:
		if extension := r.uint8(); r.err == nil && extension>>4&3 != 1 {
			return fmt.Errorf("%w: key derivation %d of security mode 7, only 1 is known", ErrUnknownKind, extension>>4&3)
		}
		if r.err == nil && t.counter == nil && key != nil {
			return fmt.Errorf("%w: security mode 7 without a message counter", ErrMalformed)
		}
		return t.openCBC(r, config, key, func() (cipher.Block, []byte) {
			derived := mbusDerive(key, t.counter, t.address.identification[:])
			return mbusCipher(derived[:]), make([]byte, aes.BlockSize)
		})
	case mbusModeCCM:
		return t.openCCM(r, config, key)
	default:
		return fmt.Errorf("%w: security mode %d, read are 0, 5, 7 and 10", ErrUnknownKind, mode)
	}
	t.records = r.take(r.left())
	return r.err
}

// openCBC decrypts the blocks that the configuration counts; records behind them are in clear.
func (t *mbusTelegram) openCBC(r *reader, config uint16, key []byte, prepare func() (cipher.Block, []byte)) error {
	r.part = "encrypted blocks"
	blocks := int(config >> 4 & 0x0f)
	if blocks == 0x0f && r.left() < blocks*aes.BlockSize { // all of it
		blocks = r.left() / aes.BlockSize
	}
	opened := r.err == nil && r.left() >= 2 && r.payload[r.at] == mbusFiller && r.payload[r.at+1] == mbusFiller
	if key == nil && opened || blocks == 0 { // the receiver has decrypted it
		t.records = r.take(r.left())
		return r.err
	}
	sealed := r.take(blocks * aes.BlockSize)
	if r.err != nil {
		return r.err
	}
	if err := t.checkKey(key); err != nil {
		return err
	}
	block, vector := prepare()
	plain := make([]byte, len(sealed)+r.left())
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(plain, sealed)
	if plain[0] != mbusFiller || plain[1] != mbusFiller {
		return fmt.Errorf("%w: wrong payload_key: what it decrypts does not begin with 2f2f", ErrMalformed)
	}
	copy(plain[len(sealed):], r.take(r.left()))
	t.records = plain
	return nil
}

// openCCM reads security mode 10: everything is encrypted and authenticated, with a counter in the header.
func (t *mbusTelegram) openCCM(r *reader, config uint16, key []byte) error {
	if config&0xff != 0xff {
		return fmt.Errorf("%w: security mode 10 with a part in clear", ErrUnknownKind)
	}
	start := r.at - 4 // access, status, configuration
	r.take(2)
	additional := append([]byte{r.payload[0]}, r.payload[start:r.at]...)
	counter := r.take(4)
	sealed := r.take(r.left())
	if r.err != nil {
		return r.err
	}
	if err := t.checkKey(key); err != nil {
		return err
	}
	nonce := append(t.address.appendLink(make([]byte, 0, aes.BlockSize)), 0)
	for i := len(counter) - 1; i >= 0; i-- {
		nonce = append(nonce, counter[i])
	}
	derived := mbusDerive(key, counter, t.address.identification[:])
	plain, err := mbusOpenCCM(derived[:], nonce, sealed, additional)
	if err != nil {
		return fmt.Errorf("%w: wrong payload_key or meter: the telegram is not authentic with it", ErrMalformed)
	}
	t.records = plain
	return nil
}

func (t *mbusTelegram) checkKey(key []byte) error {
	switch {
	case key == nil:
		return fmt.Errorf("%w: encrypted, and %s", ErrMalformed, mbusPayloadKey)
	case len(key) != mbusKeyBytes:
		return fmt.Errorf("%w: a payload_key of %d bytes, want %d", ErrMalformed, len(key), mbusKeyBytes)
	case !t.known:
		return fmt.Errorf("%w: encrypted, and who sent it stands in another frame: a meter_address is missing for this sensor", ErrMalformed)
	}
	return nil
}
