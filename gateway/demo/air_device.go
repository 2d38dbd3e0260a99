package demo

import (
	"fmt"
	"slices"
	"time"
)

const (
	spread        = 80 * time.Millisecond  // between the gateways' copies of a frame
	maxTries      = 3                      // of a confirmed uplink
	maxUnsettled  = 6                      // frames of one device that no gateway could deliver
	joinStagger   = 6 * time.Second        // all at once, the answers would collide
	windowClosing = 300 * time.Millisecond // after the second window opened
)

// begin lets the devices ask for their sessions, and misfortune take its course.
func (a *Air) begin() {
	for _, d := range a.devices {
		if d.session == nil {
			a.after(time.Duration(d.random.Int64N(int64(joinStagger))), func() { a.join(d) })
		}
	}
	if a.Memory != "" {
		a.after(time.Second, a.keepRemembering)
	}
	if !a.Calm {
		a.after(a.between(6*time.Second, 9*time.Second), a.loseBackhaul)
		a.after(a.between(4*time.Second, 6*time.Second), a.replay)
	}
}

func (a *Air) between(least, most time.Duration) time.Duration {
	return least + time.Duration(a.random.Int64N(int64(most-least)))
}

// Send gives a report to its device, which transmits it when it can. landed is called by another goroutine once a radio
// gateway has an acknowledgement of it; it never is when the radio ends before that.
func (a *Air) Send(m Message, landed func(Message)) {
	m.Uplink.device.busy.Add(1)
	a.post(func() { a.enqueue(&errand{message: m, landed: landed}) })
}

func (a *Air) enqueue(e *errand) {
	d, u := e.message.Uplink.device, e.message.Uplink
	if a.finished {
		d.busy.Add(-1)
		return
	}
	e.frame = uplinkFrame{port: u.port, payload: u.payload, confirmed: d.random.IntN(12) == 0, adaptive: d.rate%2 == 0}
	for _, command := range []byte{commandLinkCheck, commandDeviceTime} {
		if d.random.IntN(15) == 0 {
			e.asked = append(e.asked, command)
		}
	}
	d.queue = append(d.queue, e)
	a.next(d)
}

// next lets a device begin with its next report. A report that changes an alarm is not begun while another of the device
// waits in a gateway without backhaul, and the other way round: it would arrive in the wrong order, and the alarm be another.
func (a *Air) next(d *device) {
	if d.current != nil || len(d.queue) == 0 || len(d.unsettled) >= maxUnsettled {
		return
	}
	e := d.queue[0]
	if len(d.unsettled) > 0 && (e.fragile() || slices.ContainsFunc(d.unsettled, (*errand).fragile)) {
		return
	}
	d.queue, d.current = d.queue[1:], e
	d.unsettled = append(d.unsettled, e)
	if e.frame.confirmed {
		a.count(func(r *Radio) { r.Confirmed++ })
	}
	a.uplink(d)
}

// uplink transmits the device's current report, once.
func (a *Air) uplink(d *device) {
	e, s := d.current, d.session
	channel := d.random.IntN(len(s.channels))
	phy := d.compose(e, uint8(channel))
	rate := d.rate
	first := rate - min(s.offset, rate)
	end := a.transmit(d, phy, s.channels[channel], func() { a.settle(d, e) })
	if e.since.IsZero() {
		e.since = end
	}
	d.window = window{
		open: true, end: end, delay: time.Duration(s.delay) * time.Second, frequency: s.channels[channel], rate: first, rate2: s.rate2,
	}
	a.after(time.Until(end)+d.window.delay+time.Second+windowClosing, func() { a.closeWindows(d, end) })
}

// settle notes that a gateway has an acknowledgement of a report's frame.
func (a *Air) settle(d *device, e *errand) {
	if e.settled {
		return
	}
	e.settled = true
	d.unsettled = slices.DeleteFunc(d.unsettled, func(other *errand) bool { return other == e })
	m := e.message
	m.Expect.From, m.Expect.Until = e.since.Add(-time.Second), time.Now().Add(time.Second)
	e.landed(m)
	a.next(d)
}

// closeWindows ends the turn of a device that heard nothing, or of one that heard what it wanted.
func (a *Air) closeWindows(d *device, end time.Time) {
	if !d.window.open || d.window.end != end {
		return
	}
	d.window.open = false
	e := d.current
	if e.frame.confirmed && !e.acked && e.tries < maxTries && !a.finished {
		a.after(time.Duration(d.random.Int64N(int64(time.Second))), func() { a.uplink(d) })
		return
	}
	a.done(d)
}

// done ends a device's work on its current report.
func (a *Air) done(d *device) {
	d.current = nil
	d.busy.Add(-1)
	a.next(d)
}

// join asks for a session, again and again.
func (a *Air) join(d *device) {
	if a.finished {
		return
	}
	phy, nonce := d.ask()
	frequency := euChannels[d.random.IntN(len(euChannels))]
	end := a.transmit(d, phy, frequency, func() {})
	d.window = window{open: true, join: true, nonce: nonce, end: end, delay: joinDelay * time.Second, frequency: frequency, rate: d.rate}
	a.after(time.Until(end)+d.window.delay+time.Second+windowClosing, func() {
		if d.window.open && d.window.end == end {
			d.window.open = false
			a.after(time.Duration(d.random.Int64N(int64(joinStagger))), func() { a.join(d) })
		}
	})
}

// broadcast lets a downlink be heard, when its time has come. It is called by the goroutines of the gateways.
func (a *Air) broadcast(b *broadcast) {
	a.post(func() { a.after(time.Until(b.at), func() { a.deliver(b) }) })
}

// deliver gives a downlink to the devices that listen to just that at just that time.
func (a *Air) deliver(b *broadcast) {
	address, data := downlinkAddress(b.phy)
	for _, d := range a.devices {
		if !d.window.hears(b) || !a.covers(d, b.gateway) {
			continue
		}
		switch {
		case d.window.join && !data:
			a.admit(d, b)
		case !d.window.join && data && d.session.address == address:
			a.receive(d, b)
		}
	}
}

func (a *Air) covers(d *device, f *forwarder) bool {
	return slices.ContainsFunc(d.coverage, func(i int) bool { return a.gateways[i] == f })
}

// admit gives a join-accept to a device. One for another device is not readable, and the device listens on.
func (a *Air) admit(d *device, b *broadcast) {
	if err := d.admit(b.phy); err != nil {
		return
	}
	d.window.open = false
	a.count(func(r *Radio) {
		r.Joined++
		r.Downlinks++
	})
}

// receive gives a data downlink to a device. Several sensors may have one address, of which one is meant.
func (a *Air) receive(d *device, b *broadcast) {
	downlink, answers, err := d.take(b.phy, d.window.end)
	if err != nil {
		a.blame(d, err)
		return
	}
	d.window.open = false
	a.count(func(r *Radio) {
		r.Downlinks++
		r.Answers += answers
		if downlink.ack {
			r.Acked++
		}
	})
	if e := d.current; e.frame.confirmed && !e.acked && e.tries < maxTries && !a.finished {
		a.after(time.Second, func() { a.uplink(d) })
		return
	}
	a.done(d)
}

// blame notes a downlink that the device it was for could not take.
func (a *Air) blame(d *device, err error) {
	a.count(func(r *Radio) {
		r.Refused++
		if r.firstRefusal == nil {
			r.firstRefusal = fmt.Errorf("%s: %w", d.sensor.ID, err)
		}
	})
}
