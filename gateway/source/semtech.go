package source

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"belfry/gateway"
	"belfry/gateway/lorawan"
	"belfry/gateway/lorawan/semtech"
)

func init() { register("semtech-udp", newSemtech) }

// semtechSource is a source of kind "semtech-udp": radio gateways with a packet forwarder, which send what they hear in
// UDP datagrams. What it knows of them outlives a Run, so that nobody can take their place by ending one.
type semtechSource struct {
	env        Env
	options    SemtechOptions
	forwarders map[semtech.EUI]*forwarder
	counts     counters
	notices    notices
	made       time.Time
	now        func() time.Time // tests have clocks of their own
}

var _ gateway.Source = (*semtechSource)(nil)

// Of received, each datagram is in one of malformed_datagrams, strangers, over_rate, dropped, push_data, pull_data and tx_ack.
func semtechCounters() []string {
	names := []string{
		"received", "malformed_datagrams", "strangers", "over_rate", "dropped", "kernel_drops", "push_data", "pull_data", "tx_ack",
		"malformed_bodies", "repeated_datagrams", "radio_frames", "faulty_frames", "bad_crc", "gateway_stats",
		"push_acks", "pull_acks", "pull_refused", "send_failed",
		"downlinks_sent", "downlinks_retried", "downlinks_accepted", "downlinks_warned", "downlinks_unanswered", "tx_ack_unexpected",
	}
	for _, refusal := range semtech.Refusals() {
		names = append(names, refusedCounter(refusal))
	}
	return append(names, lorawan.Counts()...)
}

func refusedCounter(refusal string) string { return "downlinks_refused_" + strings.ToLower(refusal) }

func newSemtech(env Env, decode func(options any) error) (gateway.Source, error) {
	options := SemtechOptions{ReceiveBuffer: 8 << 20, Rate: 200, Queue: 4 << 20}
	if err := decode(&options); err != nil {
		return nil, err
	}
	forwarders, err := options.check()
	if err != nil {
		return nil, err
	}
	return &semtechSource{
		env: env, options: options, forwarders: forwarders, counts: newCounters(semtechCounters()...),
		made: time.Now(), now: time.Now,
	}, nil
}

// Name implements gateway.Source.
func (s *semtechSource) Name() string { return s.env.Name }

// Counters implements gateway.Source.
func (s *semtechSource) Counters() map[string]uint64 { return s.counts.snapshot() }

// count adds one to a counter.
func (s *semtechSource) count(name string) { s.countMany(name, 1) }

func (s *semtechSource) countMany(name string, n int) {
	if total, ok := s.counts[name]; ok {
		total.Add(uint64(n))
	}
}

var (
	errFeedEnded = errors.New("the radio network takes no more frames")
)

// Run implements gateway.Source. Each run is one socket.
func (s *semtechSource) Run(parent context.Context, emit gateway.Emit, ready func(error)) error {
	if s.env.Network == nil {
		return errNoNetwork
	}
	socket, err := s.listen(parent)
	if err != nil {
		if parent.Err() != nil {
			return nil
		}
		return err
	}
	ctx, end := context.WithCancelCause(parent)
	defer end(nil)
	r := &semtechRun{
		semtechSource: s, socket: socket, end: end, queue: newDatagramQueue(s.options.Queue),
		pushes: newPushes(), answers: newAnswers(), began: s.now().Sub(s.made),
		feed: s.env.Network.NewFeed(lorawan.FeedOptions{
			Source: s.env.Name, Emit: emit, Downlink: s.options.Downlink, Count: s.count,
		}),
	}
	var reading, feeding sync.WaitGroup
	feeding.Go(func() {
		defer r.caught()
		end(cmp.Or(r.feed.Run(ctx), errFeedEnded))
	})
	reading.Go(func() {
		defer r.caught()
		end(r.read())
	})
	ready(nil)
	r.work(ctx)
	_ = socket.SetReadDeadline(time.Unix(1, 0)) // ends read; acknowledgements still go out
	reading.Wait()
	feeding.Wait() // all that was handed over is settled then
	r.finish()
	_ = socket.Close()
	if parent.Err() != nil {
		return nil
	}
	err = context.Cause(ctx)
	ready(err)
	return err
}

// listen opens the socket.
func (s *semtechSource) listen(ctx context.Context) (*net.UDPConn, error) {
	network := "udp"
	if host, _, _ := net.SplitHostPort(s.options.Listen); !strings.Contains(host, ":") {
		network = "udp4" // 0.0.0.0 would be IPv6 too
	}
	var config net.ListenConfig
	opened, err := config.ListenPacket(ctx, network, s.options.Listen)
	if err != nil {
		return nil, err
	}
	socket := opened.(*net.UDPConn)
	granted, err := prepareDatagrams(socket, s.options.ReceiveBuffer)
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	if granted < s.options.ReceiveBuffer {
		s.env.Log.Warn("listening for radio gateways with a small receive buffer (raise net.core.rmem_max)",
			"address", socket.LocalAddr(), "asked", s.options.ReceiveBuffer, "granted", granted)
	} else {
		s.env.Log.Info("listening for radio gateways", "address", socket.LocalAddr(), "receive_buffer", granted)
	}
	return socket, nil
}

// sorted lists the radio gateways, always in the same order.
func (s *semtechSource) sorted() []*forwarder {
	list := make([]*forwarder, 0, len(s.forwarders))
	for _, f := range s.forwarders {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *forwarder) int { return cmp.Compare(a.name, b.name) })
	return list
}
