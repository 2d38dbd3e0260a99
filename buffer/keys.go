package buffer

import (
	"encoding/binary"
	"fmt"
)

// gap is a range of sequence numbers of one lane whose records will not be published although the mark passes them:
// they were rejected, found damaged, or went with a damaged file.
type gap struct {
	lane        Lane
	first, last Seq
	records     uint64
	before      uint64 // ordinal of the last record before the gap; only if lost
	lost        bool   // there is nothing to read: the mark moves past by itself
	kept        uint64 // how many of the records are in quarantine
}

func (g gap) key() string {
	key := append([]byte(prefixGap), byte(g.lane))
	return string(binary.BigEndian.AppendUint64(key, uint64(g.first)))
}

func (g gap) encode() []byte {
	value := []byte{0}
	if g.lost {
		value[0] = 1
	}
	value = binary.AppendUvarint(value, uint64(g.last))
	value = binary.AppendUvarint(value, g.records)
	value = binary.AppendUvarint(value, g.before)
	return binary.AppendUvarint(value, g.kept)
}

func decodeGap(key string, value []byte) (gap, error) {
	if len(key) != len(prefixGap)+9 || len(value) == 0 {
		return gap{}, fmt.Errorf("%w: gap of %d bytes", ErrCorrupt, len(value))
	}
	key = key[len(prefixGap):]
	d := decoder{data: value[1:]}
	g := gap{
		lane:    Lane(key[0]),
		first:   Seq(binary.BigEndian.Uint64([]byte(key[1:]))),
		lost:    value[0] == 1,
		last:    Seq(d.uvarint()),
		records: d.uvarint(),
		before:  d.uvarint(),
		kept:    d.uvarint(),
	}
	if d.failed || g.lane >= Quarantine {
		return gap{}, fmt.Errorf("%w: gap at %d", ErrCorrupt, g.first)
	}
	return g, nil
}

// dropKey is the key that says that a record is no longer in quarantine; its value is the segment it is in.
func dropKey(seq Seq) string {
	return string(binary.BigEndian.AppendUint64([]byte(prefixDrop), uint64(seq)))
}

func dropSeq(key string) Seq {
	if len(key) != len(prefixDrop)+8 {
		return 0
	}
	return Seq(binary.BigEndian.Uint64([]byte(key[len(prefixDrop):])))
}

func encodeNumber(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func decodeNumber(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

// info is what changes about a segment after its records were written.
type info struct {
	quarantined     uint64 // records in quarantine that are in this segment
	quarantineBytes uint64
	carried         uint64 // urgent records that were carried into this segment
	carriedBytes    uint64
	carriedLast     Seq
	urgentLeft      Seq    // urgent records up to here were carried away
	quarantineLeft  Seq    // quarantined records up to here were carried away
	away            uint64 // records before the marks that were not published
	urgentGone      bool   // all urgent records were carried away
	keptForOthers   bool   // records in quarantine were carried into this segment
}

func infoKey(number uint32) string { return prefixInfo + string(encodeNumber(number)) }

func (i *info) encode() []byte {
	var value []byte
	gone := uint64(0)
	if i.urgentGone {
		gone = 1
	}
	others := uint64(0)
	if i.keptForOthers {
		others = 1
	}
	for _, n := range []uint64{
		i.quarantined, i.quarantineBytes, i.carried, i.carriedBytes, uint64(i.carriedLast),
		uint64(i.urgentLeft), uint64(i.quarantineLeft), i.away, gone, others,
	} {
		value = binary.AppendUvarint(value, n)
	}
	return value
}

// decodeInfo returns no info for no value, which is what most segments have.
func decodeInfo(value []byte) info {
	if len(value) == 0 {
		return info{}
	}
	d := decoder{data: value}
	return info{
		quarantined: d.uvarint(), quarantineBytes: d.uvarint(),
		carried: d.uvarint(), carriedBytes: d.uvarint(), carriedLast: Seq(d.uvarint()),
		urgentLeft: Seq(d.uvarint()), quarantineLeft: Seq(d.uvarint()),
		away: d.uvarint(), urgentGone: d.uvarint() == 1, keptForOthers: d.uvarint() == 1,
	}
}
