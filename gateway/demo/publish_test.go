package demo

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// listen collects what a broker hands out, by topic and payload.
func listen(t *testing.T, broker *MQTT) func() map[string]int {
	t.Helper()
	var mu sync.Mutex
	heard := map[string]int{}
	options := mqtt.NewClientOptions().AddBroker(broker.Address()).SetClientID("listener").SetProtocolVersion(4).SetCleanSession(false).
		SetMaxReconnectInterval(100 * time.Millisecond).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		mu.Lock()
		defer mu.Unlock()
		heard[m.Topic()+" "+string(m.Payload())]++
	})
	client := mqtt.NewClient(options)
	if token := client.Connect(); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatalf("connect the listener: %v", token.Error())
	}
	if token := client.Subscribe("#", 1, nil); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatalf("subscribe the listener: %v", token.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		copied := make(map[string]int, len(heard))
		for message, count := range heard {
			copied[message] = count
		}
		return copied
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for: %s", what)
		}
	}
}

// numbered makes messages that are all different, and ends the context after the last.
func numbered(count int, end context.CancelFunc) func() Message {
	i := 0
	return func() Message {
		if i++; i == count {
			end()
		}
		return Message{Topic: fmt.Sprintf("bins/%d/state", i%7), Payload: fmt.Appendf(nil, "message %d", i)}
	}
}

func startMQTT(t *testing.T) *MQTT {
	t.Helper()
	broker, err := StartMQTT(MQTTOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker
}

func TestEveryMessageThatCountsAsSentIsWithTheBroker(t *testing.T) {
	broker := startMQTT(t)
	heard := listen(t, broker)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const count = 1000
	var sent []Message
	p := &Publisher{Server: broker.Address(), Window: 20, Next: numbered(count, cancel), Sent: func(m Message) { sent = append(sent, m) }}
	if err := p.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	if p.Count() != count || p.Taken() != count || len(sent) != count {
		t.Fatalf("%d taken, %d counted, %d reported, want %d", p.Taken(), p.Count(), len(sent), count)
	}
	eventually(t, "all messages to be heard", func() bool { return len(heard()) == count })
	for message, times := range heard() {
		if times != 1 {
			t.Errorf("%s came %d times", message, times)
		}
	}
}

func TestMessagesInFlightAreSentAgainUnchangedAfterAnOutage(t *testing.T) {
	broker := startMQTT(t)
	heard := listen(t, broker)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const count = 3000
	p := &Publisher{Server: broker.Address(), Rate: 3000, Window: 50, Next: numbered(count, cancel)}
	published := make(chan error, 1)
	go func() { published <- p.Publish(ctx) }()
	eventually(t, "the first messages", func() bool { return p.Count() > 500 })
	broker.Stop()
	eventually(t, "the window to fill", func() bool { return p.Taken() >= p.Count()+50 })
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	if p.Count() != count {
		t.Fatalf("%d of %d messages acknowledged", p.Count(), count)
	}
	eventually(t, "all messages to be heard", func() bool { return len(heard()) == count })
}

func TestPublisherKeepsItsRate(t *testing.T) {
	broker := startMQTT(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p := &Publisher{Server: broker.Address(), Rate: 200, Next: numbered(100, cancel)}
	started := time.Now()
	if err := p.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < 450*time.Millisecond {
		t.Errorf("100 messages at 200 a second took %s", took)
	}
}

func TestPublisherSaysThatTheBrokerIsNotThere(t *testing.T) {
	broker := startMQTT(t)
	broker.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	p := &Publisher{Server: broker.Address(), Next: func() Message { return Message{} }}
	if err := p.Publish(ctx); err == nil || p.Count() != 0 {
		t.Errorf("got %v after %d messages, want an error", err, p.Count())
	}
}

func TestSubscriberIsAwaited(t *testing.T) {
	broker := startMQTT(t)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := broker.awaitSubscriber(short, "bins/any/state"); err == nil {
		t.Fatal("nobody subscribed")
	}
	listen(t, broker)
	if err := broker.awaitSubscriber(t.Context(), "bins/any/state", "application/a/device/b/event/up"); err != nil {
		t.Fatal(err)
	}
}
