package demo

import (
	"context"
	"time"
)

// awaitSubscriber waits until somebody would get a message on each of the topics: a broker drops what nobody asked for.
func (m *MQTT) awaitSubscriber(ctx context.Context, topics ...string) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for _, topic := range topics {
		for !m.hasSubscriber(topic) {
			select {
			case <-retry.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (m *MQTT) hasSubscriber(topic string) bool {
	subscribers := m.broker.Topics.Subscribers(topic)
	return len(subscribers.Subscriptions)+len(subscribers.Shared) > 0
}
