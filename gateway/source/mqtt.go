package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"belfry/gateway"
	"belfry/gateway/strictjson"
)

func init() { register("mqtt", newMQTT) }

// MQTTOptions are the options of a source of kind "mqtt": devices that publish their own messages.
type MQTTOptions struct {
	Connection     `yaml:",inline"`
	Topics         []TopicOptions `yaml:"topics"`
	IgnoreRetained bool           `yaml:"ignore_retained"` // the broker sends retained messages again at each connect
}

// TopicOptions say how to read the messages of some topics. The first that fits counts.
type TopicOptions struct {
	Topic   string `yaml:"topic"`   // bins/{sensor}/state; + and # as in MQTT, $share/<group>/ in front
	Device  string `yaml:"device"`  // instead of {sensor}: path of the device's name in the JSON payload
	Payload string `yaml:"payload"` // raw, hex, base64 or json
	Port    int    `yaml:"port"`    // what the decoder gets as port
}

// topic is a checked TopicOptions.
type topic struct {
	filter
	device  string
	payload func([]byte) ([]byte, error)
	port    uint8
}

type mqttSource struct {
	*subscriber
	topics         []topic
	ignoreRetained bool
}

func newMQTT(env Env, decode func(options any) error) (gateway.Source, error) {
	options := MQTTOptions{Connection: defaultConnection(env), IgnoreRetained: true}
	if err := decode(&options); err != nil {
		return nil, err
	}
	server, err := options.check()
	topics, topicsErr := checkTopics(options.Topics)
	if err := errors.Join(err, topicsErr); err != nil {
		return nil, err
	}
	filters := make([]filter, len(topics))
	for i := range topics {
		filters[i] = topics[i].filter
	}
	source := &mqttSource{topics: topics, ignoreRetained: options.IgnoreRetained}
	source.subscriber = newSubscriber(env, options.Connection, server, subscriptions(filters), "retained_ignored", "unmatched")
	source.interpret = source.read
	return source, nil
}

func checkTopics(options []TopicOptions) ([]topic, error) {
	if len(options) == 0 {
		return nil, &OptionError{Key: "topics", Err: errors.New("none (for example topic: bins/{sensor}/state)")}
	}
	var mistakes []error
	topics := make([]topic, len(options))
	for i := range options {
		mistake := func(key, format string, args ...any) {
			mistakes = append(mistakes, &OptionError{Key: fmt.Sprintf("topics[%d].%s", i, key), Err: fmt.Errorf(format, args...)})
		}
		parsed, err := parseFilter(options[i].Topic)
		if err != nil {
			mistake("topic", "%w", err)
		}
		switch {
		case err != nil:
		case parsed.sensor < 0 && options[i].Device == "":
			mistake("topic", "%s has no level %s (or set device to a path in the JSON payload)", options[i].Topic, sensorLevel)
		case parsed.sensor >= 0 && options[i].Device != "":
			mistake("device", "%s in the topic names the device already (keep one of them)", sensorLevel)
		}
		payload, ok := payloadForms[options[i].Payload]
		if !ok {
			mistake("payload", "no form %q (use raw, hex, base64 or json)", options[i].Payload)
		}
		if options[i].Port < 0 || options[i].Port > 255 {
			mistake("port", "%d is not between 0 and 255", options[i].Port)
		}
		topics[i] = topic{filter: parsed, device: options[i].Device, payload: payload, port: uint8(options[i].Port)}
	}
	return topics, errors.Join(mistakes...)
}

func (s *mqttSource) read(message *arrival, uplink *gateway.Uplink) bool {
	if message.Retained() {
		if s.ignoreRetained {
			return s.discard(uplink, "retained_ignored")
		}
		uplink.Identity = retainedIdentity(s.env.Name, message)
	}
	for i := range s.topics {
		if device, ok := s.topics[i].match(message.Topic()); ok {
			s.topics[i].read(device, uplink)
			return true
		}
	}
	return s.discard(uplink, "unmatched")
}

// retainedIdentity is the same each time the source's broker sends a retained message.
func retainedIdentity(source string, message *arrival) string {
	digest := sha256.New()
	digest.Write([]byte(source))
	digest.Write([]byte{0})
	digest.Write([]byte(message.Topic()))
	digest.Write([]byte{0}) // no topic has one
	digest.Write(message.Payload())
	return "retained:" + hex.EncodeToString(digest.Sum(nil)[:16])
}

func (t *topic) read(device string, uplink *gateway.Uplink) {
	var err error
	if t.device != "" {
		device, err = deviceIn(uplink.Raw, t.device)
	}
	if err == nil {
		err = checkDevice(device)
	}
	if err != nil {
		uplink.Fault = err
		return
	}
	uplink.Device, uplink.Port = device, t.port
	uplink.Payload, uplink.Fault = t.payload(uplink.Raw)
}

// deviceIn returns the device's name at a path of a JSON payload.
func deviceIn(payload []byte, path string) (string, error) {
	text := string(payload)
	if err := strictjson.Check(text); err != nil {
		return "", fmt.Errorf("device: %w", err)
	}
	switch value := gjson.Get(text, path); value.Type {
	case gjson.String:
		return strings.Clone(value.Str), nil
	case gjson.Number:
		return strings.Clone(value.Raw), nil
	case gjson.Null:
		return "", fmt.Errorf("device: nothing at %s", path)
	default:
		return "", fmt.Errorf("device: %s is neither a text nor a number", path)
	}
}

const maxDevice = 128 // bytes

func checkDevice(device string) error {
	if device == "" {
		return errors.New("empty device name")
	}
	if len(device) > maxDevice {
		return fmt.Errorf("device name of %d bytes is longer than %d", len(device), maxDevice)
	}
	for _, r := range device {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return errors.New("device name with unprintable characters")
		}
	}
	return nil
}
