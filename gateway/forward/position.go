package forward

import (
	"encoding/binary"
	"hash/fnv"
	"slices"

	"belfry/buffer"
)

// position is what is remembered of the stream over restarts, in one commit with the marks: how its end can be
// recognised, and how much of what is held is behind each place of it. A stream that lost messages inside, not at its
// end, is not recognised by it.
type position struct {
	created int64 // when the stream was made, nanoseconds; 0 when nobody said
	// again is where the records begin that are being looked at again after a loss, by lane; 0 when none are.
	again [2]buffer.Seq
	// whole is the stream's end when that began: a record of ours behind it says nothing about those before it.
	whole uint64
	// points are checkpoints, oldest first. Their distances from the newest grow like powers, so that the search for the
	// last one that the stream still has takes few questions, and few records lie between it and the loss.
	points []checkpoint
}

// checkpoint is a message that the stream acknowledged. When it is still there, so are all records up to the marks.
type checkpoint struct {
	seq   uint64 // in the stream; 0 stands before all messages
	id    uint64 // of the message, hashed
	marks [2]buffer.Seq
}

const (
	maxPoints  = 12
	spread     = 16 // how many times farther from the newest the second next point may be
	positionV1 = 1
	pointSize  = 32
	headSize   = 1 + 8 + 16 + 8 + 1
)

func hashID(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
}

func (p *position) newest() checkpoint { return p.points[len(p.points)-1] }

// add puts a checkpoint at the end; one at the sequence of the newest takes its place.
func (p *position) add(c checkpoint) {
	if last := len(p.points) - 1; last >= 0 && p.points[last].seq == c.seq {
		p.points[last] = c
		return
	}
	p.points = append(p.points, c)
	for i := len(p.points) - 2; i > 0; i-- {
		if c.seq-p.points[i-1].seq <= spread*(c.seq-p.points[i+1].seq) {
			p.points = slices.Delete(p.points, i, i+1)
		}
	}
	if len(p.points) > maxPoints { // the oldest stays: nothing before it is to be looked at ever
		p.points = slices.Delete(p.points, 1, 2)
	}
}

// encode writes a version, created, again, whole and the points, all numbers big-endian.
func (p *position) encode() []byte {
	b := make([]byte, 0, headSize+pointSize*len(p.points))
	b = append(b, positionV1)
	b = binary.BigEndian.AppendUint64(b, uint64(p.created))
	for _, seq := range p.again {
		b = binary.BigEndian.AppendUint64(b, uint64(seq))
	}
	b = binary.BigEndian.AppendUint64(b, p.whole)
	b = append(b, byte(len(p.points)))
	for _, c := range p.points {
		b = binary.BigEndian.AppendUint64(b, c.seq)
		b = binary.BigEndian.AppendUint64(b, c.id)
		b = binary.BigEndian.AppendUint64(b, uint64(c.marks[0]))
		b = binary.BigEndian.AppendUint64(b, uint64(c.marks[1]))
	}
	return b
}

// parsePosition returns false for what is no position that this program knows.
func parsePosition(b []byte) (p position, ok bool) {
	if len(b) < headSize || b[0] != positionV1 {
		return position{}, false
	}
	count := int(b[headSize-1])
	if count == 0 || count > maxPoints || len(b) != headSize+count*pointSize {
		return position{}, false
	}
	number := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	p.created = int64(number(1))
	p.again = [2]buffer.Seq{buffer.Seq(number(9)), buffer.Seq(number(17))}
	p.whole = number(25)
	for i := range count {
		at := headSize + i*pointSize
		p.points = append(p.points, checkpoint{
			number(at), number(at + 8), [2]buffer.Seq{buffer.Seq(number(at + 16)), buffer.Seq(number(at + 24))},
		})
	}
	return p, true
}

// startPosition is that of a stream of which nothing is known. What was published before is looked at again, since a
// buffer that has marks and no position has lost it.
func startPosition(marks [2]buffer.Seq) position {
	p := position{points: []checkpoint{{}}}
	for i, mark := range marks {
		if mark > 0 {
			p.again[i] = 1
		}
	}
	return p
}
