package buffer

import (
	"encoding/binary"
	"strings"
)

// State is kept in memory and written as a log: each commit adds one value with what it changed, each new segment
// begins with all of it. So only sequential keys are written, which is what bbolt does without write amplification.

// internalPrefix begins the keys that are the buffer's own.
const internalPrefix = "\x00"

// The buffer's own keys; see keys.go for what is in them.
const (
	keyCounters   = internalPrefix + "c"
	prefixGap     = internalPrefix + "g"
	prefixDrop    = internalPrefix + "d"
	prefixInfo    = internalPrefix + "s"
	prefixAdopt   = internalPrefix + "n" // and the uuid of a segment: see adoptKey
	prefixDiscard = internalPrefix + "r" // and a reason: how many messages were discarded for it
	keyPosition   = internalPrefix + "p" // of the far side, see SetPosition
)

// maxSnapshotPiece is about how much state one value of a snapshot holds.
const maxSnapshotPiece = 32 << 10

// appendChange appends one changed key; a nil value means that the key is gone.
func appendChange(dst []byte, key string, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	if value == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(value))+1)
	return append(dst, value...)
}

// readChanges calls f with each change in data; the value is a copy. It reports whether all could be read.
func readChanges(data []byte, f func(key string, value []byte)) bool {
	d := decoder{data: data}
	for len(d.data) > 0 {
		key := string(d.bytes(d.uvarint()))
		var value []byte
		if size := d.uvarint(); size > 0 {
			value = append(make([]byte, 0, size-1), d.bytes(size-1)...)
		}
		if d.failed {
			return false
		}
		f(key, value)
	}
	return !d.failed
}

// snapshot calls f with pieces that together hold all of state.
func snapshot(state map[string][]byte, f func(piece []byte) error) error {
	var piece []byte
	for key, value := range state {
		piece = appendChange(piece, key, value)
		if len(piece) >= maxSnapshotPiece {
			if err := f(piece); err != nil {
				return err
			}
			piece = piece[:0]
		}
	}
	if len(piece) == 0 {
		return nil
	}
	return f(piece)
}

// State returns the committed value of a key, nil if there is none; it must not be changed.
func (b *Buffer) State(key string) []byte {
	if strings.HasPrefix(key, internalPrefix) {
		return nil
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.state[key]
}

// EachState calls f with every committed key that begins with prefix, in no order.
func (b *Buffer) EachState(prefix string, f func(key string, value []byte)) {
	type pair struct {
		key   string
		value []byte
	}
	var found []pair
	b.mu.RLock()
	for key, value := range b.state {
		if strings.HasPrefix(key, prefix) && !strings.HasPrefix(key, internalPrefix) {
			found = append(found, pair{key, value})
		}
	}
	b.mu.RUnlock()
	for _, p := range found {
		f(p.key, p.value)
	}
}
