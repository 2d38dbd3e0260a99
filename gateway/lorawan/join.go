package lorawan

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/brocaar/lorawan"

	"belfry/gateway"
)

const joinLength = 23 // bytes of a join-request

var errJoin = errors.New("not a join-request")

func parseJoin(phy []byte) (*lorawan.JoinRequestPayload, error) {
	var frame lorawan.PHYPayload
	if len(phy) != joinLength {
		return nil, errLength
	}
	if err := frame.UnmarshalBinary(phy); err != nil {
		return nil, err
	}
	request, ok := frame.MACPayload.(*lorawan.JoinRequestPayload)
	if !ok {
		return nil, errJoin
	}
	return request, nil
}

// join is a join-request that may be accepted.
type join struct {
	feed    *Feed
	device  *device
	request *lorawan.JoinRequestPayload
	address uint32 // that it is given
	answer  *answer

	accepted *session // by the transaction
	replaced *session // that its device never used, if nothing else has its address
}

func (f *Feed) resolveJoin(g *group) (all []*resolved, refused string) {
	n := f.network
	request, err := parseJoin([]byte(g.phy))
	if err != nil {
		return nil, countMalformed
	}
	best := g.best()
	eui := request.DevEUI.String()
	d := n.devices[eui]
	refuse := func(why, counted string) ([]*resolved, string) {
		n.strange.note(joinRefused, eui, why, &best[0].Reception)
		return nil, counted
	}
	var phy lorawan.PHYPayload
	if d == nil || phy.UnmarshalBinary([]byte(g.phy)) != nil {
		return nil, countUnknownEUI
	}
	if d.AppKey == nil {
		return refuse("it has its session from its maker (ABP), and asks to join", countJoinKeys)
	}
	if ok, err := phy.ValidateUplinkJoinMIC(d.joinKey()); err != nil || !ok {
		return refuse("signed with another key than the key file has", countJoinUnsigned)
	}
	if !canSend(best) && slices.ContainsFunc(best, func(h heard) bool { return h.late }) {
		return refuse("came when the device listened no more (was its radio gateway cut off?)", countJoinLate)
	}
	if !canSend(best) {
		return refuse("nothing may be sent to it (downlink: true lets devices join)", countJoinDownlink)
	}
	j := &join{feed: f, device: d, request: request, address: n.newAddress()}
	if j.usedBefore(n.state.State) {
		if d.joinedWith(uint16(request.DevNonce), n.state.State) {
			return nil, countRepeated // a copy, from a gateway that was cut off
		}
		return refuse("its DevNonce was used before: a repeat, or the device forgot what it used", countJoinNonce)
	}
	j.answer = &answer{feed: f, device: d, group: g, join: j}
	r := &resolved{group: g, answer: j.answer, after: j.committed, uplink: gateway.Uplink{
		Device: d.DevEUI, Vouched: true, Raw: []byte(g.phy), Received: earliest(g), Time: bestTime(best), Claim: j.run, Hurry: true,
		Facts: map[string]string{"joined": earliest(g).UTC().Format(time.RFC3339), "dev_addr": devAddr(j.address).String()},
	}}
	return []*resolved{r}, ""
}

// copyTime is how long after a join the same request may still come from another gateway. Later it is a device that forgot
// which nonces it used.
const copyTime = time.Hour

// joinedWith says whether the device joined with a nonce a short time ago.
func (d *device) joinedWith(nonce uint16, state func(key string) []byte) bool {
	if time.Since(time.Unix(0, d.joined.Load())) > copyTime {
		return false
	}
	for _, s := range d.sessions(d.record(state)) {
		if s.devNonce == nonce {
			return true
		}
	}
	return false
}

// newAddress draws a DevAddr of the network's NetID that nobody here uses, or few do when all are taken: not all devices on
// an address can be tried on each frame.
func (n *Network) newAddress() uint32 {
	var id lorawan.NetID
	id[0], id[1], id[2] = byte(n.NetID>>16), byte(n.NetID>>8), byte(n.NetID)
	var best uint32
	for tries, fewest := 0, math.MaxInt; tries < maxDraws && fewest > 0; tries++ {
		var address lorawan.DevAddr
		_, _ = rand.Read(address[:]) // never fails
		address.SetAddrPrefix(id)
		drawn := binary.BigEndian.Uint32(address[:])
		if users := len(n.at(drawn)); users < fewest {
			best, fewest = drawn, users
		}
	}
	return best
}

const maxDraws = 1000 // of an address; some NetIDs have 128 of them

// usedBefore says whether the request's DevNonce was used. LoRaWAN 1.1 counts them up; before, they may be drawn at random.
func (j *join) usedBefore(state func(key string) []byte) bool {
	nonce, r := uint16(j.request.DevNonce), j.device.record(state)
	if j.device.mac == lorawan.LoRaWAN1_1 {
		return int32(nonce) <= r.devNonce
	}
	return j.device.nonces(r, state).has(nonce)
}

// nonces returns those that were used with the key of today.
func (d *device) nonces(r *record, state func(key string) []byte) nonces {
	if r.rekeyed {
		return nil
	}
	return state(prefixNonces + d.DevEUI)
}

const maxJoinNonce = 1<<24 - 1

// run is a gateway.Claim.
func (j *join) run(tx gateway.Transaction) gateway.Claimed {
	j.accepted, j.replaced, j.answer.wanted = nil, nil, false
	if j.usedBefore(tx.State) {
		return gateway.Claimed{Discard: discardJoinNonce}
	}
	r := j.device.record(tx.State)
	nonce := uint16(j.request.DevNonce)
	if j.device.mac == lorawan.LoRaWAN1_1 {
		r.devNonce = int32(nonce)
	} else {
		tx.SetState(prefixNonces+j.device.DevEUI, j.device.nonces(r, tx.State).with(nonce))
	}
	switch {
	case r.joinNonce == 0:
		r.joinNonce = firstJoinNonce(time.Now())
	case r.joinNonce < maxJoinNonce:
		r.joinNonce++
	default:
		return gateway.Claimed{Discard: discardJoinNonce} // 16 million joins
	}
	replaced := r.pending
	r.pending = &session{
		devAddr: j.address, joined: true, joinEUI: bigEndian(j.request.JoinEUI), joinNonce: r.joinNonce, devNonce: nonce,
		netID: j.feed.network.NetID,
	}
	if replaced != nil && !r.uses(replaced.devAddr) {
		j.replaced = replaced
	}
	j.device.save(tx, r)
	j.accepted, j.answer.wanted = r.pending, true
	return gateway.Claimed{}
}

// joinNonceEpoch is when the first join nonces begin to count.
var joinNonceEpoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// firstJoinNonce is where the nonces of a device begin: at minutes since an epoch rather than at 1, so that a box that lost its
// memory goes on above what it gave out before, as devices demand. Half of all are left whatever the clock says.
func firstJoinNonce(now time.Time) uint32 {
	minutes := now.Sub(joinNonceEpoch) / time.Minute
	return uint32(min(max(minutes, 1), maxJoinNonce/2))
}

// committed is called once the join is on disk: from now on the device may speak.
func (j *join) committed() {
	if j.accepted != nil {
		if j.replaced != nil {
			j.feed.network.leave(j.replaced.devAddr, j.device)
		}
		j.feed.network.settle(j.accepted.devAddr, j.device)
		j.device.joined.Store(time.Now().UnixNano())
		j.feed.Count(countJoins)
	}
}

// accept builds the join-accept, section 6.2.3 of the specification.
func (j *join) accept(region *Region) ([]byte, error) {
	s := j.accepted
	var id lorawan.NetID
	id[0], id[1], id[2] = byte(s.netID>>16), byte(s.netID>>8), byte(s.netID)
	modern := j.device.mac == lorawan.LoRaWAN1_1
	phy := lorawan.PHYPayload{
		MHDR: lorawan.MHDR{MType: lorawan.JoinAccept, Major: lorawan.LoRaWANR1},
		MACPayload: &lorawan.JoinAcceptPayload{
			JoinNonce: lorawan.JoinNonce(s.joinNonce), HomeNetID: id, DevAddr: devAddr(s.devAddr),
			DLSettings: lorawan.DLSettings{OptNeg: modern, RX2DataRate: uint8(region.rx2DataRate)},
			RXDelay:    uint8(region.rx1Delay / time.Second), CFList: region.channelList(modern),
		},
	}
	key := j.device.joinKey()
	signing := key
	if modern {
		signing = derive(*j.device.NwkKey, deriveJoin, eui(binary.BigEndian.Uint64(j.request.DevEUI[:])))
	}
	if err := phy.SetDownlinkJoinMIC(lorawan.JoinRequestType, j.request.JoinEUI, j.request.DevNonce, signing); err != nil {
		return nil, err
	}
	if err := phy.EncryptJoinAcceptPayload(key); err != nil {
		return nil, err
	}
	return phy.MarshalBinary()
}
