package lorawan

import "hash/fnv"

// counters is what is remembered of the uplinks of a session: the highest frame counter that was taken, and which of those
// before it, so that each late frame of a gateway that was cut off is taken once and a recorded frame never again.
type counters struct {
	any  bool // one was taken
	top  uint32
	seen [windowSize / 64]uint64 // bit i: top - i was taken
	// hashes are of what the newest frames said, at counter % len: whether a frame says what another with its counter said.
	// 0 is not known.
	hashes []uint32
}

const (
	windowSize = 256 // at a frame every ten minutes: two days
	hashesKept = 8   // of them; all where the counter may begin anew
)

// keep sets for how many frames it is remembered what they said.
func (c *counters) keep(relaxed bool) {
	wanted := hashesKept
	if relaxed {
		wanted = windowSize
	}
	if len(c.hashes) == wanted {
		return
	}
	hashes := make([]uint32, wanted)
	for behind := range uint32(min(wanted, len(c.hashes))) {
		if behind <= c.top {
			counter := c.top - behind
			hashes[counter%uint32(wanted)] = c.hashes[counter%uint32(len(c.hashes))]
		}
	}
	c.hashes = hashes
}

// standing is how a frame counter stands to those that were taken.
type standing int

const (
	fresh standing = iota // above all
	late                  // below the highest, and not taken
	taken                 // taken before
	gone                  // too far below to know
)

func (c *counters) standing(counter uint32) standing {
	switch {
	case !c.any || counter > c.top:
		return fresh
	case c.top-counter >= windowSize:
		return gone
	case c.seen[(c.top-counter)/64]&(1<<((c.top-counter)%64)) != 0:
		return taken
	default:
		return late
	}
}

// take marks a counter as taken, with the hash of what its frame said.
func (c *counters) take(counter, hash uint32) {
	switch {
	case !c.any:
		c.any, c.top, c.seen = true, counter, [windowSize / 64]uint64{}
		clear(c.hashes)
	case counter > c.top:
		for passed := range min(counter-c.top, uint32(len(c.hashes))) {
			c.hashes[(counter-passed)%uint32(len(c.hashes))] = 0
		}
		c.shift(counter - c.top)
		c.top = counter
	}
	behind := c.top - counter
	if behind >= windowSize {
		return
	}
	c.seen[behind/64] |= 1 << (behind % 64)
	if behind < uint32(len(c.hashes)) {
		c.hashes[counter%uint32(len(c.hashes))] = hash
	}
}

// shift moves the window up.
func (c *counters) shift(by uint32) {
	if by >= windowSize {
		c.seen = [windowSize / 64]uint64{}
		return
	}
	words, bits := int(by/64), by%64
	for i := len(c.seen) - 1; i >= 0; i-- {
		var word uint64
		if i >= words {
			word = c.seen[i-words] << bits
			if bits > 0 && i > words {
				word |= c.seen[i-words-1] >> (64 - bits)
			}
		}
		c.seen[i] = word
	}
}

// same says whether the frame that took a counter said the same; known is false when that is not remembered.
func (c *counters) same(counter, hash uint32) (same, known bool) {
	if c.standing(counter) != taken || c.top-counter >= uint32(len(c.hashes)) {
		return false, false
	}
	before := c.hashes[counter%uint32(len(c.hashes))]
	return before == hash, before != 0
}

// maxSkip is how many times 65,536 frames a session may have sent before it was first heard.
const maxSkip = 16

// candidates are the 32-bit counters that 16 bits on air may stand for, the most likely first. Which of them it is the
// message integrity code tells. fromZero says that the device may have begun anew.
func (c *counters) candidates(low uint16, fromZero bool) []uint32 {
	var all []uint32
	if !c.any {
		for high := range uint32(maxSkip) {
			all = append(all, high<<16|uint32(low))
		}
		return all
	}
	ahead := uint32(low - uint16(c.top)) // how far above the highest, if it is above
	if next := uint64(c.top) + uint64(ahead); next <= 1<<32-1 {
		all = append(all, uint32(next))
	}
	if behind := uint32(uint16(c.top) - low); behind > 0 && behind <= c.top {
		all = append(all, c.top-behind)
		if behind < windowSize && len(all) == 2 {
			all[0], all[1] = all[1], all[0]
		}
	}
	if fromZero && (len(all) == 0 || uint32(low) != all[len(all)-1]) {
		all = append(all, uint32(low))
	}
	return all
}

// saying is a hash of what a frame says, never 0.
func saying(port uint8, payload []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte{port})
	_, _ = h.Write(payload)
	return max(h.Sum32(), 1)
}
