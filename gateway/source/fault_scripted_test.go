package source_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/gatewaytest"
)

// script is a broker that does what a test says, packet by packet.
type script struct {
	t        *testing.T
	listener net.Listener
}

func newScript(t *testing.T) *script {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &script{t, listener}
}

func (s *script) Address() string { return "tcp://" + s.listener.Addr().String() }

// visit is one connection of a client, subscribed.
type visit struct {
	t          *testing.T
	connection net.Conn
	acks       chan uint16
	mute       bool // answers no ping
	pings      chan struct{}
	reading    sync.WaitGroup
}

// accept waits for the client and says whether there is a session for it. A mute broker answers no ping.
func (s *script) accept(resumed, mute bool) *visit {
	s.t.Helper()
	_ = s.listener.(*net.TCPListener).SetDeadline(time.Now().Add(deadline))
	connection, err := s.listener.Accept()
	if err != nil {
		s.t.Fatal("no client came: ", err)
	}
	v := &visit{t: s.t, connection: connection, acks: make(chan uint16, 1000), pings: make(chan struct{}, 1000), mute: mute}
	if _, err := packets.ReadPacket(connection); err != nil {
		s.t.Fatal(err)
	}
	connack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	connack.SessionPresent = resumed
	v.write(connack)
	subscribe, err := packets.ReadPacket(connection)
	if err != nil {
		s.t.Fatal(err)
	}
	suback := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	suback.MessageID, suback.ReturnCodes = subscribe.Details().MessageID, []byte{1}
	v.write(suback)
	v.reading.Go(v.read)
	s.t.Cleanup(v.leave)
	return v
}

func (v *visit) read() {
	for {
		packet, err := packets.ReadPacket(v.connection)
		if err != nil {
			return
		}
		switch p := packet.(type) {
		case *packets.PubackPacket:
			v.acks <- p.MessageID
		case *packets.PingreqPacket:
			if !v.mute {
				_ = packets.NewControlPacket(packets.Pingresp).Write(v.connection)
			}
			v.pings <- struct{}{}
		}
	}
}

func (v *visit) write(p packets.ControlPacket) {
	v.t.Helper()
	if err := p.Write(v.connection); err != nil {
		v.t.Fatal("script: ", err)
	}
}

// send delivers a message of QoS 1.
func (v *visit) send(id uint16, dup bool, payload string) {
	v.t.Helper()
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos, p.MessageID, p.Dup = "bins/b1/state", []byte(payload), 1, id, dup
	v.write(p)
}

// wantAcks waits for acknowledgements, in order.
func (v *visit) wantAcks(ids ...uint16) {
	v.t.Helper()
	for _, want := range ids {
		select {
		case got := <-v.acks:
			if got != want {
				v.t.Fatalf("acknowledged %d, want %d", got, want)
			}
		case <-time.After(deadline):
			v.t.Fatalf("message %d was not acknowledged", want)
		}
	}
}

// wantPing waits until the client asked whether its acknowledgements arrived.
func (v *visit) wantPing() {
	v.t.Helper()
	select {
	case <-v.pings:
	case <-time.After(deadline):
		v.t.Fatal("no ping")
	}
}

// settle has one more message delivered and acknowledged, so that the answer to the ping before was seen.
func (v *visit) settle(id uint16, payload string) {
	v.t.Helper()
	v.send(id, false, payload)
	v.wantAcks(id)
}

// leave ends the connection without a word, as a network that fails does.
func (v *visit) leave() {
	v.connection.Close()
	v.reading.Wait()
}

// box stands in for the gateway: it keeps what a source hands over in a real buffer, by the marks, and runs the source again
// when it ended.
type box struct {
	t      *testing.T
	buffer *buffer.Buffer
	source gateway.Source
	fail   func(payload string) error // why a message cannot be held; may be nil
	cancel context.CancelFunc
	ready  chan error // what the source said last
	ended  chan struct{}
}

func newBox(t *testing.T, dir string, source gateway.Source, fail func(payload string) error) *box {
	t.Helper()
	b, err := buffer.Open(buffer.Options{Dir: dir, CommitDelay: time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &box{t: t, buffer: b, source: source, fail: fail, cancel: cancel, ready: make(chan error, 1), ended: make(chan struct{})}
	go func() { // stop waits for it
		defer close(x.ended)
		for ctx.Err() == nil {
			_ = source.Run(ctx, x.emit(), x.note)
			time.Sleep(time.Millisecond)
		}
	}()
	t.Cleanup(x.stop)
	return x
}

func (x *box) note(err error) {
	select {
	case <-x.ready:
	default:
	}
	x.ready <- err
}

func (x *box) stop() {
	x.cancel()
	<-x.ended
	if err := x.buffer.Close(); err != nil {
		x.t.Error(err)
	}
}

// emit is one run's: after a failure nothing more is held, as gateway.Emit promises.
func (x *box) emit() gateway.Emit {
	var failed error
	return func(ctx context.Context, uplinks []gateway.Uplink, done func(error)) error {
		groups := make([]buffer.Group, len(uplinks))
		for i := range uplinks {
			u := uplinks[i]
			groups[i] = buffer.Group{Mark: u.Mark, Once: u.Repeat, Build: func(tx *buffer.Tx) error {
				if failed == nil && x.fail != nil {
					failed = x.fail(string(u.Raw))
				}
				if failed != nil {
					return failed
				}
				tx.Append(buffer.Normal, u.Raw)
				return nil
			}}
		}
		return x.buffer.Append(ctx, groups, func(_ buffer.Outcome, err error) { done(err) })
	}
}

func (x *box) held() []string {
	x.t.Helper()
	var held []string
	for from := buffer.Seq(0); ; {
		records, err := x.buffer.Read(buffer.Normal, from, 1000)
		if err != nil {
			x.t.Fatal(err)
		}
		if len(records) == 0 {
			return held
		}
		for _, r := range records {
			held = append(held, string(r.Data))
			from = r.Seq + 1
		}
	}
}

// wantHeld waits until so much is held as is wanted, and compares.
func (x *box) wantHeld(want ...string) {
	x.t.Helper()
	gatewaytest.WaitFor(x.t, deadline, "records", func() bool { return len(x.held()) >= len(want) })
	if diff := cmp.Diff(want, x.held()); diff != "" {
		x.t.Errorf("held (-want +got):\n%s", diff)
	}
}

var errNotNow = errors.New("not now")
