package source

import (
	"hash/maphash"
	"net/netip"
	"sync"

	"belfry/gateway/lorawan"
	"belfry/gateway/lorawan/semtech"
)

// pushID tells one PUSH_DATA from another. A radio gateway that misses its acknowledgement sends the same again.
type pushID struct {
	gateway semtech.EUI
	token   semtech.Token
	digest  uint64
}

// acknowledgement is one that may go out.
type acknowledgement struct {
	token semtech.Token
	to    netip.AddrPort
}

// pushes are the PUSH_DATA that the network has and did not settle, and those that it did.
type pushes struct {
	seed  maphash.Seed
	ready chan struct{} // gets a value when one is settled

	mu      sync.Mutex
	open    map[pushID]netip.AddrPort // where each came from last, guarded by mu
	settled []acknowledgement         // guarded by mu
}

func newPushes() *pushes {
	return &pushes{seed: maphash.MakeSeed(), ready: make(chan struct{}, 1), open: map[pushID]netip.AddrPort{}}
}

// begin notes a PUSH_DATA; false when it is one that is not settled yet, which is then acknowledged where it came from now.
func (p *pushes) begin(d *datagram) (pushID, bool) {
	id := pushID{d.Gateway, d.Token, maphash.Bytes(p.seed, d.Body)}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, again := p.open[id]
	p.open[id] = d.from
	return id, !again
}

// settle is for what is held or refused for ever (nil), and what could not be held. It does not block.
func (p *pushes) settle(id pushID, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to, ok := p.open[id]
	delete(p.open, id)
	if ok && err == nil {
		p.settled = append(p.settled, acknowledgement{id.token, to})
		signal(p.ready)
	}
}

// take returns the acknowledgements that may go out.
func (p *pushes) take() []acknowledgement {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.settled
	p.settled = nil
	return list
}

// takePush hands the frames of a PUSH_DATA over. It is acknowledged when they are settled: now if there is none of use.
func (r *semtechRun) takePush(d *datagram) {
	id, first := r.pushes.begin(d)
	if !first {
		r.count("repeated_datagrams")
		return
	}
	push, err := semtech.ParsePush(d.Body)
	if err != nil {
		r.refuse(d, err)
	}
	r.countMany("radio_frames", len(push.Frames)+len(push.Faults)+push.BadCRC)
	r.countMany("bad_crc", push.BadCRC)
	r.countMany("faulty_frames", len(push.Faults))
	if len(push.Faults) > 0 {
		r.notices.note(noticeFrame, d.sender.name, d.from, push.Faults[0])
	}
	if push.Status {
		r.count("gateway_stats")
	}
	if len(push.Frames) == 0 {
		r.pushes.settle(id, nil)
		return
	}
	receptions := make([]lorawan.Reception, len(push.Frames))
	for i := range push.Frames {
		receptions[i] = r.reception(d, &push.Frames[i])
	}
	r.offer(handOver{receptions, func(err error) { r.pushes.settle(id, err) }})
}

func (r *semtechRun) reception(d *datagram, frame *semtech.Frame) lorawan.Reception {
	heard := lorawan.Reception{
		Gateway: d.sender.name, PHY: frame.PHY, Frequency: frame.Frequency, DataRate: frame.DataRate,
		RSSI: frame.RSSI, SNR: frame.SNR, Received: d.received, Time: frame.Time, GPS: frame.GPS,
	}
	if r.options.Downlink {
		sender, timestamp, received := d.sender, frame.Timestamp, d.received
		heard.Transmit = func(down lorawan.Downlink) error {
			return r.transmit(&answer{sender: sender, heard: timestamp, received: received, downlink: down})
		}
	}
	return heard
}

// acknowledgeSettled sends the acknowledgements that may go out.
func (r *semtechRun) acknowledgeSettled() {
	for _, a := range r.pushes.take() {
		if r.send(semtech.Acknowledge(semtech.PushAck, a.token), a.to) == nil {
			r.count("push_acks")
		}
	}
}

// takePull answers a PULL_DATA, if it comes from where the radio gateway is known to be.
func (r *semtechRun) takePull(d *datagram) {
	taken, moved := d.sender.pull(d.from, d.received)
	if !taken {
		r.count("pull_refused")
		r.notices.note(noticePull, d.sender.name, d.from, nil)
		return
	}
	if moved {
		r.env.Log.Warn("radio gateway listens at another address", "gateway", d.sender.name, "address", d.from)
	}
	if r.send(semtech.Acknowledge(semtech.PullAck, d.Token), d.from) == nil {
		r.count("pull_acks")
	}
}
