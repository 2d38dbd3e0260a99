package decoders

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
)

// Wireless M-Bus (EN 13757-4 and -3, OMS), as a receiver or a range extender hands a telegram over: from the L field on, with
// the CRCs of frame format A or B or without; as bytes or as hexadecimal digits. One sample without a time, since a meter's
// clock does not say its zone.
//
// Kinds: data, installation (the telegrams that a meter sends when it is mounted).
//
//	manufacturer, meter_id, medium, version   who sent it
//	power_low, permanent_error, temporary_error   the status byte, where the telegram has one; always true or false
//	application_error                         the status byte: the meter could not answer
//	volume                            m3      also energy (W.h, J), mass (kg), power (W), flow (m3/h), mass_flow (kg/h),
//	flow_temperature                  Cel     return_temperature, external_temperature; temperature_difference (K), pressure (bar)
//	operating_time, on_time, actuality_duration, averaging_duration   s, min, h or d
//	date, date_time                           text, in the meter's own time
//	error_flags                       1       the maker's bits
//	remaining_battery_life            d
//	enhanced_id, fabrication_number, customer, firmware_version, ...   texts, see mbus_units.go for all
//
// A name has suffixes in this order: _reverse, _forward, _average, ... (what a VIFE makes of it); _max, _min, _error (the value
// while there was an error); _subunit_1; _tariff_1; _storage_1. So the volume at the last due date is volume_storage_1 and its
// date date_storage_1. Values that the meter marks as not valid are left out, also what the maker keeps to itself.
//
// Encryption is that of security modes 0, 5, 7 and 10 and of the extended link layer. A telegram that its receiver has
// decrypted, which begins with 2f2f, needs no key.

func init() { register("wmbus", decodeWMBus) }

const (
	wmbusLinkBytes  = 9 // C, M, A
	wmbusFirstBlock = 10
	wmbusBlock      = 16
	wmbusFormatB    = 128 // bytes up to the first CRC
	wmbusCRC        = 2
)

func decodeWMBus(uplink Uplink) (Output, error) {
	link, err := wmbusLink(wmbusBytes(uplink.Payload))
	if err != nil {
		return Output{}, err
	}
	kind := "data"
	switch link[0] {
	case 0x44, 0x08, 0x18, 0x28, 0x38: // SND-NR, RSP-UD
	case 0x46: // SND-IR
		kind = "installation"
	default:
		return Output{}, fmt.Errorf("%w: C field 0x%02x, read are data of a meter (0x44, 0x46, 0x08)", ErrUnknownKind, link[0])
	}
	telegram := mbusTelegram{address: mbusLinkAddress(link[1:wmbusLinkBytes]), known: true}
	payload, err := wmbusExtended(&telegram, link[wmbusLinkBytes:], uplink.Key)
	if err != nil {
		return Output{}, err
	}
	if err := telegram.open(payload, uplink.Key); err != nil {
		return Output{}, err
	}
	return telegram.output(kind)
}

// wmbusBytes returns what a payload of hexadecimal digits stands for, and any other as it is.
func wmbusBytes(payload []byte) []byte {
	if len(payload) < 2*(1+wmbusLinkBytes) || len(payload)%2 != 0 || slices.ContainsFunc(payload, notHexDigit) {
		return payload
	}
	bytes := make([]byte, len(payload)/2)
	if _, err := hex.Decode(bytes, payload); err != nil {
		return payload
	}
	return bytes
}

func notHexDigit(b byte) bool {
	return (b < '0' || b > '9') && (b < 'a' || b > 'f') && (b < 'A' || b > 'F')
}

// wmbusLink takes the length and the CRCs away.
func wmbusLink(frame []byte) ([]byte, error) {
	if len(frame) < 1+wmbusLinkBytes+1 {
		return nil, fmt.Errorf("%w: %d bytes, too few for a telegram", ErrMalformed, len(frame))
	}
	length := int(frame[0])
	if length < wmbusLinkBytes+1 {
		return nil, fmt.Errorf("%w: L field %d, too few for a telegram", ErrMalformed, length)
	}
	blocks := 1 + (length-wmbusLinkBytes+wmbusBlock-1)/wmbusBlock
	switch len(frame) {
	case 1 + length:
		if link := wmbusPlainB(frame); link != nil {
			return link, nil
		}
		return frame[1:], nil
	case 1 + length + wmbusCRC*blocks:
		return wmbusPlainA(frame)
	}
	return nil, fmt.Errorf("%w: %d bytes, with L field %d a telegram has %d, or %d with CRCs", ErrMalformed, len(frame), length, 1+length, 1+length+wmbusCRC*blocks)
}

// wmbusPlainA checks the CRC of each block of format A and returns what is between them.
func wmbusPlainA(frame []byte) ([]byte, error) {
	plain := make([]byte, 0, len(frame))
	for size := wmbusFirstBlock; len(frame) > 0; size = wmbusBlock {
		size = min(size, len(frame)-wmbusCRC)
		if !wmbusIntact(frame[:size+wmbusCRC]) {
			return nil, fmt.Errorf("%w: wrong CRC after %d bytes", ErrMalformed, len(plain)+size)
		}
		plain = append(plain, frame[:size]...)
		frame = frame[size+wmbusCRC:]
	}
	return plain[1:], nil
}

// wmbusPlainB returns what is between the CRCs of format B, whose L field counts them; nil when there are none.
func wmbusPlainB(frame []byte) []byte {
	first := min(len(frame), wmbusFormatB)
	rest := frame[first:]
	if first < 1+wmbusLinkBytes+1+wmbusCRC || !wmbusIntact(frame[:first]) || len(rest) > 0 && !wmbusIntact(rest) {
		return nil
	}
	plain := frame[1 : first-wmbusCRC]
	if len(rest) > 0 {
		plain = append(slices.Clone(plain), rest[:len(rest)-wmbusCRC]...)
	}
	return plain
}

func wmbusIntact(block []byte) bool {
	size := len(block) - wmbusCRC
	return size > 0 && wmbusChecksum(block[:size]) == binary.BigEndian.Uint16(block[size:])
}

// wmbusChecksum is the CRC of EN 13757-4.
func wmbusChecksum(data []byte) uint16 {
	var crc uint16
	for _, b := range data {
		crc = crc<<8 ^ wmbusCRCs[byte(crc>>8)^b]
	}
	return ^crc
}

// wmbusCRCs are the remainders of all bytes by the polynomial of EN 13757-4.
var wmbusCRCs = func() (remainders [256]uint16) {
	const polynomial = 0x3d65
	for i := range remainders {
		remainder := uint16(i) << 8
		for range 8 {
			remainder = remainder<<1 ^ remainder>>15*polynomial
		}
		remainders[i] = remainder
	}
	return remainders
}()

// wmbusExtended reads the layers between link and transport, and returns what is behind them.
func wmbusExtended(t *mbusTelegram, payload, key []byte) ([]byte, error) {
	const (
		short, encrypted, long, both = 0x8c, 0x8d, 0x8e, 0x8f
		authentication               = 0x90
		maxLayers                    = 4
	)
	for range maxLayers {
		r := reader{payload: payload, part: "extended link layer"}
		ci := r.uint8()
		switch ci {
		case short, encrypted, long, both:
			control := r.take(2)
			sender := t.address
			if ci == long || ci == both {
				if address := r.take(MeterBytes); address != nil {
					sender = mbusLinkAddress(address)
					t.address = sender
				}
			}
			if ci == encrypted || ci == both {
				if err := wmbusSession(&r, &sender, control, key); err != nil {
					return nil, err
				}
			}
		case authentication:
			wmbusAuthentication(&r, t)
		default:
			return payload, r.err
		}
		if r.err != nil {
			return nil, r.err
		}
		payload = r.payload[r.at:]
	}
	return nil, fmt.Errorf("%w: more than %d layers before the data", ErrMalformed, maxLayers)
}

// wmbusSession reads the session number and decrypts what follows, up to the end, if it says so.
func wmbusSession(r *reader, sender *mbusAddress, control, key []byte) error {
	session := r.take(4)
	sealed := r.take(r.left())
	if r.err != nil {
		return r.err
	}
	mode := session[3] >> 5
	if mode > 1 {
		return fmt.Errorf("%w: encryption %d of the extended link layer, only 1 is known", ErrUnknownKind, mode)
	}
	plain, complaint := sealed, "wrong CRC of the extended link layer"
	if mode == 1 && !wmbusSealedIntact(sealed) { // else the receiver has decrypted it
		if err := (&mbusTelegram{known: true}).checkKey(key); err != nil {
			return err
		}
		counter := append(sender.appendLink(make([]byte, 0, 16)), control[0])
		counter = append(append(counter, session...), 0, 0, 0)
		plain = make([]byte, len(sealed))
		mbusStream(key, counter, plain, sealed)
		complaint = "wrong payload_key: the CRC of what it decrypts is wrong"
	}
	if !wmbusSealedIntact(plain) {
		return fmt.Errorf("%w: %s", ErrMalformed, complaint)
	}
	r.payload, r.at = plain, wmbusCRC
	return nil
}

// wmbusSealedIntact checks the CRC that stands before the data, low byte first.
func wmbusSealedIntact(data []byte) bool {
	return len(data) > wmbusCRC && wmbusChecksum(data[wmbusCRC:]) == binary.LittleEndian.Uint16(data)
}

// wmbusAuthentication reads the authentication and fragmentation layer, for its message counter.
func wmbusAuthentication(r *reader, t *mbusTelegram) {
	const fragments, hasControl, hasCounter, hasKey = 1 << 14, 1 << 13, 1 << 11, 1 << 9
	r.part = "authentication layer"
	layer := reader{payload: r.take(int(r.uint8())), part: "authentication layer"}
	if r.err != nil {
		return
	}
	control := layer.uint16()
	if control&fragments != 0 && layer.err == nil {
		layer.fail(fmt.Errorf("%w: a fragment of a longer message", ErrUnknownKind))
	}
	if control&hasControl != 0 {
		layer.uint8()
	}
	if control&hasKey != 0 {
		layer.uint16()
	}
	if control&hasCounter != 0 {
		t.counter = layer.take(4)
	}
	r.err = layer.err // the MAC and the length of the message are the rest
}
