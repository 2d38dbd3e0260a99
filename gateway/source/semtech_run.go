package source

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"belfry/gateway"
	"belfry/gateway/lorawan"
	"belfry/gateway/lorawan/semtech"
)

const (
	lookEvery = time.Second           // at what only time changes
	tryAgain  = 10 * time.Millisecond // after the network had no room
)

// semtechRun is one Run of a semtechSource. One goroutine reads the socket, the one of Run does all else; the feed's own
// settles what it was given and asks for transmissions.
type semtechRun struct {
	*semtechSource
	socket  *net.UDPConn
	end     context.CancelCauseFunc // ends the run with a reason
	queue   *datagramQueue
	feed    *lorawan.Feed
	pushes  *pushes
	answers *answers
	began   time.Duration // since the source was made
	stalled *handOver     // for which the network had no room; nothing with frames overtakes it
}

// handOver is what is given to the network of one PUSH_DATA.
type handOver struct {
	receptions []lorawan.Reception
	done       func(error)
}

// caught ends the run after a panic on one of its goroutines; deferred by each.
func (r *semtechRun) caught() {
	if cause := recover(); cause != nil {
		r.end(gateway.NewFault(cause))
	}
}

// read takes datagrams from the socket until that has a deadline. It does as little as it can, so that the kernel has to
// drop none, but lets no stranger into the queue.
func (r *semtechRun) read() error {
	space, control := make([]byte, semtech.MaxDatagram+1), make([]byte, 64)
	drops := uint32(0)
	for {
		n, controls, _, from, err := r.socket.ReadMsgUDPAddrPort(space, control)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		r.count("received")
		if total, ok := kernelDrops(control[:controls]); ok {
			r.countMany("kernel_drops", int(total-drops)) // the kernel's count wraps
			drops = total
		}
		r.admit(space[:n], from)
	}
}

// admit copies a datagram into the queue if its sender may send it.
func (r *semtechRun) admit(bytes []byte, from netip.AddrPort) {
	parsed, err := semtech.Parse(bytes)
	if err != nil {
		r.count("malformed_datagrams")
		r.notices.note(noticeMalformed, "", from, err)
		return
	}
	sender := r.forwarders[parsed.Gateway]
	if sender == nil || !sender.allows(from.Addr()) {
		r.count("strangers")
		r.notices.note(noticeStranger, parsed.Gateway.String(), from, nil)
		return
	}
	now := r.now()
	if !sender.bucket.take(now) {
		r.count("over_rate")
		r.notices.note(noticeRate, sender.name, from, nil)
		return
	}
	sender.heard.Store(max(int64(now.Sub(r.made)), 1))
	parsed.Body = slices.Clone(parsed.Body)
	if !r.queue.push(datagram{Datagram: parsed, sender: sender, from: from, received: now}) {
		r.count("dropped")
		r.notices.note(noticeFull, sender.name, from, nil)
	}
}

// work handles what comes in until ctx is done.
func (r *semtechRun) work(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	defer r.caught()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.queue.ready:
		case <-r.pushes.ready:
		case <-again.C:
			if held := r.stalled; held != nil {
				r.stalled = nil
				r.offer(*held)
			}
		case <-look.C:
			r.look()
		}
		r.drain(ctx)
		if r.stalled != nil {
			again.Reset(tryAgain)
		}
	}
}

// drain handles the datagrams that wait, and acknowledges what is settled.
func (r *semtechRun) drain(ctx context.Context) {
	for ctx.Err() == nil {
		r.acknowledgeSettled()
		d, ok := r.queue.next(r.stalled == nil)
		if !ok {
			return
		}
		r.handle(&d)
	}
}

// handle does what one datagram wants. One over which this program stumbles is as good as one that cannot be read.
func (r *semtechRun) handle(d *datagram) {
	defer func() {
		if cause := recover(); cause != nil {
			r.refuse(d, gateway.NewFault(cause))
		}
	}()
	switch d.Kind {
	case semtech.PushData:
		r.count("push_data")
		r.takePush(d)
	case semtech.PullData:
		r.count("pull_data")
		r.takePull(d)
	case semtech.TxAck:
		r.count("tx_ack")
		r.takeOutcome(d)
	}
}

// refuse counts a datagram whose body cannot be read.
func (r *semtechRun) refuse(d *datagram, why error) {
	r.count("malformed_bodies")
	r.notices.note(noticeMalformed, d.sender.name, d.from, why)
}

// offer gives frames to the network, or keeps them while that has no room.
func (r *semtechRun) offer(h handOver) {
	if !r.feed.Receive(h.receptions, h.done) {
		r.stalled = &h
	}
}

// look does what is to be done now and then.
func (r *semtechRun) look() {
	now := r.now()
	for range r.answers.expire(now) {
		r.count("downlinks_unanswered")
	}
	for _, f := range r.sorted() {
		is := f.hearing(now.Sub(r.made), r.began)
		switch {
		case is == f.known:
		case is == present:
			r.env.Log.Info("radio gateway is heard", "gateway", f.name)
		default:
			r.env.Log.Warn("radio gateway is silent", "gateway", f.name, "last", r.lastHeard(f))
		}
		f.known = is
	}
	r.notices.write(r.env.Log, now)
}

func (r *semtechRun) lastHeard(f *forwarder) string {
	if at := f.heard.Load(); at > 0 {
		return r.made.Add(time.Duration(at)).UTC().Format(time.RFC3339)
	}
	return "never"
}

// finish acknowledges what was settled at last, and counts what nobody will look at.
func (r *semtechRun) finish() {
	r.acknowledgeSettled()
	for {
		if _, ok := r.queue.next(true); !ok {
			break
		}
		r.count("dropped")
	}
	r.notices.write(r.env.Log, r.now())
}

// send writes a datagram; it goes to radio gateways of the list only.
func (r *semtechRun) send(bytes []byte, to netip.AddrPort) error {
	_, err := r.socket.WriteToUDPAddrPort(bytes, to)
	if err != nil {
		r.count("send_failed")
	}
	return err
}
