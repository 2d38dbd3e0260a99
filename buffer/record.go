package buffer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

// A record is stored as
//
//	1 byte   format, recordFormat
//	4 bytes  CRC-32C over segment, bucket, key and the rest
//	1 byte   flags: flagMark
//	16 bytes mark, if flagMark
//	uvarint  ordinal: how many records of this lane were stored up to and including this one; shows what is missing
//	uvarint  running time at which it was stored, in milliseconds
//	rest     data
//
// The place is part of the checksum, so that an intact page at the wrong place does not pass.
const (
	recordFormat = 1
	flagMark     = 1
	checkedFrom  = 5
	maxOverhead  = checkedFrom + 1 + len(Mark{}) + 2*binary.MaxVarintLen64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// place is where a sealed value belongs.
type place struct {
	segment [16]byte
	bucket  bucketID
	key     uint64
}

// stored is a record with what the buffer keeps beside it.
type stored struct {
	Record
	ordinal uint64
	at      time.Duration // running time
}

// seal appends the stored form of a record to dst.
func seal(dst []byte, p place, s stored) []byte {
	start := len(dst)
	dst = append(dst, recordFormat, 0, 0, 0, 0, 0)
	if s.Mark != (Mark{}) {
		dst[start+checkedFrom] = flagMark
		dst = append(dst, s.Mark[:]...)
	}
	dst = binary.AppendUvarint(dst, s.ordinal)
	dst = binary.AppendUvarint(dst, uint64(s.at/time.Millisecond))
	dst = append(dst, s.Data...)
	binary.LittleEndian.PutUint32(dst[start+1:], checksum(p, dst[start+checkedFrom:]))
	return dst
}

// unseal reads what seal wrote. Data is a part of value, not a copy; Seq and Lane are the caller's to set.
func unseal(p place, value []byte) (stored, error) {
	var s stored
	rest, err := checked(p, value)
	if err != nil {
		return s, err
	}
	flags := rest[0]
	rest = rest[1:]
	if flags&flagMark != 0 {
		if len(rest) < len(s.Mark) {
			return s, fmt.Errorf("%w: record ends in its mark", ErrCorrupt)
		}
		rest = rest[copy(s.Mark[:], rest):]
	}
	ordinal, n := binary.Uvarint(rest)
	at, m := binary.Uvarint(rest[max(n, 0):])
	if n <= 0 || m <= 0 {
		return s, fmt.Errorf("%w: record ends in its header", ErrCorrupt)
	}
	s.ordinal, s.at, s.Data = ordinal, time.Duration(at)*time.Millisecond, rest[n+m:]
	return s, nil
}

// sealBytes appends a checked value that is not a record: a piece of state.
func sealBytes(dst []byte, p place, data []byte) []byte {
	start := len(dst)
	dst = append(dst, recordFormat, 0, 0, 0, 0, 0)
	dst = append(dst, data...)
	binary.LittleEndian.PutUint32(dst[start+1:], checksum(p, dst[start+checkedFrom:]))
	return dst
}

func unsealBytes(p place, value []byte) ([]byte, error) {
	rest, err := checked(p, value)
	if err != nil {
		return nil, err
	}
	return rest[1:], nil
}

// checked returns what the checksum covers.
func checked(p place, value []byte) ([]byte, error) {
	if len(value) <= checkedFrom {
		return nil, fmt.Errorf("%w: value of %d bytes", ErrCorrupt, len(value))
	}
	if value[0] != recordFormat {
		return nil, fmt.Errorf("%w: record format %d", ErrCorrupt, value[0])
	}
	rest := value[checkedFrom:]
	if binary.LittleEndian.Uint32(value[1:]) != checksum(p, rest) {
		return nil, fmt.Errorf("%w: checksum differs", ErrCorrupt)
	}
	return rest, nil
}

func checksum(p place, data []byte) uint32 {
	var head [25]byte
	copy(head[:], p.segment[:])
	head[16] = byte(p.bucket)
	binary.BigEndian.PutUint64(head[17:], p.key)
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, data)
}
