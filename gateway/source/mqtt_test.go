package source_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/demo"
	"belfry/gateway/gatewaytest"
	"belfry/gateway/source"
)

const deadline = 20 * time.Second

func startBroker(t testing.TB, options demo.MQTTOptions) *demo.MQTT {
	t.Helper()
	broker, err := demo.StartMQTT(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker
}

// bins is a source of kind "mqtt" with one topic; change may alter the options.
func bins(t testing.TB, server string, change func(*source.MQTTOptions)) gateway.Source {
	return newSource(t, "mqtt", func(o *source.MQTTOptions) {
		o.Server, o.Topics = server, []source.TopicOptions{{Topic: "bins/{sensor}/state"}}
		if change != nil {
			change(o)
		}
	})
}

// waitCounter waits until a counter has a value.
func waitCounter(t testing.TB, s gateway.Source, name string, want uint64) {
	t.Helper()
	gatewaytest.WaitFor(t, deadline, name, func() bool { return s.Counters()[name] == want })
}

func TestAllQualitiesOfServiceArrive(t *testing.T) {
	for qos := range 3 {
		broker := gatewaytest.StartMosquitto(t, "")
		s := bins(t, broker.Address(), func(o *source.MQTTOptions) { o.QoS = qos })
		receiver := gatewaytest.NewReceiver(false)
		running := gatewaytest.Run(t, s, receiver)
		publisher := gatewaytest.NewPublisher(t, broker.Address())
		for _, payload := range []string{"1", "2", "2"} {
			publisher.Publish("bins/b1/state", byte(qos), false, []byte(payload))
		}
		uplinks := receiver.WaitFor(t, 3)
		marks := map[buffer.Mark]bool{}
		for i, want := range []string{"1", "2", "2"} {
			u := uplinks[i]
			if u.Device != "b1" || u.Topic != "bins/b1/state" || string(u.Payload) != want || string(u.Raw) != want || u.Repeat || u.Fault != nil {
				t.Errorf("QoS %d: uplink %d is %+v", qos, i, u)
			}
			if time.Since(u.Received) > deadline {
				t.Errorf("QoS %d: uplink %d was received at %s", qos, i, u.Received)
			}
			marks[u.Mark] = true
		}
		if qos == 0 && !marks[buffer.Mark{}] || qos > 0 && (len(marks) != 3 || marks[buffer.Mark{}]) {
			t.Errorf("QoS %d: marks %v", qos, marks)
		}
		if qos > 0 {
			waitCounter(t, s, "acked", 3)
		}
		running.Stop(t)
		again := gatewaytest.NewReceiver(false)
		gatewaytest.Run(t, s, again)
		publisher.Publish("bins/b1/state", 1, false, []byte("3"))
		if uplinks := again.WaitFor(t, 1); string(uplinks[0].Raw) != "3" {
			t.Errorf("QoS %d: %q came again after it was held", qos, uplinks[0].Raw)
		}
	}
}

func TestARepeatHasTheMarkOfTheFirstDelivery(t *testing.T) {
	for name, broker := range brokers {
		t.Run(name, func(t *testing.T) {
			broker := broker(t)
			s := bins(t, broker.Address(), nil)
			receiver := gatewaytest.NewReceiver(true)
			running := gatewaytest.Run(t, s, receiver)
			publisher := gatewaytest.NewPublisher(t, broker.Address())
			publisher.Publish("bins/b1/state", 1, false, []byte("x"))
			first := receiver.WaitFor(t, 1)[0]
			running.Stop(t)
			again := gatewaytest.NewReceiver(false)
			gatewaytest.Run(t, s, again)
			second := again.WaitFor(t, 1)[0]
			if first.Mark != second.Mark || first.Repeat || !second.Repeat {
				t.Errorf("first %x (repeat %t), then %x (repeat %t)", first.Mark, first.Repeat, second.Mark, second.Repeat)
			}
			waitCounter(t, s, "repeats", 1)
		})
	}
}

func TestRetainedMessagesAreNoNewReadings(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	publisher.Publish("bins/b1/state", 1, true, []byte("old"))
	s := bins(t, broker.Address(), nil)
	for range 2 {
		receiver := gatewaytest.NewReceiver(false)
		running := gatewaytest.Run(t, s, receiver)
		publisher.Publish("bins/b2/state", 1, false, []byte("new"))
		if uplinks := receiver.WaitFor(t, 1); string(uplinks[0].Raw) != "new" {
			t.Errorf("got %q", uplinks[0].Raw)
		}
		running.Stop(t)
	}
	waitCounter(t, s, "retained_ignored", 2)
	waitCounter(t, s, "acked", 4)
}

func TestRetainedMessagesKeepTheirIdentity(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	gatewaytest.NewPublisher(t, broker.Address()).Publish("bins/b1/state", 1, true, []byte("old"))
	s := bins(t, broker.Address(), func(o *source.MQTTOptions) { o.IgnoreRetained = false })
	var identities []string
	for range 2 {
		receiver := gatewaytest.NewReceiver(false)
		running := gatewaytest.Run(t, s, receiver)
		identities = append(identities, receiver.WaitFor(t, 1)[0].Identity)
		running.Stop(t)
	}
	if identities[0] == "" || identities[0] != identities[1] {
		t.Errorf("identities %q, want the same twice", identities)
	}
}

func TestSharedSubscription(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	share := func(id string) gateway.Source {
		return bins(t, broker.Address(), func(o *source.MQTTOptions) {
			o.ClientID, o.Topics[0].Topic = id, "$share/town/bins/{sensor}/state"
		})
	}
	one, two := gatewaytest.NewReceiver(false), gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, share("one"), one)
	gatewaytest.Run(t, share("two"), two)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	for range 10 {
		publisher.Publish("bins/b1/state", 1, false, []byte("x"))
	}
	gatewaytest.WaitFor(t, deadline, "10 uplinks", func() bool { return len(one.Uplinks())+len(two.Uplinks()) >= 10 })
	if len(one.Uplinks()) == 0 || len(two.Uplinks()) == 0 || one.Uplinks()[0].Device != "b1" {
		t.Errorf("shared as %d and %d", len(one.Uplinks()), len(two.Uplinks()))
	}
}

func TestDeviceAndPayloadAreReadAsConfigured(t *testing.T) {
	broker := startBroker(t, demo.MQTTOptions{})
	s := bins(t, broker.Address(), func(o *source.MQTTOptions) {
		o.Topics = []source.TopicOptions{
			{Topic: "hex/{sensor}", Payload: "hex", Port: 10},
			{Topic: "base64/{sensor}/#", Payload: "base64"},
			{Topic: "json/#", Device: "meta.id", Payload: "json"},
		}
	})
	receiver := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	cases := []struct {
		topic, payload string
		device         string
		want           []byte
		port           uint8
		fault          string
	}{
		{"hex/d1", "00ff", "d1", []byte{0, 255}, 10, ""},
		{"hex/d1", "00f", "d1", nil, 10, "odd number"},
		{"hex/", "00", "", nil, 0, "empty device name"},
		{"hex/" + strings.Repeat("d", 129), "00", "", nil, 0, "129 bytes is longer than 128"},
		{"hex/" + strings.Repeat("d", 128), "00", strings.Repeat("d", 128), []byte{0}, 10, ""},
		{"base64/d2/a/b", "AAE=", "d2", []byte{0, 1}, 0, ""},
		{"json/x", `{"meta":{"id":"d3"}}`, "d3", []byte(`{"meta":{"id":"d3"}}`), 0, ""},
		{"json/x", `{"meta":{"id":17}}`, "17", []byte(`{"meta":{"id":17}}`), 0, ""},
		{"json/x", `{"meta":{"id":{}}}`, "", nil, 0, "neither a text nor a number"},
		{"json/x", `{"meta":{}}`, "", nil, 0, "nothing at meta.id"},
		{"json/x", `{"meta":`, "", nil, 0, "not JSON at offset 8"},
		{"json/x", `{"meta":{"id":"d\u0007"}}`, "", nil, 0, "unprintable"},
	}
	for _, c := range cases {
		publisher.Publish(c.topic, 1, false, []byte(c.payload))
	}
	uplinks := receiver.WaitFor(t, len(cases))
	for i, c := range cases {
		u := uplinks[i]
		if u.Device != c.device || !bytes.Equal(u.Payload, c.want) || u.Port != c.port || string(u.Raw) != c.payload {
			t.Errorf("%s %s: got %+v", c.topic, c.payload, u)
		}
		if (u.Fault == nil) != (c.fault == "") || u.Fault != nil && !strings.Contains(u.Fault.Error(), c.fault) {
			t.Errorf("%s %s: fault %v, want %q", c.topic, c.payload, u.Fault, c.fault)
		}
	}
	waitCounter(t, s, "acked", uint64(len(cases)))
}

func TestOverlappingTopicsGiveOneReading(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	s := bins(t, broker.Address(), func(o *source.MQTTOptions) {
		o.Topics = []source.TopicOptions{{Topic: "bins/{sensor}/state", Port: 1}, {Topic: "bins/{sensor}/#", Port: 2}}
	})
	receiver := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	for _, topic := range []string{"bins/b1/state", "bins/b1/other", "bins/end/x"} {
		publisher.Publish(topic, 1, false, []byte("x"))
	}
	var ports []byte
	for _, u := range receiver.WaitFor(t, 3) {
		ports = append(ports, u.Port)
	}
	if !bytes.Equal(ports, []byte{1, 2, 2}) {
		t.Errorf("ports %v, want the first topic that fits, once each", ports)
	}
}

func TestAnOversizedMessageBlocksNothing(t *testing.T) {
	broker := startBroker(t, demo.MQTTOptions{})
	s := bins(t, broker.Address(), func(o *source.MQTTOptions) { o.MaxPacket = 2048 })
	receiver := gatewaytest.NewReceiver(false)
	running := gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	publisher.Publish("bins/b1/state", 1, false, make([]byte, 5<<20))
	publisher.Publish("bins/b1/state", 1, false, []byte("next"))
	uplinks := receiver.WaitFor(t, 2)
	if uplinks[0].Fault == nil || !strings.Contains(uplinks[0].Fault.Error(), "over max_packet, 2048") || len(uplinks[0].Raw) > 4096 {
		t.Errorf("oversized message: %d bytes kept, fault %v", len(uplinks[0].Raw), uplinks[0].Fault)
	}
	if string(uplinks[1].Raw) != "next" || uplinks[1].Fault != nil {
		t.Errorf("next message: %+v", uplinks[1])
	}
	waitCounter(t, s, "acked", 2)
	running.Stop(t)
}

func TestAFullQueueLeavesTheRestWithTheBroker(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "max_inflight_messages 0\nmax_queued_messages 0")
	s := bins(t, broker.Address(), func(o *source.MQTTOptions) { o.MaxPacket, o.Queue = 1024, 8192 })
	source.HoldFor(s, 50*time.Millisecond)
	receiver := gatewaytest.NewReceiver(true)
	running := gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	const many = 50
	for i := range many {
		publisher.Publish("bins/b1/state", 1, false, []byte{byte(i)})
	}
	gatewaytest.WaitFor(t, deadline, "a full queue", func() bool { return len(receiver.Uplinks()) >= 8192/(512+len("bins/b1/state")+1) })
	receiver.Done(nil)
	if err := running.Ended(t); err == nil || !strings.Contains(err.Error(), "sources.test.queue: more came in than could be stored") {
		t.Fatalf("run ended with %v", err)
	}
	for range many { // each run gets on a little
		if len(receiver.Uplinks()) >= many {
			break
		}
		_ = gatewaytest.Begin(t, s, receiver).Progress(t, receiver, many)
	}
	var got []byte
	for _, u := range receiver.Uplinks() {
		got = append(got, u.Raw...)
	}
	want := make([]byte, many)
	for i := range want {
		want[i] = byte(i)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %v, want each once and in order", got)
	}
}

func TestABrokerWithoutALimitIsSlowedDownNotCutOff(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "max_inflight_messages 0\nmax_queued_messages 0")
	s := bins(t, broker.Address(), func(o *source.MQTTOptions) { o.MaxPacket, o.Queue = 1024, 8192 })
	receiver := gatewaytest.NewReceiver(true)
	running := gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	const many = 500 // some thirty times what the queue holds
	for i := range many {
		publisher.Publish("bins/b1/state", 1, false, []byte{byte(i)})
	}
	gatewaytest.WaitFor(t, deadline, "a queue with no more room", func() bool { return len(receiver.Uplinks()) >= 8 })
	if n := len(receiver.Uplinks()); n >= many {
		t.Fatalf("%d messages were taken while nothing was held, want the queue to limit them", n)
	}
	receiver.Done(nil)
	receiver.WaitFor(t, many)
	waitCounter(t, s, "acked", many)
	if c := s.Counters(); c["connects"] != 1 || c["repeats"] != 0 {
		t.Errorf("%d connections, %d repeats, want one and none", c["connects"], c["repeats"])
	}
	running.Stop(t)
}

func TestAFullQueueDropsAndCountsQoS0(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	s := bins(t, broker.Address(), func(o *source.MQTTOptions) { o.MaxPacket, o.Queue, o.QoS = 1024, 4096, 0 })
	source.HoldFor(s, 50*time.Millisecond)
	receiver := gatewaytest.NewReceiver(true)
	gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	const many = 20
	for i := range many {
		publisher.Publish("bins/b1/state", 1, false, []byte{byte(i)})
	}
	gatewaytest.WaitFor(t, deadline, "all messages", func() bool {
		return s.Counters()["dropped_qos0"]+uint64(len(receiver.Uplinks())) == many
	})
	if s.Counters()["dropped_qos0"] == 0 {
		t.Error("nothing was dropped")
	}
	receiver.Done(nil)
	gatewaytest.WaitFor(t, deadline, "room", func() bool {
		before := len(receiver.Uplinks())
		publisher.Publish("bins/b1/state", 1, false, []byte("after"))
		time.Sleep(10 * time.Millisecond)
		return len(receiver.Uplinks()) > before
	})
}

func TestStopDoesNotWaitForAPausedBroker(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	s := bins(t, broker.Address(), nil)
	receiver := gatewaytest.NewReceiver(true)
	running := gatewaytest.Run(t, s, receiver)
	gatewaytest.NewPublisher(t, broker.Address()).Publish("bins/b1/state", 1, false, []byte("x"))
	receiver.WaitFor(t, 1)
	broker.Pause()
	defer broker.Resume()
	running.Stop(t)
}
