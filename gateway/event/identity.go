package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"hash"
	"strconv"
	"strings"
	"sync"
)

// Identifier makes event ids: base32 of the first 16 bytes of HMAC-SHA256(key, identity). Keyed, because a plain hash of
// a DevEUI is reversed by trying the few that exist.
type Identifier struct{ hashes sync.Pool }

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// MinEventKey is the least length of an event key in bytes.
const MinEventKey = 16

// NewIdentifier returns an Identifier for a key of at least MinEventKey bytes.
func NewIdentifier(key []byte) (*Identifier, error) {
	if len(key) < MinEventKey {
		return nil, errors.New("event key is too short: " + strconv.Itoa(len(key)) + " bytes, at least " + strconv.Itoa(MinEventKey))
	}
	key = []byte(strings.Clone(string(key)))
	return &Identifier{hashes: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}, nil
}

// Sum returns the 16 bytes of a reading's identity.
func (i *Identifier) Sum(identity string) [16]byte {
	h := i.hashes.Get().(hash.Hash)
	h.Reset()
	h.Write([]byte(identity))
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	i.hashes.Put(h)
	return [16]byte(sum[:16])
}

// ID returns the event id for a reading's identity.
func (i *Identifier) ID(identity string) string { return FormatID(i.Sum(identity)) }

// FormatID prints the 16 bytes of an id as its 26 characters.
func FormatID(sum [16]byte) string {
	var id [26]byte
	encoding.Encode(id[:], sum[:])
	return string(id[:])
}
