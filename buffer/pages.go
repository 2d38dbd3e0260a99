package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// What bbolt's files look like, as far as a segment uses it. All numbers but those in keys are in the machine's order.
//
//	page     id 8, flags 2, count 2, overflow 4 (how many pages more it takes), then count elements, then their data
//	leaf     flags 4, position 4 (from the element itself), size of key 4, size of value 4
//	branch   position 4, size of key 4, page 8
//	bucket   root page 8 (0: a page without its id follows), sequence 8
//	meta     magic 4, version 4, page size 4, flags 4, root bucket 16, page of the free list 8, pages 8, transaction 8, FNV-1a 8
const (
	pageHeader   = 16
	elementSize  = 16
	bucketHeader = 16
	metaChecked  = 56
	metaSize     = metaChecked + 8

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10
	flagBucket   = 0x01 // of a leaf element

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	manyFree    = 0xFFFF // count of a free list that says that the real one is its first element
)

// pageFile reads a bbolt file with plain reads: memory that is mapped to a file that cannot be read kills the process.
type pageFile struct {
	source io.ReaderAt
	size   int64
	order  binary.ByteOrder
	window []byte // of the file, from at
	at     int64
	large  []byte // for what does not fit the window
}

const windowSize = 256 << 10

func newPageFile(source io.ReaderAt, size int64) *pageFile {
	return &pageFile{source: source, size: size, order: binary.NativeEndian, window: make([]byte, 0, windowSize)}
}

// openPages opens a file for reading page by page; the caller closes it.
func openPages(path string) (*pageFile, *os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return newPageFile(file, stat.Size()), file, nil
}

// read returns a part of the file, valid until the next call.
func (f *pageFile) read(at int64, size int) ([]byte, error) {
	if at < 0 || size < 0 || at+int64(size) > f.size {
		return nil, fmt.Errorf("%w: the file ends before byte %d", ErrCorrupt, at+int64(size))
	}
	if size > windowSize {
		if cap(f.large) < size {
			f.large = make([]byte, size)
		}
		_, err := f.source.ReadAt(f.large[:size], at)
		return f.large[:size], err
	}
	if at < f.at || at+int64(size) > f.at+int64(len(f.window)) {
		if err := f.fill(at, size); err != nil {
			return nil, err
		}
	}
	from := at - f.at
	return f.window[from : from+int64(size) : from+int64(size)], nil
}

// fill reads as much from a place on as fits, or if that fails only what is needed.
func (f *pageFile) fill(at int64, size int) error {
	var err error
	for _, wanted := range []int64{min(windowSize, f.size-at), int64(size)} {
		f.window, f.at = f.window[:wanted], at
		if _, err = f.source.ReadAt(f.window, at); err == nil {
			return nil
		}
	}
	f.window = f.window[:0]
	return err
}

// header is the beginning of a page.
type header struct {
	id           uint64
	flags, count uint16
	overflow     uint32
}

func (f *pageFile) header(data []byte) header {
	return header{
		id: f.order.Uint64(data), flags: f.order.Uint16(data[8:]), count: f.order.Uint16(data[10:]), overflow: f.order.Uint32(data[12:]),
	}
}

// element is one of a leaf: where its key and its value begin and end, counted from the page.
type element struct {
	flags           uint32
	key, value, end int
}

// leafElement reads the i-th element of a leaf; data begins with the page and reaches over all elements up to this one.
func (f *pageFile) leafElement(data []byte, i int) element {
	at := pageHeader + i*elementSize
	raw := data[at : at+elementSize]
	e := element{flags: f.order.Uint32(raw), key: at + int(f.order.Uint32(raw[4:]))}
	e.value = e.key + int(f.order.Uint32(raw[8:]))
	e.end = e.value + int(f.order.Uint32(raw[12:]))
	return e
}

// boltMeta is what a meta page says.
type boltMeta struct {
	root, freelist, pages, tx uint64
}

// meta reads a meta page that is somewhere in the file.
func (f *pageFile) meta(at int64) (m boltMeta, err error) {
	data, err := f.read(at, pageHeader+metaSize)
	if err != nil {
		return m, err
	}
	data = data[pageHeader:]
	other := binary.ByteOrder(binary.LittleEndian)
	if f.order.Uint16([]byte{1, 0}) == 1 {
		other = binary.BigEndian
	}
	switch {
	case other.Uint32(data) == boltMagic:
		return m, fmt.Errorf("%w: written by a machine with another byte order", ErrCorrupt)
	case f.order.Uint32(data) != boltMagic:
		return m, fmt.Errorf("%w: not a bbolt file", ErrCorrupt)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(data[:metaChecked])
	version, size := f.order.Uint32(data[4:]), f.order.Uint32(data[8:])
	switch {
	case sum.Sum64() != f.order.Uint64(data[metaChecked:]):
		return m, fmt.Errorf("%w: checksum of a meta page differs", ErrCorrupt)
	case version != boltVersion:
		return m, fmt.Errorf("%w: version %d of bbolt's format, not %d", ErrCorrupt, version, boltVersion)
	case size != pageSize:
		return m, fmt.Errorf("%w: pages of %d bytes, not %d", ErrCorrupt, size, pageSize)
	}
	return boltMeta{
		root: f.order.Uint64(data[16:]), freelist: f.order.Uint64(data[32:]),
		pages: f.order.Uint64(data[40:]), tx: f.order.Uint64(data[48:]),
	}, nil
}
