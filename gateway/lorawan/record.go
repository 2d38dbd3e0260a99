package lorawan

import (
	"encoding/binary"
	"errors"
	"slices"
)

// record is what is remembered of a device. It commits with the events that it belongs to. There is no key in it: session
// keys are derived again from the root keys, which stay in their file. What was counted with a key is worth nothing with
// another: their check values tell.
type record struct {
	check     uint32   // of the key that joins are signed with; 0: not known
	joinNonce uint32   // the last that was given out; 0: none
	devNonce  int32    // LoRaWAN 1.1: the last that was used; -1: none
	active    *session // the one that the device uses
	pending   *session // of the newest join, until the device uses it
	former    *session // that the device used before; its frames may still come late, or it may get the address again

	rekeyed bool // not kept: joins were signed with another key before
}

// session is one activation of a device.
type session struct {
	devAddr uint32
	epoch   uint32 // how often the frame counter began anew
	up      counters
	down    uint32 // the next downlink frame counter

	check uint32 // without a join: of the network key; 0: not known

	joined    bool // what follows is of the join
	joinEUI   uint64
	joinNonce uint32
	devNonce  uint16
	netID     uint32
}

const (
	recordVersion = 2
	recordFirst   = 1                 // without former and check values
	prefixRecord  = "lorawan/device/" // and the DevEUI
	prefixNonces  = "lorawan/nonces/" // and the DevEUI: LoRaWAN 1.0, the nonces that were used
)

// errRecord says that a record is not what encode wrote.
var errRecord = errors.New("lorawan record cannot be read")

// encode packs the record: a version, numbers as uvarints, and each session behind a byte that says whether it is there.
func (r *record) encode() []byte {
	b := []byte{recordVersion}
	b = binary.BigEndian.AppendUint32(b, r.check)
	b = binary.AppendUvarint(b, uint64(r.joinNonce))
	b = binary.AppendUvarint(b, uint64(r.devNonce+1))
	for _, s := range []*session{r.active, r.pending, r.former} {
		b = s.append(b)
	}
	return b
}

// uses says whether one of the sessions has an address.
func (r *record) uses(address uint32) bool {
	for _, s := range []*session{r.active, r.pending, r.former} {
		if s != nil && s.devAddr == address {
			return true
		}
	}
	return false
}

// use makes a session the active one, if it is the pending one. It returns the session that is over then, nil if there is none.
func (r *record) use(s *session) (over *session) {
	if s != r.pending {
		return nil
	}
	over = r.former
	r.former, r.active, r.pending = r.active, s, nil
	if r.former != nil {
		r.former.up.keep(false)
	}
	return over
}

func (s *session) append(b []byte) []byte {
	if s == nil {
		return append(b, 0)
	}
	flags := byte(1)
	if s.joined {
		flags |= 2
	}
	if s.up.any {
		flags |= 4
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint32(b, s.devAddr)
	b = binary.AppendUvarint(b, uint64(s.epoch))
	b = binary.AppendUvarint(b, uint64(s.down))
	if s.joined {
		b = binary.BigEndian.AppendUint64(b, s.joinEUI)
		b = binary.BigEndian.AppendUint16(b, s.devNonce)
		b = binary.AppendUvarint(b, uint64(s.joinNonce))
		b = binary.AppendUvarint(b, uint64(s.netID))
	} else {
		b = binary.BigEndian.AppendUint32(b, s.check)
	}
	if s.up.any {
		b = binary.AppendUvarint(b, uint64(s.up.top))
		for _, word := range s.up.seen {
			b = binary.AppendUvarint(b, word)
		}
		b = binary.AppendUvarint(b, uint64(len(s.up.hashes)))
		for _, hash := range s.up.hashes {
			b = binary.BigEndian.AppendUint32(b, hash)
		}
	}
	return b
}

// decodeRecord reads what encode wrote; of nothing it makes the record of a device that was never heard.
func decodeRecord(data []byte) (*record, error) {
	r := &record{devNonce: -1}
	if data == nil {
		return r, nil
	}
	d := reader{data: data}
	d.version = d.byte()
	if d.version != recordVersion && d.version != recordFirst {
		return nil, errRecord
	}
	if d.version > recordFirst {
		r.check = binary.BigEndian.Uint32(d.take(4))
	}
	r.joinNonce = uint32(d.uvarint())
	r.devNonce = int32(d.uvarint()) - 1
	r.active = d.session()
	r.pending = d.session()
	if d.version > recordFirst {
		r.former = d.session()
	}
	if d.failed || len(d.data) > 0 {
		return nil, errRecord
	}
	return r, nil
}

func (d *reader) session() *session {
	flags := d.byte()
	if flags&1 == 0 {
		return nil
	}
	s := &session{joined: flags&2 != 0}
	s.devAddr = binary.BigEndian.Uint32(d.take(4))
	s.epoch, s.down = uint32(d.uvarint()), uint32(d.uvarint())
	if s.joined {
		s.joinEUI = binary.BigEndian.Uint64(d.take(8))
		s.devNonce = binary.BigEndian.Uint16(d.take(2))
		s.joinNonce = uint32(d.uvarint())
		s.netID = uint32(d.uvarint())
	} else if d.version > recordFirst {
		s.check = binary.BigEndian.Uint32(d.take(4))
	}
	if flags&4 != 0 {
		s.up.any, s.up.top = true, uint32(d.uvarint())
		for i := range s.up.seen {
			s.up.seen[i] = d.uvarint()
		}
		s.up.hashes = make([]uint32, min(d.uvarint(), windowSize))
		for i := range s.up.hashes {
			s.up.hashes[i] = binary.BigEndian.Uint32(d.take(4))
		}
	}
	return s
}

// reader reads one part after the other and remembers when something was missing.
type reader struct {
	data    []byte
	version byte // of the record
	failed  bool
}

var zeros [8]byte

// take returns the next n bytes, at most 8; zeros when they are missing.
func (d *reader) take(n int) []byte {
	if n > len(d.data) {
		d.failed, d.data = true, nil
		return zeros[:n]
	}
	part := d.data[:n]
	d.data = d.data[n:]
	return part
}

func (d *reader) byte() byte { return d.take(1)[0] }

func (d *reader) uvarint() uint64 {
	value, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.failed, d.data = true, nil
		return 0
	}
	d.data = d.data[n:]
	return value
}

// nonces are the DevNonces that a LoRaWAN 1.0 device has used: two bytes each, or one bit for each that there is once that
// is less. None is forgotten, since a join that is recorded could be sent again years later.
type nonces []byte

const (
	allNonces  = 1 << 16
	nonceBits  = allNonces / 8
	mostListed = nonceBits/2 - 1
)

func (n nonces) has(nonce uint16) bool {
	if len(n) == nonceBits {
		return n[nonce/8]&(1<<(nonce%8)) != 0
	}
	for i := 0; i+1 < len(n); i += 2 {
		if binary.BigEndian.Uint16(n[i:]) == nonce {
			return true
		}
	}
	return false
}

// with returns the nonces and one more; n is not changed.
func (n nonces) with(nonce uint16) nonces {
	if len(n) < nonceBits && len(n)/2 < mostListed {
		return binary.BigEndian.AppendUint16(slices.Clip(n), nonce)
	}
	bits := make(nonces, nonceBits)
	if len(n) == nonceBits {
		copy(bits, n)
	} else {
		for i := 0; i+1 < len(n); i += 2 {
			listed := binary.BigEndian.Uint16(n[i:])
			bits[listed/8] |= 1 << (listed % 8)
		}
	}
	bits[nonce/8] |= 1 << (nonce % 8)
	return bits
}
