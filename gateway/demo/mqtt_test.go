package demo

import (
	"net"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

func startTestBroker(t *testing.T, options MQTTOptions) *MQTT {
	t.Helper()
	broker, err := StartMQTT(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker
}

// connectTestClient connects a client with a session; got receives the payloads that come in.
func connectTestClient(t *testing.T, broker *MQTT, got chan<- string, change func(*mqtt.ClientOptions)) (mqtt.Client, error) {
	t.Helper()
	options := mqtt.NewClientOptions().AddBroker(broker.Address()).SetClientID("test").SetProtocolVersion(4)
	options.SetCleanSession(false).SetAutoReconnect(false)
	options.SetDefaultPublishHandler(func(_ mqtt.Client, message mqtt.Message) { got <- string(message.Payload()) })
	if change != nil {
		change(options)
	}
	client := mqtt.NewClient(options)
	token := client.Connect()
	if !token.WaitTimeout(10 * time.Second) {
		t.Fatal("no answer to CONNECT")
	}
	t.Cleanup(func() { client.Disconnect(1000) })
	return client, token.Error()
}

func TestBrokerKeepsPortAndSessionsOverARestart(t *testing.T) {
	broker := startTestBroker(t, MQTTOptions{})
	address := broker.Address()
	got := make(chan string, 10)
	client, err := connectTestClient(t, broker, got, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token := client.Subscribe("t", 1, nil); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("subscribe: %v", token.Error())
	}
	silent, err := net.Dial("tcp", strings.TrimPrefix(address, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	broker.Stop() // although a client has said nothing yet
	if _, err := net.Dial("tcp", strings.TrimPrefix(address, "tcp://")); err == nil {
		t.Error("a stopped broker listens")
	}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	if broker.Address() != address {
		t.Errorf("address was %s and is %s", address, broker.Address())
	}
	device, err := connectTestClient(t, broker, got, func(o *mqtt.ClientOptions) { o.SetClientID("device") })
	if err != nil {
		t.Fatal(err)
	}
	if token := device.Publish("t", 1, false, "while away"); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("publish: %v", token.Error())
	}
	if _, err := connectTestClient(t, broker, got, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case payload := <-got:
		if payload != "while away" {
			t.Errorf("got %q", payload)
		}
	case <-time.After(10 * time.Second):
		t.Error("the session is gone")
	}
}

func TestBrokerLetsInWhoKnowsThePassword(t *testing.T) {
	broker := startTestBroker(t, MQTTOptions{Username: "town", Password: "right"})
	for password, want := range map[string]bool{"right": true, "wrong": false, "": false} {
		_, err := connectTestClient(t, broker, nil, func(o *mqtt.ClientOptions) { o.SetUsername("town").SetPassword(password) })
		if (err == nil) != want {
			t.Errorf("password %q: %v", password, err)
		}
	}
}

func TestClosedBrokerDoesNotStartAgain(t *testing.T) {
	broker := startTestBroker(t, MQTTOptions{})
	broker.Close()
	broker.Close()
	broker.Stop()
	if err := broker.Start(); err == nil {
		t.Error("a closed broker started")
	}
}

func TestTakenPortIsAnError(t *testing.T) {
	first := startTestBroker(t, MQTTOptions{})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(first.Address(), "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := StartMQTT(MQTTOptions{Port: number}); err == nil {
		second.Close()
		t.Error("two brokers on one port")
	}
}
