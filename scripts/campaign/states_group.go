package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"

	"belfry/buffer"
)

// The workload of the states and failures parts consists of groups that are known by a writer and an index. All that is in
// a group follows from these and a seed, so that whoever finds a record can say what must be in it.

const workWriters = 3

// groupID names a group.
type groupID struct {
	Writer int
	Index  int // from 1; of one writer without gaps
}

// workGroup is what a group consists of.
type workGroup struct {
	id    groupID
	mark  buffer.Mark
	lanes []buffer.Lane
	data  [][]byte
}

func makeGroup(seed uint64, id groupID) workGroup {
	random := rand.New(rand.NewPCG(seed, uint64(id.Writer)<<32|uint64(id.Index)))
	g := workGroup{id: id}
	binary.LittleEndian.PutUint64(g.mark[:], random.Uint64())
	binary.LittleEndian.PutUint64(g.mark[8:], random.Uint64()|1)
	for part := range 1 + random.IntN(3) {
		lane := buffer.Normal
		switch n := random.IntN(10); {
		case n < 2:
			lane = buffer.Urgent
		case n == 2:
			lane = buffer.Quarantine
		}
		size := 60 + random.IntN(300)
		if random.IntN(20) == 0 {
			size = random.IntN(7000) // over a page
		}
		g.lanes = append(g.lanes, lane)
		g.data = append(g.data, fill(fmt.Appendf(nil, "g %d %d %d ", id.Writer, id.Index, part), size, random))
	}
	return g
}

// fill appends random bytes.
func fill(data []byte, size int, random *rand.Rand) []byte {
	for range size / 8 {
		data = binary.LittleEndian.AppendUint64(data, random.Uint64())
	}
	return data
}

// groupBook makes each group once. It is for one goroutine.
type groupBook struct {
	seed uint64
	made map[groupID]workGroup
}

func newGroupBook(seed uint64) *groupBook { return &groupBook{seed, make(map[groupID]workGroup)} }

func (b *groupBook) group(id groupID) workGroup {
	g, ok := b.made[id]
	if !ok {
		g = makeGroup(b.seed, id)
		b.made[id] = g
	}
	return g
}

// rejectData is what a record is put into quarantine with.
func rejectData(lane buffer.Lane, seq buffer.Seq) []byte {
	return fill(fmt.Appendf(nil, "r %d %d ", lane, seq), 100, rand.New(rand.NewPCG(uint64(lane), uint64(seq))))
}

// content is what a record says it is.
type content struct {
	kind  byte // 'g': part of a group; 'r': rejected; 'x': a notice of what expired; 'p': of a check
	group groupID
	part  int
	lane  buffer.Lane // of what was rejected
	seq   buffer.Seq
	gone  []buffer.Seq // what expired
}

// identify reads a record and compares all of it with what it must be.
func identify(book *groupBook, r buffer.Record) (content, error) {
	var c content
	if len(r.Data) < 2 {
		return c, fmt.Errorf("record of %d bytes", len(r.Data))
	}
	var want []byte
	wantLane := buffer.Quarantine
	switch c.kind = r.Data[0]; c.kind {
	case 'g':
		if _, err := fmt.Sscanf(head(r.Data), "g %d %d %d ", &c.group.Writer, &c.group.Index, &c.part); err != nil {
			return c, err
		}
		g := book.group(c.group)
		if c.part >= len(g.data) {
			return c, fmt.Errorf("part %d of %d", c.part, len(g.data))
		}
		want, wantLane = g.data[c.part], g.lanes[c.part]
		if c.part == 0 && r.Mark != g.mark {
			return c, fmt.Errorf("mark %x, want %x", r.Mark, g.mark)
		}
	case 'r':
		if _, err := fmt.Sscanf(head(r.Data), "r %d %d ", &c.lane, &c.seq); err != nil {
			return c, err
		}
		want = rejectData(c.lane, c.seq)
	case 'x':
		wantLane, want = buffer.Urgent, r.Data
		for _, field := range bytes.Fields(r.Data[1:]) {
			var seq buffer.Seq
			if _, err := fmt.Sscan(string(field), &seq); err != nil {
				return c, err
			}
			c.gone = append(c.gone, seq)
		}
	case 'p':
		wantLane, want = buffer.Normal, probeData
	}
	if !bytes.Equal(r.Data, want) {
		return c, fmt.Errorf("%d bytes with checksum %x, want %d with %x", len(r.Data), crc32.ChecksumIEEE(r.Data), len(want), crc32.ChecksumIEEE(want))
	}
	if r.Lane != wantLane {
		return c, fmt.Errorf("in lane %d, want %d", r.Lane, wantLane)
	}
	return c, nil
}

// probeData is the record that a check appends.
var probeData = []byte("probe")

func head(data []byte) string { return string(data[:min(len(data), 60)]) }

// A writer's state is its newest group and the number of that group's first record.

func writerKey(writer int) string { return fmt.Sprintf("writer/%d", writer) }

func writerState(index int, seq buffer.Seq) []byte {
	random := rand.New(rand.NewPCG(uint64(index), uint64(seq)))
	return fill(fmt.Appendf(nil, "%d %d ", index, seq), random.IntN(400), random)
}

func readWriterState(value []byte) (index int, seq buffer.Seq, err error) {
	if value == nil {
		return 0, 0, nil
	}
	if _, err := fmt.Sscanf(head(value), "%d %d ", &index, &seq); err != nil {
		return 0, 0, fmt.Errorf("state %q: %w", head(value), err)
	}
	if !bytes.Equal(value, writerState(index, seq)) {
		return 0, 0, fmt.Errorf("state of group %d at %d has other bytes", index, seq)
	}
	return index, seq, nil
}
