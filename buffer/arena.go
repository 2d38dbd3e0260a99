package buffer

const (
	arenaChunk = 256 << 10
	arenaKeep  = 8 // chunks kept for the next batch
)

// arena hands out room in large pieces of memory that stay where they are until reset: bbolt keeps the values it is
// given until its transaction ends.
type arena struct {
	chunks  [][]byte
	current int
}

type arenaPosition struct{ chunk, length int }

// room returns a chunk that can grow by n bytes without moving.
func (a *arena) room(n int) *[]byte {
	for ; a.current < len(a.chunks); a.current++ {
		if chunk := &a.chunks[a.current]; cap(*chunk)-len(*chunk) >= n {
			return chunk
		}
	}
	a.chunks = append(a.chunks, make([]byte, 0, max(n, arenaChunk)))
	return &a.chunks[a.current]
}

func (a *arena) position() arenaPosition {
	if a.current >= len(a.chunks) {
		return arenaPosition{chunk: a.current}
	}
	return arenaPosition{a.current, len(a.chunks[a.current])}
}

// back gives up all room taken since position returned p.
func (a *arena) back(p arenaPosition) {
	for i := p.chunk; i < len(a.chunks); i++ {
		a.chunks[i] = a.chunks[i][:0]
	}
	a.current = p.chunk
	if p.chunk < len(a.chunks) {
		a.chunks[p.chunk] = a.chunks[p.chunk][:p.length]
	}
}

func (a *arena) reset() {
	if len(a.chunks) > arenaKeep {
		clear(a.chunks[arenaKeep:])
		a.chunks = a.chunks[:arenaKeep]
	}
	for i := range a.chunks {
		if cap(a.chunks[i]) > arenaChunk {
			a.chunks[i] = make([]byte, 0, arenaChunk)
		}
	}
	a.back(arenaPosition{})
}
