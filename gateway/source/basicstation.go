package source

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"belfry/gateway"
	"belfry/gateway/loopback"
	"belfry/gateway/lorawan"
	"belfry/gateway/lorawan/station"
	"belfry/gateway/secret"
)

func init() { register("basicstation", newBasicStation) }

// BasicStationOptions are the options of a source of kind "basicstation": radio gateways with LoRa Basics Station, which
// connect to this source by its LNS protocol.
type BasicStationOptions struct {
	Listen    string           `yaml:"listen"`     // host:port
	Gateways  []StationOptions `yaml:"gateways"`   // who may connect
	TLS       secret.ServerTLS `yaml:"tls"`        //
	TokenFile string           `yaml:"token_file"` // secret file: one token for all, or lines with an EUI and its token
	Plaintext bool             `yaml:"plaintext"`  // clear text, or nobody proving who he is, on other than loopback
	URI       string           `yaml:"uri"`        // what stations are told to connect to, behind a proxy
	Downlink  bool             `yaml:"downlink"`   // answers are sent
}

// StationOptions are about one radio gateway.
type StationOptions struct {
	EUI string `yaml:"eui"` // in any form that stations use
}

const (
	connectionsPerGateway = 2
	connectionsMore       = 8 // of those who are not known yet

	stationPing = 30 * time.Second
	stationIdle = 90 * time.Second // of silence that end a connection
)

type basicStation struct {
	env      Env
	options  BasicStationOptions
	gateways map[station.ID]*endings // who may connect, and how often a second connection took the place of the first
	base     string                  // address of the data connections, "" to take it from each request

	ping, idle time.Duration // stationPing and stationIdle; tests have less patience

	counts    counters
	downlinks atomic.Int64 // number of the last
	log       *sparseLog

	mu    sync.Mutex
	links map[station.ID]*stationLink // guarded by mu, as are the values of gateways
}

var _ gateway.Source = (*basicStation)(nil)

func basicStationCounters() []string {
	return append(lorawan.Counts(), "connects", "replaced", "discoveries", "refused_unlisted", "refused_token", "refused_full",
		"refused_tls", "refused_protocol", "refused_requests", "messages", "malformed_messages", "oversized", "other_messages",
		"proprietary", "rejoins", "timesyncs", "timesyncs_refused", "pauses", "downlinks", "downlinks_sent")
}

func newBasicStation(env Env, decode func(options any) error) (gateway.Source, error) {
	var options BasicStationOptions
	if err := decode(&options); err != nil {
		return nil, err
	}
	gateways, gatewaysErr := checkGateways(options.Gateways)
	base, baseErr := options.checkURI()
	if err := errors.Join(options.check(), gatewaysErr, baseErr, checkRegion(env.Network)); err != nil {
		return nil, err
	}
	return &basicStation{
		env: env, options: options, gateways: gateways, base: base, ping: stationPing, idle: stationIdle,
		counts: newCounters(basicStationCounters()...), log: newSparseLog(env.Log), links: map[station.ID]*stationLink{},
	}, nil
}

// check returns every mistake in who may reach the listener, and how.
func (o *BasicStationOptions) check() error {
	var mistakes []error
	mistake := func(key, format string, args ...any) {
		mistakes = append(mistakes, &OptionError{Key: key, Err: fmt.Errorf(format, args...)})
	}
	host, port, err := net.SplitHostPort(o.Listen)
	number, portErr := strconv.ParseUint(port, 10, 16)
	secure := o.TLS != (secret.ServerTLS{})
	switch {
	case o.Listen == "":
		mistake("listen", "missing (for example 192.168.1.10:8887)")
	case err != nil || host == "" || portErr != nil || number == 0:
		mistake("listen", "%q is not host:port (for example 192.168.1.10:8887, or 0.0.0.0:8887 for all addresses)", o.Listen)
	case loopback.Is(host) || o.Plaintext:
	case !secure:
		mistake("listen", "%s is clear text to other machines (set tls.cert and tls.key, or allow it with plaintext: true)", o.Listen)
	case o.TokenFile == "" && o.TLS.ClientCA == "":
		mistake("listen", "whoever knows an EUI could pose as that radio gateway (set token_file or tls.client_ca, or allow it with plaintext: true)")
	}
	if err := o.TLS.Check(); err != nil {
		mistake("tls", "%w", err)
	}
	return errors.Join(mistakes...)
}

func checkGateways(options []StationOptions) (map[station.ID]*endings, error) {
	if len(options) == 0 {
		return nil, &OptionError{Key: "gateways", Err: errors.New("none (for example eui: 0016C001FF10A2B3)")}
	}
	var mistakes []error
	gateways := make(map[station.ID]*endings, len(options))
	for i := range options {
		id, err := station.ParseID(options[i].EUI)
		if err == nil && gateways[id] != nil {
			err = fmt.Errorf("%s stands here twice", options[i].EUI)
		}
		if err != nil {
			mistakes = append(mistakes, &OptionError{Key: fmt.Sprintf("gateways[%d].eui", i), Err: err})
			continue
		}
		gateways[id] = &endings{}
	}
	return gateways, errors.Join(mistakes...)
}

// checkURI returns the base of the addresses that stations are told, "" for that of the listener. Stations want a port in it.
func (o *BasicStationOptions) checkURI() (string, error) {
	if o.URI == "" {
		return "", nil
	}
	base, err := url.Parse(o.URI)
	kind, ok := scheme{}, false
	if err == nil {
		kind, ok = schemes[base.Scheme]
	}
	if !ok || !kind.websocket || base.Hostname() == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return "", &OptionError{Key: "uri", Err: errors.New("not an address of a WebSocket (for example wss://lora.town.example:8887)")}
	}
	if base.Port() == "" {
		base.Host = net.JoinHostPort(base.Hostname(), kind.port)
	}
	return strings.TrimSuffix(base.String(), "/"), nil
}

// checkRegion says why stations cannot be set up for the channels of a network. Where there is none its mistakes are reported.
func checkRegion(network *lorawan.Network) error {
	if network == nil {
		return nil
	}
	if _, err := station.NewRouterConfig(network.Region()); err != nil {
		return &OptionError{Key: "kind", Err: err}
	}
	return nil
}

// Name implements gateway.Source.
func (s *basicStation) Name() string { return s.env.Name }

// Counters implements gateway.Source.
func (s *basicStation) Counters() map[string]uint64 { return s.counts.snapshot() }

func (s *basicStation) count(name string) { s.counts[name].Add(1) }

// optionError names an option of this source in an error of its Run.
func (s *basicStation) optionError(key string, err error) error {
	return fmt.Errorf("sources.%s.%s: %w", s.env.Name, key, err)
}
