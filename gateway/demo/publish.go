package demo

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Publisher gives the town's messages to a broker at QoS 1, and to the radio. A message counts as sent only once the broker
// has acknowledged it, or a radio gateway has an acknowledgement; until then it is sent again.
type Publisher struct {
	Server string         // tcp://host:port; "": there is no broker, and messages for it are left out
	Air    *Air           // nil: there is no radio, and messages for it are left out
	Rate   float64        // messages a second; 0: as fast as the broker acknowledges
	Window int            // messages in flight; 0: 100
	Next   func() Message // the next message, empty when there is none at the moment; called by Publish only
	// Sent is called for every acknowledged message, for those of the broker in the order of publishing; those of the radio come
	// from another goroutine. It may be nil.
	Sent func(Message)

	taken atomic.Uint64
	sent  atomic.Uint64
}

// Taken is how many messages were handed to the broker, acknowledged or not.
func (p *Publisher) Taken() uint64 { return p.taken.Load() }

// Count is how many messages the broker has acknowledged.
func (p *Publisher) Count() uint64 { return p.sent.Load() }

const (
	defaultWindow = 100
	drainTimeout  = 20 * time.Second
	pace          = 10 * time.Millisecond // how often a batch is due
)

// flight is one message on its way.
type flight struct {
	message Message
	token   mqtt.Token
}

// Publish publishes until ctx is done and then waits for the acknowledgements of what is in flight. It returns an error
// when some of them never come, or the broker was never reached.
func (p *Publisher) Publish(ctx context.Context) error {
	if p.Window <= 0 {
		p.Window = defaultWindow
	}
	var client mqtt.Client
	if p.Server != "" {
		client = mqtt.NewClient(p.options())
		defer client.Disconnect(250)
		if err := connect(ctx, client); err != nil {
			return fmt.Errorf("publish to %s: %w", p.Server, err)
		}
	}
	flights := make(chan flight, p.Window)
	collected := make(chan error, 1)
	giveUp, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() { collected <- p.collect(giveUp, client, flights) }() // Publish waits for it below
	p.feed(ctx, client, flights)
	close(flights)
	timer := time.AfterFunc(drainTimeout, cancel)
	defer timer.Stop()
	var err error
	if p.Air != nil {
		err = p.Air.Finish(giveUp)
	}
	return errors.Join(<-collected, err)
}

func (p *Publisher) options() *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker(p.Server).SetClientID("belfry-town").SetProtocolVersion(4).
		SetCleanSession(false).SetStore(mqtt.NewOrderedMemoryStore()). // keeps what is in flight for the next connection
		SetConnectRetry(true).SetConnectRetryInterval(200 * time.Millisecond).SetMaxReconnectInterval(time.Second).
		SetKeepAlive(10 * time.Second).SetPingTimeout(5 * time.Second).SetConnectTimeout(5 * time.Second).
		SetWriteTimeout(5 * time.Second)
}

func connect(ctx context.Context, client mqtt.Client) error {
	token := client.Connect()
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return errors.New("not connected")
	}
}

// feed publishes what is due. It blocks while the window is full.
func (p *Publisher) feed(ctx context.Context, client mqtt.Client, flights chan<- flight) {
	slots := time.NewTicker(pace)
	defer slots.Stop()
	started, published := time.Now(), 0
	for ctx.Err() == nil {
		if p.Rate > 0 && float64(published) >= time.Since(started).Seconds()*p.Rate {
			select {
			case <-slots.C:
			case <-ctx.Done():
			}
			continue
		}
		message := p.Next()
		published++
		switch {
		case message.empty(): // its turn is left out
			select {
			case <-slots.C:
			case <-ctx.Done():
			}
		case message.Uplink != nil && p.Air != nil:
			p.taken.Add(1)
			p.Air.Send(message, p.landed)
		case message.Uplink == nil && client != nil:
			f := flight{message, publish(client, message)}
			p.taken.Add(1)
			flights <- f // collect reads until the channel is closed
		default:
			published-- // there is no way for it
		}
	}
}

// landed counts a message as sent.
func (p *Publisher) landed(m Message) {
	p.sent.Add(1)
	if p.Sent != nil {
		p.Sent(m)
	}
}

// collect waits for the acknowledgements, in order. After ctx is done it waits no longer, but still empties the channel.
func (p *Publisher) collect(ctx context.Context, client mqtt.Client, flights <-chan flight) error {
	lost := 0
	var cause error
	for f := range flights {
		if err := land(ctx, client, f); err != nil {
			lost, cause = lost+1, err
			continue
		}
		p.landed(f.message)
	}
	if lost > 0 {
		return fmt.Errorf("publish to %s: %d messages were never acknowledged: %w", p.Server, lost, cause)
	}
	return nil
}

// land waits for the acknowledgement of one message. The client sends what it has stored again by itself, but gives up the
// token of a message that it was writing when the connection broke: such a message is published once more.
func land(ctx context.Context, client mqtt.Client, f flight) error {
	for {
		select {
		case <-f.token.Done():
		case <-ctx.Done():
			return context.DeadlineExceeded
		}
		if f.token.Error() == nil {
			return nil
		}
		select {
		case <-time.After(10 * pace):
		case <-ctx.Done():
			return f.token.Error()
		}
		f.token = publish(client, f.message)
	}
}

func publish(client mqtt.Client, m Message) mqtt.Token {
	return client.Publish(m.Topic, 1, false, m.Payload)
}
