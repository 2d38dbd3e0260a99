package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"belfry/gateway"
	"belfry/gateway/lorawan"
)

func init() { register("gateway-bridge", newBridge) }

// BridgeOptions are the options of a source of kind "gateway-bridge": the radio frames that the ChirpStack gateway bridge,
// v3 or v4, publishes over MQTT, as JSON or protobuf.
type BridgeOptions struct {
	Connection  `yaml:",inline"`
	TopicPrefix string   `yaml:"topic_prefix"` // what the bridge's topics have before "gateway/"
	Gateways    []string `yaml:"gateways"`     // EUIs of the radio gateways to listen to; empty for all
	Downlink    bool     `yaml:"downlink"`     // answers joins and what devices ask for
}

type bridge struct {
	*subscriber
	events, states filter // gateway, {sensor}, event, +
	allowed        map[string]bool
	downlink       bool
}

// otherBridgeEvents are only counted, as is the state of the gateway's connection.
var otherBridgeEvents = []string{"stats", "exec", "raw", "mesh"}

func bridgeCounters() []string {
	names := []string{"unmatched", "retained_ignored", "up", "crc_bad", "gateway_refused", "txack_ok", "txack_error", "other_events_state"}
	for _, kind := range otherBridgeEvents {
		names = append(names, "other_events_"+kind)
	}
	return append(names, lorawan.Counts()...)
}

func newBridge(env Env, decode func(options any) error) (gateway.Source, error) {
	options := BridgeOptions{Connection: defaultConnection(env)}
	if err := decode(&options); err != nil {
		return nil, err
	}
	server, err := options.check()
	events, topicErr := options.topics("event")
	states, _ := options.topics("state") // has the same mistakes
	allowed, allowedErr := options.allowed()
	if err := errors.Join(err, topicErr, allowedErr); err != nil {
		return nil, err
	}
	source := &bridge{events: events, states: states, allowed: allowed, downlink: options.Downlink}
	source.subscriber = newSubscriber(env, options.Connection, server, []string{events.text, states.text}, bridgeCounters()...)
	source.interpret = source.read
	return source, nil
}

func (o *BridgeOptions) topics(what string) (filter, error) {
	prefix := strings.TrimSuffix(o.TopicPrefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	if strings.Contains(prefix, sensorLevel) || strings.Contains(prefix, "#") {
		return filter{}, &OptionError{Key: "topic_prefix", Err: fmt.Errorf("%q has more than plain levels and +", o.TopicPrefix)}
	}
	topics, err := parseFilter(prefix + "gateway/" + sensorLevel + "/" + what + "/+")
	if err != nil {
		return filter{}, &OptionError{Key: "topic_prefix", Err: err}
	}
	return topics, nil
}

func (o *BridgeOptions) allowed() (map[string]bool, error) {
	var mistakes []error
	allowed := make(map[string]bool, len(o.Gateways))
	for i, text := range o.Gateways {
		eui, err := checkDigits("gateway EUI", text, 16)
		if err == nil && allowed[eui] {
			err = fmt.Errorf("%s stands here twice", eui)
		}
		if err != nil {
			mistakes = append(mistakes, &OptionError{Key: fmt.Sprintf("gateways[%d]", i), Err: err})
		}
		allowed[eui] = true
	}
	return allowed, errors.Join(mistakes...)
}

// read sorts out what has no radio frame in it. The frames themselves are read where they are handed to the network.
func (s *bridge) read(message *arrival, uplink *gateway.Uplink) bool {
	if _, ok := s.states.match(message.Topic()); ok {
		return s.discard(uplink, "other_events_state")
	}
	eui, ok := s.events.match(message.Topic())
	if !ok {
		return s.discard(uplink, "unmatched")
	}
	kind := message.Topic()[strings.LastIndexByte(message.Topic(), '/')+1:]
	switch {
	case slices.Contains(otherBridgeEvents, kind):
		return s.discard(uplink, "other_events_"+kind)
	case kind != "up" && kind != "ack":
		return s.discard(uplink, "unmatched")
	case message.Retained(): // an old frame, sent again at each subscribe
		return s.discard(uplink, "retained_ignored")
	case len(s.allowed) > 0 && !s.allowed[strings.ToLower(eui)]:
		return s.discard(uplink, "gateway_refused")
	case kind == "ack":
		return s.readAck(message, uplink)
	}
	s.count(kind)
	return true
}

// readAck counts what became of an answer.
func (s *bridge) readAck(message *arrival, uplink *gateway.Uplink) bool {
	sent, err := parseBridgeAck(message.Payload())
	switch {
	case err != nil:
		uplink.Fault = fmt.Errorf("gateway bridge event \"ack\": %w", err)
		return true
	case sent:
		return s.discard(uplink, "txack_ok")
	default:
		return s.discard(uplink, "txack_error")
	}
}

// reception reads the frame in an uplink. It is nil when the radio says that the frame is damaged.
func (s *bridge) reception(uplink *gateway.Uplink) (r *lorawan.Reception, form bridgeForm, err error) {
	defer func() { // a message over which this program stumbles would come back for ever
		if cause := recover(); cause != nil {
			r, err = nil, gateway.NewFault(cause)
		}
	}()
	level, _ := s.events.match(uplink.Topic)
	eui, err := checkDigits("gateway EUI in the topic", level, 16)
	var frame bridgeFrame
	if err == nil {
		frame, err = parseBridgeFrame(uplink.Raw)
	}
	if err == nil && frame.gateway != "" && frame.gateway != eui {
		err = errors.New("the gateway in the topic is not the one in the event")
	}
	switch {
	case err != nil:
		return nil, form, fmt.Errorf("gateway bridge event \"up\": %w", err)
	case frame.badCRC:
		return nil, form, nil
	}
	return &lorawan.Reception{
		Gateway: eui, PHY: frame.phy, Frequency: frame.frequency, DataRate: frame.rate, RSSI: frame.rssi, SNR: frame.snr,
		Received: uplink.Received, Time: frame.time, GPS: frame.gps,
	}, frame.bridgeForm, nil
}
