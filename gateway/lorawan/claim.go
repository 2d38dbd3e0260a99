package lorawan

import (
	"time"

	"belfry/gateway"
)

// claim takes the frame counter of a data uplink, in the transaction that stores it.
type claim struct {
	feed      *Feed
	device    *device
	session   *session // that signed the frame
	former    bool     // the device has a newer one: nothing is answered then, and nothing begins anew
	counter   uint32
	hash      uint32
	wishes    wishes
	answering bool // the device can be answered
	empty     bool // there is no payload
	answer    *answer

	standing standing // as the transaction found it
	reset    bool
	began    bool     // a session, with this frame
	over     []uint32 // addresses of sessions that are over
	taken    bool
}

// repeatPause is how soon a device that repeats a confirmed frame is answered again.
const repeatPause = 2 * time.Second

// foresee says whether the frame will be refused by what is committed already, so that it costs no transaction. A confirmed
// frame that is repeated is not: its device did not hear our answer.
func (c *claim) foresee() string {
	up := &c.session.up
	switch standing := up.standing(c.counter); standing {
	case taken, gone:
		same, known := up.same(c.counter, c.hash)
		switch {
		case same && c.again(up) && c.paused():
			return ""
		case same:
			return countRepeated
		case c.former && standing == taken:
			return countRepeated
		case c.relaxed():
			return ""
		case standing == taken && !known && !c.device.saidElse(c.counter, c.hash):
			return countRepeated
		}
		return countReplayed
	}
	return ""
}

// paused says whether the device may have an answer to a repeated frame again. The clock may have been set back since the last.
func (c *claim) paused() bool {
	return time.Since(time.Unix(0, c.device.answered.Load())).Abs() > repeatPause
}

// relaxed says whether the counter may begin anew.
func (c *claim) relaxed() bool { return c.device.Relaxed && !c.former }

// again says whether the frame is the newest one, repeated because nobody answered.
func (c *claim) again(up *counters) bool {
	return c.wishes.acknowledge && c.answering && c.counter == up.top
}

// run is a gateway.Claim.
func (c *claim) run(tx gateway.Transaction) gateway.Claimed {
	c.over, c.taken, c.reset, c.began = nil, false, false, false
	if c.answer != nil {
		c.answer.wanted = false
	}
	r := c.device.record(tx.State)
	s := c.device.same(r, c.session)
	if s == nil {
		return gateway.Claimed{Discard: discardSession}
	}
	c.former = s == r.former // perhaps only since the frame was looked at
	s.up.keep(c.relaxed())
	claimed := gateway.Claimed{}
	if c.standing = s.up.standing(c.counter); c.former && c.standing == fresh {
		c.standing = late
	}
	switch c.standing {
	case late:
		claimed.Flags = flagsLate
	case taken, gone:
		same, known := s.up.same(c.counter, c.hash)
		switch {
		case same && c.again(&s.up) && !c.former:
			c.reply(r, s, tx)
			return gateway.Claimed{Discard: discardCopy}
		case same, c.standing == taken && !known && c.relaxed():
			return gateway.Claimed{Discard: discardCopy}
		case !c.relaxed():
			return gateway.Claimed{Discard: discardReplayed}
		}
		c.reset = true
		s.epoch, s.up = s.epoch+1, counters{hashes: s.up.hashes}
		claimed.Flags = flagsReset
	}
	s.up.take(c.counter, c.hash)
	c.taken = true
	c.began = s == r.pending
	if over := r.use(s); over != nil && !r.uses(over.devAddr) {
		c.over = append(c.over, over.devAddr)
	}
	if c.wishes.any() && c.standing != late {
		c.reply(r, s, tx)
	} else {
		c.device.save(tx, r)
	}
	claimed.Identity = c.device.identity(s, c.counter)
	if c.empty {
		claimed.Discard = discardCommands
	}
	return claimed
}

// reply takes a downlink counter for the answer, and saves the record.
func (c *claim) reply(r *record, s *session, tx gateway.Transaction) {
	if c.answer != nil {
		c.answer.wanted, c.answer.down, c.answer.reply = true, s.down, c.wishes
		s.down++
	}
	c.device.save(tx, r)
}

// committed is called once the transaction is on disk.
func (c *claim) committed() {
	for _, address := range c.over {
		c.feed.network.leave(address, c.device)
	}
	if c.taken && !c.former {
		c.device.say(c.counter, c.hash, c.reset || c.began)
	}
	if c.reset {
		c.feed.Count(countResets)
	}
	if c.taken && c.standing == late {
		c.feed.Count(countLate)
	}
	if c.answer != nil && c.answer.wanted {
		c.device.answered.Store(time.Now().UnixNano())
	}
}

// same finds a session in a record again.
func (d *device) same(r *record, other *session) *session {
	for _, s := range d.sessions(r) {
		if s.devAddr == other.devAddr && s.joinNonce == other.joinNonce {
			return s
		}
	}
	return nil
}
