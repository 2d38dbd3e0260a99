package source

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"belfry/decoders"
	"belfry/gateway"
	"belfry/gateway/event"
)

func init() { register("chirpstack", newChirpStack) }

// ChirpStackOptions are the options of a source of kind "chirpstack": the events that ChirpStack v4 publishes over MQTT,
// as JSON or protobuf.
type ChirpStackOptions struct {
	Connection  `yaml:",inline"`
	Application string `yaml:"application"`  // id; empty for all
	TopicPrefix string `yaml:"topic_prefix"` // what ChirpStack's event_topic has before "application/"
}

type chirpStack struct {
	*subscriber
	topics filter // application, +, device, {sensor}, event, +
}

// The events that are only counted, and the names of all that is.
var (
	readEvents  = []string{"up", "join", "status", "log"}
	otherEvents = []string{"ack", "txack", "location", "integration"}
	logLevels   = []string{"INFO", "WARNING", "ERROR"}
	logCodes    = []string{"UNKNOWN", "DOWNLINK_PAYLOAD_SIZE", "UPLINK_CODEC", "DOWNLINK_CODEC", "OTAA", "UPLINK_F_CNT_RESET",
		"UPLINK_MIC", "UPLINK_F_CNT_RETRANSMISSION", "DOWNLINK_GATEWAY", "RELAY_NEW_END_DEVICE", "F_CNT_DOWN", "EXPIRED"}
)

func chirpStackCounters() []string {
	names := []string{"unmatched", "retained_ignored", "mac_only", "up", "join", "status", "log_other"}
	for _, kind := range otherEvents {
		names = append(names, "other_events_"+kind)
	}
	for _, level := range logLevels {
		for _, code := range logCodes {
			names = append(names, logCounter(level, code))
		}
	}
	return names
}

func logCounter(level, code string) string { return strings.ToLower("log_" + level + "_" + code) }

func newChirpStack(env Env, decode func(options any) error) (gateway.Source, error) {
	options := ChirpStackOptions{Connection: defaultConnection(env)}
	if err := decode(&options); err != nil {
		return nil, err
	}
	server, err := options.check()
	topics, topicErr := options.topics()
	if err := errors.Join(err, topicErr); err != nil {
		return nil, err
	}
	source := &chirpStack{topics: topics}
	source.subscriber = newSubscriber(env, options.Connection, server, []string{topics.text}, chirpStackCounters()...)
	source.interpret = source.read
	return source, nil
}

func (o *ChirpStackOptions) topics() (filter, error) {
	application := o.Application
	if application == "" {
		application = "+"
	} else if strings.ContainsAny(application, "/+#{}\x00") {
		return filter{}, &OptionError{Key: "application", Err: fmt.Errorf("%q is not an id", application)}
	}
	prefix := strings.TrimSuffix(o.TopicPrefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	if strings.Contains(prefix, sensorLevel) || strings.Contains(prefix, "#") {
		return filter{}, &OptionError{Key: "topic_prefix", Err: fmt.Errorf("%q has more than plain levels and +", o.TopicPrefix)}
	}
	topics, err := parseFilter(prefix + "application/" + application + "/device/" + sensorLevel + "/event/+")
	if err != nil {
		return filter{}, &OptionError{Key: "topic_prefix", Err: err}
	}
	return topics, nil
}

func (s *chirpStack) read(message *arrival, uplink *gateway.Uplink) bool {
	device, ok := s.topics.match(message.Topic())
	if !ok {
		return s.discard(uplink, "unmatched")
	}
	if message.Retained() { // an old event, sent again at each subscribe
		return s.discard(uplink, "retained_ignored")
	}
	kind := message.Topic()[strings.LastIndexByte(message.Topic(), '/')+1:]
	if !slices.Contains(readEvents, kind) {
		return s.discard(uplink, otherCounter(kind))
	}
	parsed, err := parseChirpEvent(kind, message.Payload())
	if err == nil && parsed.devEUI != strings.ToLower(device) {
		err = errors.New("the device in the topic is not the one in the event")
	}
	if err != nil {
		uplink.Fault = fmt.Errorf("ChirpStack event %q: %w", kind, err)
		return true
	}
	return s.fill(kind, &parsed, uplink)
}

// otherCounter names the counter of events that are not read.
func otherCounter(kind string) string {
	if slices.Contains(otherEvents, kind) {
		return "other_events_" + kind
	}
	return "unmatched"
}

// fill fills an uplink with an event; false when it has nothing for the gateway.
func (s *chirpStack) fill(kind string, e *chirpEvent, uplink *gateway.Uplink) bool {
	if kind == "log" {
		return s.discard(uplink, s.logCounter(e))
	}
	s.count(kind)
	uplink.Device, uplink.Time, uplink.Identity = e.devEUI, e.time, e.identity(kind)
	switch kind {
	case "up":
		if e.macOnly() {
			return s.discard(uplink, "mac_only")
		}
		e.fill(uplink, s.env.Network)
	case "status":
		uplink.Facts = map[string]string{
			"margin":         strconv.Itoa(e.margin),
			"external_power": strconv.FormatBool(e.externalPower),
		}
		if !e.externalPower && !e.batteryUnknown {
			uplink.Readings = []event.Measurement{{Name: "battery_level", Value: decoders.Number(e.battery), Unit: "%"}}
		}
	case "join":
		uplink.Facts = map[string]string{"joined": e.time.UTC().Format(time.RFC3339), "dev_addr": e.devAddr}
	}
	return true
}

func (s *chirpStack) logCounter(e *chirpEvent) string {
	name := logCounter(e.level, e.code)
	if _, ok := s.counts[name]; !ok {
		return "log_other"
	}
	return name
}
