package gatewaytest

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"belfry/gateway"
)

// Broker is what TestSource needs of an MQTT broker.
type Broker interface {
	Address() string
	Stop()
	Start() error
}

// Subject is a kind of source under test.
type Subject struct {
	Broker  func(t *testing.T) Broker                        // a new one
	New     func(t *testing.T, server string) gateway.Source // always with the same options
	Message func(n int) (topic string, payload []byte)       // the n-th reading, no two alike
	Frame   func(n int) []byte                               // what the uplink of the n-th reading has as Raw; nil for its message
}

// raw returns what the uplink of the n-th reading has as Raw.
func (s *Subject) raw(n int) []byte {
	if s.Frame != nil {
		return s.Frame(n)
	}
	_, payload := s.Message(n)
	return payload
}

// TestSource holds a source to what gateway.Source promises.
func TestSource(t *testing.T, subject Subject) {
	for _, promise := range []struct {
		name string
		test func(*testing.T, *stage)
	}{
		{"NothingIsAcknowledgedBeforeItIsHeld", testHeldBeforeAcknowledged},
		{"WhatCouldNotBeHeldEndsTheRunAndComesAgain", testFailedHold},
		{"WhatIsHeldDoesNotComeAgain", testHeldOnce},
		{"MessagesWaitWhileTheGatewayIsAway", testAway},
		{"OrderIsKept", testOrder},
		{"AnotherRunWorksAfterTheBrokerRestarted", testBrokerRestart},
		{"RunStopsWhileTheBrokerIsSilent", testSilentBroker},
		{"RunLeavesNoGoroutine", testNoGoroutine},
	} {
		t.Run(promise.name, func(t *testing.T) {
			broker := subject.Broker(t)
			promise.test(t, &stage{Subject: subject, broker: broker, source: subject.New(t, broker.Address())})
		})
	}
}

type stage struct {
	Subject
	broker Broker
	source gateway.Source
}

// publish publishes messages from, from+1, ... below to.
func (s *stage) publish(t *testing.T, from, to int) {
	t.Helper()
	publisher := NewPublisher(t, s.broker.Address())
	defer publisher.Close()
	for n := from; n < to; n++ {
		topic, payload := s.Message(n)
		publisher.Publish(topic, 1, false, payload)
	}
	publisher.Publish("gatewaytest/end", 1, false, nil) // its acknowledgement says that the others were passed on
}

// numbers returns which messages the uplinks are.
func (s *stage) numbers(t *testing.T, uplinks []gateway.Uplink, below int) []int {
	t.Helper()
	var numbers []int
next:
	for i := range uplinks {
		for n := range below {
			if bytes.Equal(uplinks[i].Raw, s.raw(n)) {
				numbers = append(numbers, n)
				continue next
			}
		}
		t.Fatalf("got an uplink that is no message: %q", uplinks[i].Raw)
	}
	return numbers
}

func (s *stage) wantAll(t *testing.T, uplinks []gateway.Uplink, below int) {
	t.Helper()
	seen := map[int]int{}
	for _, n := range s.numbers(t, uplinks, below) {
		seen[n]++
	}
	for n := range below {
		if seen[n] != 1 {
			t.Errorf("message %d came %d times, want once", n, seen[n])
		}
	}
}

func (s *stage) wantOrder(t *testing.T, uplinks []gateway.Uplink, from, to int) {
	t.Helper()
	numbers := s.numbers(t, uplinks, to)
	if len(numbers) != to-from {
		t.Fatalf("got %d messages, want %d", len(numbers), to-from)
	}
	for i, n := range numbers {
		if n != from+i {
			t.Fatalf("message %d came at place %d: %v", n, from+i, numbers)
		}
	}
}

func testHeldBeforeAcknowledged(t *testing.T, s *stage) {
	receiver := NewReceiver(true)
	running := Run(t, s.source, receiver)
	s.publish(t, 0, 5)
	receiver.WaitFor(t, 5)
	running.Stop(t)

	again := NewReceiver(false)
	Run(t, s.source, again)
	uplinks := again.WaitFor(t, 5)
	s.wantAll(t, uplinks, 5)
	for i := range uplinks {
		if !uplinks[i].Repeat && s.Frame == nil { // a frame has its counter instead
			t.Errorf("uplink %d is not marked as a repeat", i)
		}
	}
}

func testFailedHold(t *testing.T, s *stage) {
	receiver := NewReceiver(true)
	running := Run(t, s.source, receiver)
	s.publish(t, 0, 3)
	receiver.WaitFor(t, 3)
	full := errors.New("disk is full")
	receiver.Done(full)
	if err := running.Ended(t); !errors.Is(err, full) {
		t.Fatalf("run ended with %v, want %v", err, full)
	}

	again := NewReceiver(false)
	Run(t, s.source, again)
	s.wantAll(t, again.WaitFor(t, 3), 3)
}

func testHeldOnce(t *testing.T, s *stage) {
	receiver := NewReceiver(false)
	running := Run(t, s.source, receiver)
	s.publish(t, 0, 5)
	receiver.WaitFor(t, 5)
	running.Stop(t)

	again := NewReceiver(false)
	Run(t, s.source, again)
	s.publish(t, 5, 6)
	s.wantOrder(t, again.WaitFor(t, 1), 5, 6)
}

func testAway(t *testing.T, s *stage) {
	Run(t, s.source, NewReceiver(false)).Stop(t)
	s.publish(t, 0, 10)
	receiver := NewReceiver(false)
	Run(t, s.source, receiver)
	s.wantAll(t, receiver.WaitFor(t, 10), 10)
}

func testOrder(t *testing.T, s *stage) {
	const many = 300
	receiver := NewReceiver(false)
	Run(t, s.source, receiver)
	s.publish(t, 0, many)
	s.wantOrder(t, receiver.WaitFor(t, many), 0, many)
}

func testBrokerRestart(t *testing.T, s *stage) {
	receiver := NewReceiver(false)
	running := Run(t, s.source, receiver)
	s.publish(t, 0, 1)
	receiver.WaitFor(t, 1)
	s.broker.Stop()
	if err := running.Ended(t); err == nil {
		t.Error("run ended without an error when the broker went away")
	}
	if err := Begin(t, s.source, receiver).Ended(t); err == nil {
		t.Error("run ended without an error while the broker was away")
	}
	if err := s.broker.Start(); err != nil {
		t.Fatal(err)
	}
	again := NewReceiver(false)
	Run(t, s.source, again)
	s.publish(t, 1, 2)
	repeated := func() int { // the broker may not have read the last acknowledgement
		return len(slices.DeleteFunc(again.Uplinks(), func(u gateway.Uplink) bool { return !bytes.Equal(u.Raw, s.raw(0)) }))
	}
	WaitFor(t, waitLimit, "a message after the restart", func() bool { return len(again.Uplinks()) > repeated() })
	s.wantOrder(t, again.Uplinks()[repeated():], 1, 2)
}

// testSilentBroker connects to something that accepts and says nothing.
func testSilentBroker(t *testing.T, s *stage) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 1)
	go func() { // ends with the listener
		if connection, err := listener.Accept(); err == nil {
			accepted <- connection
		}
	}()
	running := Begin(t, s.New(t, "tcp://"+listener.Addr().String()), NewReceiver(false))
	connection := <-accepted
	defer connection.Close()
	running.Stop(t)
}

func testNoGoroutine(t *testing.T, s *stage) {
	before := goleak.IgnoreCurrent()
	receiver := NewReceiver(true)
	running := Run(t, s.source, receiver)
	s.publish(t, 0, 3)
	receiver.WaitFor(t, 3)
	running.Stop(t)
	s.broker.Stop()
	if err := Begin(t, s.source, receiver).Ended(t); err == nil {
		t.Error("run ended without an error while the broker was away")
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
