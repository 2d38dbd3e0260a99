package decoders

import (
	"encoding/binary"
	"fmt"
	"math"
)

// maxRadioBytes is the longest payload LoRaWAN carries (regional parameters, all bands).
const maxRadioBytes = 242

func checkRadioLength(payload []byte) error {
	if len(payload) > maxRadioBytes {
		return fmt.Errorf("%w: %d bytes, LoRaWAN carries at most %d", ErrMalformed, len(payload), maxRadioBytes)
	}
	return nil
}

// reader takes a little-endian payload apart from front to back. After its first error it returns zeros, so that a decoder
// may read a whole part and look at err once.
type reader struct {
	payload []byte
	at      int
	part    string // what is being read, for the error
	err     error
}

func (r *reader) left() int { return len(r.payload) - r.at }

// more says whether there is another element to read.
func (r *reader) more() bool { return r.err == nil && r.left() > 0 }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// take returns the next bytes, nil when there are not as many.
func (r *reader) take(count int) []byte {
	if r.err == nil && r.left() < count {
		r.err = fmt.Errorf("%w: %d bytes, too few for the %s (%d more expected at byte %d)", ErrMalformed, len(r.payload), r.part, count, r.at)
	}
	if r.err != nil {
		return nil
	}
	taken := r.payload[r.at : r.at+count]
	r.at += count
	return taken
}

func (r *reader) uint8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) float32() float32 { return math.Float32frombits(r.uint32()) }

// end fails when bytes are left that the kind of message does not have.
func (r *reader) end(kind string) error {
	if r.err == nil && r.left() > 0 {
		r.err = fmt.Errorf("%w: %d bytes, this %s message ends after %d", ErrMalformed, len(r.payload), kind, r.at)
	}
	return r.err
}
