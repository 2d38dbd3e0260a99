package source_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"belfry/gateway/gatewaytest"
	"belfry/gateway/source"
)

// F16: the broker is restarted, and its session and our subscriptions are as before.
func TestABrokerThatRestartsFindsSessionAndSubscriptions(t *testing.T) {
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "persistence true\npersistence_location {dir}/")
	x := newBox(t, t.TempDir(), bins(t, broker.Address(), nil), nil)
	var want []string
	for i := range 3 {
		gatewaytest.WaitFor(t, deadline, "a connection", func() bool { return x.source.Counters()["connects"] == uint64(i+1) })
		select {
		case <-x.ready:
		case <-time.After(deadline):
			t.Fatal("no subscription")
		}
		publisher := gatewaytest.NewPublisher(t, broker.Address())
		text := fmt.Sprint("reading ", i)
		publisher.Publish("bins/b1/state", 1, false, []byte(text))
		want = append(want, text)
		x.wantHeld(want...)
		publisher.Close()
		broker.Stop()
		if err := broker.Start(); err != nil {
			t.Fatal(err)
		}
	}
}

// F18: nothing can be stored for longer than the broker waits for a ping. It stays connected, and sends no more than it may.
func TestAStoreThatStallsDoesNotCostTheConnection(t *testing.T) {
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "max_queued_messages 0")
	s := bins(t, broker.Address(), func(o *source.MQTTOptions) { o.KeepAlive = 5 * time.Second })
	receiver := gatewaytest.NewReceiver(true)
	gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	const many = 500
	for i := range many {
		publisher.Publish("bins/b1/state", 1, false, fmt.Append(nil, i))
	}
	receiver.WaitFor(t, 20) // what Mosquitto has in flight
	time.Sleep(17 * time.Second)
	if n := len(receiver.Uplinks()); n != 20 {
		t.Errorf("%d messages are in memory, want 20", n)
	}
	receiver.Done(nil)
	uplinks := receiver.WaitFor(t, many)
	for i, u := range uplinks {
		if string(u.Raw) != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, u.Raw)
		}
	}
	if c := s.Counters(); c["connects"] != 1 || c["repeats"] != 0 {
		t.Errorf("%d connections, %d repeats; want one and none", c["connects"], c["repeats"])
	}
}

// F21: a message of 50 MB is cut short, kept with the reason and acknowledged; the next is not kept waiting.
func TestAMessageOfFiftyMegabytesIsKeptOffTheMemory(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	s := bins(t, broker.Address(), nil)
	receiver := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	huge := make([]byte, 50<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	publisher.Publish("bins/b1/state", 1, false, huge)
	publisher.Publish("bins/b1/state", 1, false, []byte("next"))
	uplinks := receiver.WaitFor(t, 2)
	runtime.ReadMemStats(&after)
	if f := uplinks[0].Fault; f == nil || !strings.Contains(f.Error(), "over max_packet") || len(uplinks[0].Raw) > 8<<10 {
		t.Errorf("of the huge message %d bytes are kept, fault %v", len(uplinks[0].Raw), f)
	}
	if string(uplinks[1].Raw) != "next" {
		t.Errorf("then came %q", uplinks[1].Raw)
	}
	// The publisher in this process copies the message; had the source it too, there would be more than twice as much.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 3*uint64(len(huge)) {
		t.Errorf("%d MB of memory were asked for", grown>>20)
	}
	waitCounter(t, s, "acked", 2)
}

// F21: 100,000 retained messages on a wildcard come first, and are no readings.
func TestAHundredThousandRetainedMessagesAreSetAside(t *testing.T) {
	t.Parallel()
	const many = 100_000
	broker := newScript(t)
	s := bins(t, broker.Address(), nil)
	receiver := gatewaytest.NewReceiver(false)
	gatewaytest.Begin(t, s, receiver)
	v := broker.accept(false, false)
	var text strings.Builder
	for i := range many {
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Payload, p.Retain = fmt.Sprintf("bins/b%d/state", i), []byte("old"), true
		_ = p.Write(&text) // never fails
	}
	if _, err := v.connection.Write([]byte(text.String())); err != nil {
		t.Fatal(err)
	}
	v.send(1, false, "new")
	v.wantAcks(1)
	waitCounter(t, s, "retained_ignored", many)
	readings := 0
	for _, u := range receiver.Uplinks() {
		if u.Discard == "" {
			readings++
		}
	}
	if readings != 1 {
		t.Errorf("%d readings, want the new one", readings)
	}
}

// F24: whatever is wrong with TLS, nothing is ever said in clear text, and the reason names the server.
func TestTLSThatFailsIsNeverFollowedByClearText(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	first := make(chan byte, 16)
	go func() { // ends with the listener
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 512)
			n, _ := connection.Read(b)
			for range min(n, 1) {
				first <- b[0]
			}
			_, _ = connection.Write([]byte("\x20\x02\x00\x00")) // an MQTT broker without TLS
			connection.Close()
		}
	}()
	s := bins(t, "ssl://"+listener.Addr().String(), nil)
	for range 3 {
		wantRefusal(t, s, "sources.test.server: ssl://")
		if b := <-first; b != 0x16 { // a TLS handshake record
			t.Fatalf("the connection began with %#x", b)
		}
	}
}

// F97: a hundred times the rate of 20 a second, for 5 s, against a broker as it comes. What the broker took is held.
func TestAHundredTimesTheRateIsHeldInOrder(t *testing.T) {
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "max_queued_messages 0")
	x := newBox(t, t.TempDir(), bins(t, broker.Address(), nil), nil)
	select {
	case <-x.ready:
	case <-time.After(deadline):
		t.Fatal("no subscription")
	}
	const rate, seconds = 2000, 5
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	began := time.Now()
	for i := range rate * seconds {
		if ahead := time.Duration(i)*time.Second/rate - time.Since(began); ahead > 0 {
			time.Sleep(ahead)
		}
		publisher.Publish("bins/b1/state", 1, false, fmt.Append(nil, i))
	}
	published := time.Now()
	gatewaytest.WaitFor(t, deadline, "all readings", func() bool { return x.buffer.Stats().Appended >= rate*seconds })
	t.Logf("published in %s, held %s after the last", published.Sub(began), time.Since(published))
	for i, text := range x.held() {
		if text != fmt.Sprint(i) {
			t.Fatalf("reading %d is %s", i, text)
		}
	}
	if c := x.source.Counters(); c["connects"] != 1 || c["dropped_qos0"] != 0 {
		t.Errorf("%d connections, %d dropped", c["connects"], c["dropped_qos0"])
	}
}
