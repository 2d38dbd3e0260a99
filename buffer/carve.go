package buffer

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// carver finds what is intact in a damaged segment file. It trusts no page: any of them may be a leaf that lost its
// place or its header. A value is taken when its own checksum says that it belongs to this segment, to this bucket and
// to the key beside it.
type carver struct {
	pages  *pageFile
	number uint8 // of the file, in pieces
	entry  entry
	uuid   [16]byte
	known  int // the newest format that is understood

	meta   meta
	newer  error
	pieces []piece
	last   bucketID // where the last value belonged
	copied []byte   // the page that is looked at
	tx     uint64   // the newest transaction that a meta page tells of
	metas  int      // how many of the two meta pages are whole
}

// piece is where a value is.
type piece struct {
	bucket bucketID
	file   uint8
	key    uint64
	at     int64
	size   int
}

// newCarver sets the byte order, which is that of the machine that wrote the file.
func newCarver(pages *pageFile, number int, e entry, known int) *carver {
	c := &carver{pages: pages, number: uint8(number), entry: e, uuid: e.UUID, known: known, last: bucketID(Normal)}
	for at := int64(0); at < 2*pageSize; at += pageSize {
		if data, err := pages.read(at, pageHeader+metaSize); err == nil {
			for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
				if order.Uint32(data[pageHeader:]) == boltMagic {
					pages.order = order
				}
			}
		}
		if m, err := pages.meta(at); err == nil {
			c.tx = max(c.tx, m.tx)
			c.metas++
		}
	}
	return c
}

// identify looks for the meta: it says which values are of this segment.
func (c *carver) identify() bool {
	for at := int64(0); at < c.pages.size && c.meta.Format == 0; at += pageSize {
		c.page(at, c.identity)
	}
	if c.uuid == [16]byte{} {
		c.uuid = c.meta.UUID
	}
	return c.uuid != [16]byte{}
}

// identity takes the meta out of the element of the root that is its bucket.
func (c *carver) identity(flags uint32, key []byte, at int64, size int) bool {
	if flags != flagBucket || !bytes.Equal(key, bucketNames[bucketMeta]) || size > pageSize {
		return false
	}
	data, err := c.pages.read(at, size)
	if err != nil {
		return false
	}
	var value, sum []byte
	data = data[min(bucketHeader, len(data)):]
	for i := 0; i < 2 && pageHeader+(i+1)*elementSize <= len(data); i++ {
		e := c.pages.leafElement(data, i)
		if e.key < pageHeader || e.value < e.key || e.end < e.value || e.end > len(data) {
			return false
		}
		switch key := data[e.key:e.value]; {
		case bytes.Equal(key, keyMeta):
			value = data[e.value:e.end]
		case bytes.Equal(key, keyMetaSum):
			sum = data[e.value:e.end]
		}
	}
	m, err := parseMeta(value, sum, c.known)
	if m.Format < 1 || m.Number != c.entry.Number || m.First != c.entry.First {
		return false
	}
	c.meta = m
	if err != nil {
		c.newer = err
	}
	return true
}

// carve finds all pieces.
func (c *carver) carve() []piece {
	for at := int64(0); at < c.pages.size; at += pageSize {
		c.page(at, c.take)
	}
	return c.pieces
}

// page calls f with each element of what may be a leaf; f tells whether it is one indeed. Where the data of such an
// element begin, there are no elements any more.
func (c *carver) page(at int64, f func(flags uint32, key []byte, at int64, size int) bool) {
	size := int(min(pageSize, c.pages.size-at))
	data, err := c.pages.read(at, size)
	if err != nil {
		return
	}
	c.copied = append(c.copied[:0], data...)
	page := c.copied
	end := size
	for i := 0; pageHeader+(i+1)*elementSize <= end; i++ {
		e := c.pages.leafElement(page, i)
		key, ok := c.key(page, at, e)
		if !ok || e.end < e.value || int64(e.end) > c.pages.size-at {
			continue
		}
		if f(e.flags, key, at+int64(e.value), e.end-e.value) {
			end = min(end, e.key)
		}
	}
}

// key returns the key of an element if it can be one.
func (c *carver) key(page []byte, at int64, e element) ([]byte, bool) {
	size := e.value - e.key
	if e.key < pageHeader+elementSize || size < 3 || size > 10 || e.flags > flagBucket || int64(e.value) > c.pages.size-at {
		return nil, false
	}
	if e.value <= len(page) {
		return page[e.key:e.value], true
	}
	key, err := c.pages.read(at+int64(e.key), size)
	return slices.Clone(key), err == nil
}

// take notes a value that says itself that it belongs here, or those in a bucket that lies inside the root.
func (c *carver) take(flags uint32, key []byte, at int64, size int) bool {
	if flags == flagBucket {
		id := bucketOf(key)
		return id >= 0 && c.inline(bucketID(id), at, size)
	}
	if len(key) != 8 || size <= checkedFrom || size > math.MaxInt32 {
		return false
	}
	number := binary.BigEndian.Uint64(key)
	value, err := c.pages.read(at, size)
	if err != nil || value[0] != recordFormat {
		return false
	}
	id, ok := c.belongs(number, value)
	if ok {
		c.last = id
		c.pieces = append(c.pieces, piece{id, c.number, number, at, size})
	}
	return ok
}

// belongs finds the bucket of a value.
func (c *carver) belongs(key uint64, value []byte) (bucketID, bool) {
	if _, err := checked(place{c.uuid, c.last, key}, value); err == nil {
		return c.last, true
	}
	for id := range bucketMeta {
		if _, err := checked(place{c.uuid, id, key}, value); err == nil {
			return id, true
		}
	}
	return 0, false
}

// inline takes the values of a bucket that lies inside the root.
func (c *carver) inline(id bucketID, at int64, size int) bool {
	if size == bucketHeader {
		return true
	}
	if size < bucketHeader+pageHeader || size > pageSize {
		return false
	}
	data, err := c.pages.read(at+bucketHeader, size-bucketHeader)
	if err != nil {
		return false
	}
	data = slices.Clone(data)
	end := len(data)
	for i := 0; pageHeader+(i+1)*elementSize <= end; i++ {
		e := c.pages.leafElement(data, i)
		if e.key < pageHeader || e.value-e.key != 8 || e.end < e.value || e.end > len(data) {
			continue
		}
		if c.take(e.flags&^flagBucket, data[e.key:e.value], at+bucketHeader+int64(e.value), e.end-e.value) {
			end = min(end, e.key)
		}
	}
	return true
}

// sortPieces puts pieces into the order of buckets and keys, each once.
func sortPieces(pieces []piece) []piece {
	slices.SortStableFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.key, b.key))
	})
	return slices.CompactFunc(pieces, func(a, b piece) bool { return a.bucket == b.bucket && a.key == b.key })
}
