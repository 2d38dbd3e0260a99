package gatewaytest

import (
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Publisher is a device: a client that publishes.
type Publisher struct {
	t      testing.TB
	client mqtt.Client
}

// NewPublisher connects to a broker; the test's end disconnects.
func NewPublisher(t testing.TB, server string) *Publisher {
	t.Helper()
	options := mqtt.NewClientOptions().AddBroker(server).SetProtocolVersion(4).SetAutoReconnect(false)
	client := mqtt.NewClient(options)
	token := client.Connect()
	if !token.WaitTimeout(waitLimit) || token.Error() != nil {
		t.Fatalf("connect publisher to %s: %v", server, token.Error())
	}
	publisher := &Publisher{t, client}
	t.Cleanup(publisher.Close)
	return publisher
}

// Publish sends a message and, with QoS 1 or 2, waits until the broker has it.
func (p *Publisher) Publish(topic string, qos byte, retained bool, payload []byte) {
	p.t.Helper()
	token := p.client.Publish(topic, qos, retained, payload)
	if !token.WaitTimeout(waitLimit) || token.Error() != nil {
		p.t.Fatalf("publish to %s: %v", topic, token.Error())
	}
}

// Close disconnects; it may be called again.
func (p *Publisher) Close() {
	p.client.Disconnect(uint(time.Second / time.Millisecond))
}
