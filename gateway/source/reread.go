package source

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"belfry/gateway"
	"belfry/gateway/event"
)

var (
	_ gateway.Rereader = (*mqttSource)(nil)
	_ gateway.Rereader = (*chirpStack)(nil)
	_ gateway.Rereader = (*ttn)(nil)
)

// Reread implements gateway.Rereader.
func (s *mqttSource) Reread(message *event.Quarantined) (gateway.Uplink, bool) {
	again := &mqttSource{topics: s.topics, ignoreRetained: s.ignoreRetained}
	again.subscriber = newSubscriber(s.env, s.options, s.endpoint, nil, "retained_ignored", "unmatched")
	again.interpret = again.read
	return again.reread(message)
}

// Reread implements gateway.Rereader.
func (s *chirpStack) Reread(message *event.Quarantined) (gateway.Uplink, bool) {
	again := &chirpStack{topics: s.topics}
	again.subscriber = newSubscriber(s.env, s.options, s.endpoint, nil, chirpStackCounters()...)
	again.interpret = again.read
	return again.reread(message)
}

// Reread implements gateway.Rereader.
func (s *ttn) Reread(message *event.Quarantined) (gateway.Uplink, bool) {
	again := &ttn{topics: s.topics}
	again.subscriber = newSubscriber(s.env, s.options, s.endpoint, nil, ttnCounters()...)
	again.interpret = again.read
	return again.reread(message)
}

// reread reads a message as if it came in now. It is called on a subscriber of its own, so that the counters of the one
// that runs stay those of its broker.
func (s *subscriber) reread(message *event.Quarantined) (uplink gateway.Uplink, ok bool) {
	if cutShort(message) {
		return uplink, false
	}
	uplink.Topic, uplink.Raw, uplink.Received = message.Topic, message.Raw, message.Received
	wanted := s.read(&arrival{Message: keptMessage{message}, received: message.Received}, &uplink)
	return uplink, wanted
}

// cutShort says that quarantine has the beginning of a message only: a beginning may look like another, whole message.
func cutShort(message *event.Quarantined) bool {
	return message.Stage == "source" && (len(message.Raw) == maxExcerpt || len(message.Topic) == maxTopic)
}

// keptMessage is a quarantined message in the form in which the library delivers messages.
type keptMessage struct{ kept *event.Quarantined }

var _ mqtt.Message = keptMessage{}

func (m keptMessage) Topic() string     { return m.kept.Topic }
func (m keptMessage) Payload() []byte   { return m.kept.Raw }
func (m keptMessage) Duplicate() bool   { return false }
func (m keptMessage) Retained() bool    { return false } // the identity of one that was is kept beside it
func (m keptMessage) Qos() byte         { return 0 }
func (m keptMessage) MessageID() uint16 { return 0 }
func (m keptMessage) Ack()              {}
