package lorawan

import (
	"time"

	"github.com/brocaar/lorawan"

	"belfry/gateway"
	"belfry/gateway/event"
)

// Why a frame is not taken. These are counted, by the feed or, where it has to be seen in the store's transaction first, in
// the store's ledger too.
const (
	countMalformed      = "malformed"          // no LoRaWAN frame
	countNoUplink       = "no_uplink"          // a downlink of another network, a proprietary frame, a rejoin-request
	countUnknownAddress = "unknown_devaddr"    // nobody here uses the DevAddr
	countUnsigned       = "mic_failed"         // somebody here does, but did not sign the frame
	countRepeated       = "repeated"           // taken before: a late copy, or somebody plays it again
	countReplayed       = "counter_refused"    // its counter was used by another frame, or is too far below
	countUnknownEUI     = "unknown_deveui"     // a join-request of a device that has no keys here
	countJoinUnsigned   = "join_mic_failed"    // signed with another key
	countJoinNonce      = "join_nonce_used"    // a join-request that was used before
	countJoinDownlink   = "join_downlink_off"  // nothing may be sent, so nobody can join
	countJoinLate       = "join_too_late"      // a join-request that a radio gateway kept while it was cut off
	countJoinKeys       = "join_no_key"        // a join-request of a device that has its session from its maker
	discardCopy         = "copy"               // a frame that was taken before; seen only in the transaction
	discardCommands     = "mac_only"           // MAC commands and no payload
	discardReplayed     = countReplayed        // seen only in the transaction
	discardSession      = "session_over"       // of a session that other joins replaced
	discardJoinNonce    = countJoinNonce       // seen only in the transaction
	countAnswers        = "answers"            // downlinks given to a radio gateway
	countAnswerFailed   = "answers_failed"     // that no radio gateway took
	countAnswerAirtime  = "answers_no_airtime" // that would have been more than the band allows
	countJoins          = "joins"              // accepted
	countResets         = "counter_resets"     // of devices that may
	countLate           = "late"               // frames taken after newer ones, or of the session before
)

// Counts are what a feed counts, by the names that the source's Counters are to have.
func Counts() []string {
	return []string{
		"frames", "copies", countMalformed, countNoUplink, countUnknownAddress, countUnsigned, countRepeated, countReplayed, countUnknownEUI,
		countJoinUnsigned, countJoinNonce, countJoinDownlink, countJoinLate, countJoinKeys, countAnswers, countAnswerFailed, countAnswerAirtime,
		countJoins, countResets, countLate,
	}
}

var (
	flagsLate  = []string{event.FlagLate}
	flagsReset = []string{event.FlagCounterReset}
)

// resolved is an uplink that was made of a group, or a notice about its device.
type resolved struct {
	uplink gateway.Uplink
	group  *group // nil for a notice
	answer *answer
	after  func() // called once the uplink is held
}

// finish settles what the uplink was made of.
func (r *resolved) finish(err error) {
	if err == nil && r.after != nil {
		r.after()
	}
	if r.group != nil {
		r.group.settle(err)
	}
}

// uninteresting says why a reception is nothing for the network, before anything is kept of it: that is all that a stranger's
// frame costs.
func (n *Network) uninteresting(r *Reception) string {
	if checkPHY(r.PHY) != nil {
		return countMalformed
	}
	switch messageType(r.PHY) {
	case lorawan.UnconfirmedDataUp, lorawan.ConfirmedDataUp:
		f, err := parseData(r.PHY)
		if err != nil {
			return countMalformed
		}
		if len(n.at(f.devAddr)) == 0 {
			n.strange.note(unknownAddress, f.address().String(), "", r)
			return countUnknownAddress
		}
	case lorawan.JoinRequest:
		request, err := parseJoin(r.PHY)
		if err != nil {
			return countMalformed
		}
		if n.devices[request.DevEUI.String()] == nil {
			n.strange.note(unknownEUI, request.DevEUI.String(), "", r)
			return countUnknownEUI
		}
	default:
		return countNoUplink
	}
	return ""
}

// resolve finds out what a frame is. Refused says why it is nothing, in a word that is counted.
func (f *Feed) resolve(g *group) (all []*resolved, refused string) {
	defer func() { // a frame over which this program stumbles must not keep the source from all others
		if cause := recover(); cause != nil {
			all, refused = []*resolved{{group: g, uplink: gateway.Uplink{
				Raw: []byte(g.phy), Received: earliest(g), Fault: gateway.NewFault(cause),
			}}}, ""
		}
	}()
	if messageType(g.heard[0].PHY) == lorawan.JoinRequest {
		return f.resolveJoin(g)
	}
	return f.resolveData(g)
}

// maxSharing is how many devices with one DevAddr are tried.
const maxSharing = 16

// match is the session that signed a frame.
type match struct {
	device  *device
	session *session // as it was committed then
	former  bool     // the device has a newer one
	keys    sessionKeys
	counter uint32
}

// find returns the session that signed a frame, nil if there is none.
func (n *Network) find(frame *dataFrame, g *group) *match {
	devices := n.at(frame.devAddr)
	for _, d := range devices[:min(len(devices), maxSharing)] {
		r := d.record(n.state.State)
		for _, s := range d.sessions(r) {
			if s.devAddr != frame.devAddr {
				continue
			}
			keys, former := d.sessionKeys(s), s == r.former
			for _, counter := range s.up.candidates(frame.low, d.Relaxed && !former) {
				if n.signed(frame, g, d, &keys, counter) {
					return &match{d, s, former, keys, counter}
				}
			}
		}
	}
	return nil
}

// signed checks the signature. That of LoRaWAN 1.1 covers data rate and channel, of which copies may tell different ones.
func (n *Network) signed(frame *dataFrame, g *group, d *device, keys *sessionKeys, counter uint32) bool {
	if d.mac == lorawan.LoRaWAN1_0 {
		return frame.signed(d.mac, keys, counter, 0, 0)
	}
	type way struct{ rate, channel int }
	var tried []way
next:
	for i := range g.heard {
		rate, channel, ok := n.region.uplinkWay(&g.heard[i].Reception)
		if !ok {
			continue
		}
		for _, before := range tried {
			if before == (way{rate, channel}) {
				continue next
			}
		}
		tried = append(tried, way{rate, channel})
		if frame.signed(d.mac, keys, counter, uint8(rate), uint8(channel)) {
			return true
		}
	}
	return false
}

func (f *Feed) resolveData(g *group) (all []*resolved, refused string) {
	n := f.network
	frame, err := parseData([]byte(g.phy))
	if err != nil {
		return nil, countMalformed
	}
	best := g.best()
	m := n.find(&frame, g)
	if m == nil {
		n.strange.note(unsigned, frame.address().String(), n.named(frame.devAddr), &best[0].Reception)
		return f.trouble(n.at(frame.devAddr), troubleUnsigned, g), countUnsigned
	}
	payload, commands, err := frame.decrypt(m.device.mac, &m.keys, m.counter)
	if err != nil {
		return nil, countMalformed
	}
	c := &claim{
		feed: f, device: m.device, session: m.session, former: m.former, counter: m.counter, hash: saying(frame.port, payload),
		wishes: frame.wishes(m.device.mac, commands), answering: canSend(best) && !m.former,
	}
	if refused := c.foresee(); refused != "" {
		if refused == countReplayed && !m.former {
			n.strange.note(replayed, frame.address().String(), m.device.DevEUI, &best[0].Reception)
			return f.trouble([]*device{m.device}, troubleReplayed, g), refused
		}
		return nil, refused
	}
	r := &resolved{group: g, uplink: gateway.Uplink{
		Device: m.device.DevEUI, Vouched: true, Port: frame.port, Raw: []byte(g.phy), Received: earliest(g), Time: bestTime(best),
		Link: link(best, g), Claim: c.run, Hurry: c.answering && c.wishes.any(),
	}}
	if frame.hasPort && frame.port > 0 {
		r.uplink.Payload = payload
	} else {
		c.empty = true
	}
	if c.answering && c.wishes.any() {
		r.answer = &answer{feed: f, device: m.device, keys: m.keys, version: m.device.mac, frame: frame, counter: m.counter, group: g}
		c.answer = r.answer
	}
	r.after = c.committed
	return []*resolved{r}, ""
}

// earliest is when the first copy came in.
func earliest(g *group) time.Time {
	first := g.heard[0].Received
	for i := range g.heard {
		if g.heard[i].Received.Before(first) {
			first = g.heard[i].Received
		}
	}
	return first
}

// bestTime is what the best of the gateways that have a clock of their own says.
func bestTime(best []heard) time.Time {
	for i := range best {
		if !best[i].Time.IsZero() {
			return best[i].Time
		}
	}
	return time.Time{}
}

func link(best []heard, g *group) *event.Link {
	return &event.Link{
		RSSI: best[0].RSSI, SNR: best[0].SNR, SpreadingFactor: best[0].DataRate.SpreadingFactor, Gateways: g.gateways(),
	}
}

// canSend says whether an answer can go out through one of the gateways, whichever source heard the frame first.
func canSend(best []heard) bool {
	for i := range best {
		if best[i].Transmit != nil {
			return true
		}
	}
	return false
}
