package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"belfry/gateway"
)

func init() { register("ttn", newTTN) }

// TTNOptions are the options of a source of kind "ttn": the messages that The Things Stack v3 publishes over MQTT, be it
// The Things Network, the Cloud or a server of one's own.
type TTNOptions struct {
	Connection  `yaml:",inline"`
	Application string `yaml:"application"` // "app@tenant"; "app" where there are no tenants; "+" for all that the broker shows
}

type ttn struct {
	*subscriber
	topics filter // v3, application, devices, {sensor}, #
}

// otherTTN are the messages that are only counted, by what follows the device in their topic.
var otherTTN = map[string]string{
	"down/queued":      "other_events_down_queued",
	"down/sent":        "other_events_down_sent",
	"down/ack":         "other_events_down_ack",
	"down/nack":        "other_events_down_nack",
	"down/failed":      "other_events_down_failed",
	"down/invalidated": "other_events_down_invalidated",
	"down/push":        "other_events_down_push",
	"down/replace":     "other_events_down_replace",
	"location/solved":  "other_events_location_solved",
	"service/data":     "other_events_service_data",
}

func ttnCounters() []string {
	names := []string{"unmatched", "retained_ignored", "mac_only", "simulated", "up", "join"}
	for _, name := range otherTTN {
		names = append(names, name)
	}
	return names
}

func newTTN(env Env, decode func(options any) error) (gateway.Source, error) {
	options := TTNOptions{Connection: defaultConnection(env)}
	if err := decode(&options); err != nil {
		return nil, err
	}
	if options.Username == "" && options.UsernameFile == "" && options.Application != "+" {
		options.Username = options.Application // The Things Stack wants just that
	}
	server, err := options.check()
	topics, topicErr := options.topics()
	if err := errors.Join(err, topicErr); err != nil {
		return nil, err
	}
	source := &ttn{topics: topics}
	source.subscriber = newSubscriber(env, options.Connection, server, []string{topics.text}, ttnCounters()...)
	source.interpret = source.read
	return source, nil
}

func (o *TTNOptions) topics() (filter, error) {
	mistake := func(format string, args ...any) (filter, error) {
		return filter{}, &OptionError{Key: "application", Err: fmt.Errorf(format, args...)}
	}
	switch {
	case o.Application == "":
		return mistake("missing (for example street-lights@ttn)")
	case o.Application != "+" && strings.ContainsAny(o.Application, "/+#{}\x00 "):
		return mistake("%.40q is not an application (for example street-lights@ttn)", o.Application)
	}
	topics, err := parseFilter("v3/" + o.Application + "/devices/" + sensorLevel + "/#")
	if err != nil {
		return mistake("%w", err)
	}
	return topics, nil
}

func (s *ttn) read(message *arrival, uplink *gateway.Uplink) bool {
	device, ok := s.topics.match(message.Topic())
	levels := strings.SplitN(message.Topic(), "/", 5)
	if !ok || len(levels) < 5 {
		return s.discard(uplink, "unmatched")
	}
	if message.Retained() { // an old message, sent again at each subscribe
		return s.discard(uplink, "retained_ignored")
	}
	kind := levels[4]
	if !slices.Contains([]string{"up", "join"}, kind) {
		return s.discard(uplink, otherTTNCounter(kind))
	}
	parsed, err := parseTTN(kind, message.Payload())
	if err == nil {
		err = parsed.checkTopic(levels[1], device)
	}
	if err != nil {
		uplink.Fault = fmt.Errorf("message %q of The Things Stack: %w", kind, err)
		return true
	}
	return s.fill(kind, &parsed, uplink)
}

// otherTTNCounter names the counter of messages that are not read.
func otherTTNCounter(kind string) string {
	if name, ok := otherTTN[kind]; ok {
		return name
	}
	return "unmatched"
}

// fill fills an uplink with a message; false when it has nothing for the gateway.
func (s *ttn) fill(kind string, m *ttnMessage, uplink *gateway.Uplink) bool {
	if m.simulated {
		return s.discard(uplink, "simulated")
	}
	s.count(kind)
	if kind == "up" && m.macOnly() {
		return s.discard(uplink, "mac_only")
	}
	uplink.Device, uplink.Time, uplink.Identity = m.devEUI, m.heardAt(), m.identity(kind)
	if kind == "join" {
		uplink.Facts = map[string]string{"joined": uplink.Time.UTC().Format(time.RFC3339), "dev_addr": m.devAddr}
		return true
	}
	m.networkUplink.fill(uplink, s.env.Network)
	return true
}
