package demo

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// recorder notes what a broker accepts for its subscribers, by topic and payload.
type recorder struct {
	mochi.HookBase
	mu    sync.Mutex
	heard map[string]int
}

func (r *recorder) ID() string               { return "recorder" }
func (r *recorder) Provides(event byte) bool { return event == mochi.OnPublish }

// OnPublish is called before the broker acknowledges.
func (r *recorder) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard[p.TopicName+" "+string(p.Payload)]++
	return p, nil
}

func (r *recorder) messages() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.heard)
}

// record starts a broker that notes what it accepts.
func record(t *testing.T) (*MQTT, *recorder) {
	t.Helper()
	broker, r := startMQTT(t), &recorder{heard: map[string]int{}}
	if err := broker.broker.AddHook(r, nil); err != nil {
		t.Fatal(err)
	}
	return broker, r
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
	broker, recorder := record(t)
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
	if len(recorder.messages()) != count {
		t.Errorf("the broker has %d messages, want %d", len(recorder.messages()), count)
	}
	for message, times := range recorder.messages() {
		if times != 1 {
			t.Errorf("%s came %d times", message, times)
		}
	}
}

func TestMessagesInFlightAreSentAgainUnchangedAfterAnOutage(t *testing.T) {
	broker, recorder := record(t)
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
	if len(recorder.messages()) != count {
		t.Errorf("the broker has %d messages, want %d", len(recorder.messages()), count)
	}
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
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker.Address()).SetClientID("listener"))
	defer client.Disconnect(100)
	if token := client.Connect(); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	client.Subscribe("#", 1, nil)
	if err := broker.awaitSubscriber(t.Context(), "bins/any/state", "application/a/device/b/event/up"); err != nil {
		t.Fatal(err)
	}
}
