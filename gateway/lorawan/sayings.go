package lorawan

// sayings remembers, since the start, a little of what the newest frames of a device said: enough to tell a late copy of a
// frame from another frame with its counter, which a device sends that has forgotten how far it was. What must not be
// forgotten is in counters; this would be too much to write with every frame.
type sayings struct {
	top  uint32
	said [windowSize]uint8 // at counter % len; 0 is not known
}

// say notes what the frame with a counter said. anew says that the counter began anew with it.
func (d *device) say(counter, hash uint32, anew bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.said == nil || anew:
		d.said = &sayings{top: counter}
	case counter > d.said.top:
		for passed := range min(counter-d.said.top, windowSize) {
			d.said.said[(counter-passed)%windowSize] = 0
		}
		d.said.top = counter
	case d.said.top-counter >= windowSize:
		return
	}
	d.said.said[counter%windowSize] = short(hash)
}

// saidElse says whether it is known that the frame with a counter said something else.
func (d *device) saidElse(counter, hash uint32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.said == nil || counter > d.said.top || d.said.top-counter >= windowSize {
		return false
	}
	before := d.said.said[counter%windowSize]
	return before != 0 && before != short(hash)
}

// short is never 0.
func short(hash uint32) uint8 { return uint8(hash%255) + 1 }
