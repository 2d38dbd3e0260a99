package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const (
	subscribeTimeout = 20 * time.Second
	subscribeAgain   = 100 * time.Millisecond
	codePacketInUse  = 0x91 // MQTT 5, but seen from an MQTT 3.1.1 broker: our packet id is that of a message it repeats
)

// subscribe asks for all topics, one after the other. Messages come in meanwhile.
func (s *session) subscribe(ctx context.Context) error {
	for _, filter := range s.filters {
		if err := s.subscribeTo(ctx, filter); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) subscribeTo(ctx context.Context, filter string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, subscribeTimeout, s.serverError(fmt.Errorf("no answer to SUBSCRIBE %s", filter)))
	defer cancel()
	for {
		token := s.client.Subscribe(filter, byte(s.options.QoS), nil).(*mqtt.SubscribeToken)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-token.Done():
		}
		code, err := granted(token)
		switch {
		case err == nil && code <= 2:
			if int(code) < s.options.QoS {
				s.env.Log.Warn("broker grants a lower QoS than asked", "source", s.env.Name, "topic", filter, "granted", code)
			}
			return nil
		case err == nil && code != codePacketInUse:
			return s.serverError(fmt.Errorf("broker refused the subscription to %s with code %d (does its access control allow the topic?)", filter, code))
		}
		select { // the library or the broker was busy with other messages
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(subscribeAgain):
		}
	}
}

// granted returns the broker's code for the one topic of a SUBSCRIBE.
func granted(token *mqtt.SubscribeToken) (byte, error) {
	if err := token.Error(); err != nil {
		return 0, err
	}
	for _, code := range token.Result() {
		return code, nil
	}
	return 0, errors.New("no code in the broker's answer")
}
