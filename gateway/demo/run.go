// Package demo is Belfry without set-up: a broker, a NATS server and a simulated town in one process, with an outage in
// the middle and a verdict at the end on whether every message is on the stream exactly once.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"
)

// Probe is the gateway under demonstration, as its starter sees it.
type Probe interface {
	// Stats are totals since the start (taken, published) and the present state of the buffer.
	Stats() (taken, published, pending, held, quarantined uint64)
	// Wait returns once the gateway has ended, with the reason when it was not asked to.
	Wait() error
}

// RunOptions say what Run shows. Zero values mean the defaults given here.
type RunOptions struct {
	Duration time.Duration // how long the town sends; 0: until ctx is done
	Sensors  int           // 400
	Rate     float64       // messages a second; 50
	Seed     uint64
	Out      io.Writer
	// Gateway starts the gateway in this process with the configuration folder dir; it runs until ctx is done.
	Gateway func(ctx context.Context, dir string) (Probe, error)

	settle time.Duration // how long the end is waited for; 0: a minute; tests have less patience
}

const (
	defaultSensors = 400
	defaultRate    = 50
	radioShare     = 0.25 // of the LoRaWAN sensors
	maxRate        = 5000 // above, the embedded broker drops what the gateway is slow to take

	startTimeout  = 20 * time.Second
	settleTimeout = time.Minute
	stopTimeout   = 15 * time.Second
	refresh       = time.Second
)

// Run shows the demo until Duration is over or ctx is done, then waits for everything that was sent to be on the stream.
// It returns an error when something is missing, there twice, wrong, or of unknown origin.
func Run(ctx context.Context, options RunOptions) (err error) {
	if options.Sensors <= 0 {
		options.Sensors = defaultSensors
	}
	if options.Rate <= 0 {
		options.Rate = defaultRate
	}
	if options.Rate > maxRate {
		return fmt.Errorf("%.0f messages a second: at most %d", options.Rate, maxRate)
	}
	if options.settle == 0 {
		options.settle = settleTimeout
	}
	if options.Out == nil {
		options.Out = io.Discard
	}
	dir, err := os.MkdirTemp("", "belfry-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &show{options: options, dir: dir, display: newDisplay(options.Out), ledger: newLedger(), plan: plan(options.Duration)}
	defer s.close()
	if err := s.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted before anything was sent
		}
		return err
	}
	return s.play(ctx)
}

// show is one run of the demo.
type show struct {
	options RunOptions
	dir     string
	display *display
	ledger  *ledger
	latency latencies
	plan    outage

	town        *Town
	broker      *MQTT
	nats        *NATS
	reader      *streamReader
	air         *Air
	landAir     func() // ends the radio
	probe       Probe
	stopGateway context.CancelFunc
	ended       chan error // the gateway's end
	updated     time.Time
	started     time.Time
}

// townOptions divides the sensors as in the default town.
func (o *RunOptions) townOptions() TownOptions {
	share := func(of int) int { return max(int(math.Round(float64(o.Sensors*of)/defaultSensors)), 1) }
	return TownOptions{
		Seed: o.Seed, Lights: share(160), Meters: share(120), Bins: share(60), JSONBins: share(60), Radio: radioShare,
	}
}

// open starts everything but the town.
func (s *show) open(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.town = NewTown(s.options.townOptions())
	if s.broker, err = StartMQTT(MQTTOptions{}); err != nil {
		return err
	}
	if s.nats, err = StartNATS(NATSOptions{Dir: filepath.Join(s.dir, "nats")}); err != nil {
		return err
	}
	status, err := statusAddress()
	if err != nil {
		return err
	}
	radio, err := radioAddress()
	if err != nil {
		return err
	}
	folder := filepath.Join(s.dir, "config")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	if err := writeFolder(folder, s.town, addresses{s.broker.Address(), s.nats.URL(), status, radio}); err != nil {
		return err
	}
	s.introduce(folder, status, radio)
	if err := s.startGateway(ctx, folder); err != nil {
		return err
	}
	s.reader, err = openStream(ctx, s.nats.URL(), streamName, s.see)
	if err != nil {
		return s.why(err)
	}
	if err := s.broker.awaitSubscriber(ctx, s.topics()...); err != nil {
		return s.why(err)
	}
	return s.why(s.startAir(ctx, radio))
}

// startAir starts the town's radio and waits until its gateways have reached the source. It goes on when ctx is done.
func (s *show) startAir(ctx context.Context, radio string) (err error) {
	if s.air, err = OpenAir(AirOptions{Server: radio, Town: s.town, Say: s.display.line}); err != nil {
		return err
	}
	s.landAir = startRadio(ctx, s.air)
	return s.air.Await(ctx)
}

func (s *show) introduce(folder, status, radio string) {
	s.display.line("Belfry-sur-Seine: %d simulated sensors, %.0f messages a second", len(s.town.Sensors()), s.options.Rate)
	s.display.line("  MQTT broker    %s", s.broker.Address())
	s.display.line("  radio          %d gateways and %d LoRaWAN sensors, Semtech UDP to %s", gatewayCount, len(s.town.onAir()), radio)
	s.display.line("  NATS server    %s   (nats --server %[1]s sub 'town.>')", s.nats.URL())
	s.display.line("  status         http://%s/readyz   (and /healthz, /metrics)", status)
	s.display.line("  configuration  %s", folder)
	s.display.line("")
}

// startGateway starts the gateway. It goes on when ctx is done: what was sent by then must still reach the stream.
func (s *show) startGateway(ctx context.Context, folder string) (err error) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	if s.probe, err = s.options.Gateway(running, folder); err != nil {
		stop()
		return err
	}
	s.stopGateway, s.ended = stop, make(chan error, 1)
	go func() { s.ended <- s.probe.Wait() }() // close waits for it
	return nil
}

// why prefers the gateway's own reason when it has ended.
func (s *show) why(err error) error {
	if err == nil {
		return nil
	}
	select {
	case ended := <-s.ended:
		s.ended <- ended
		return errors.Join(errGatewayEnded, ended)
	default:
		return fmt.Errorf("the gateway did not come up in %s: %w", startTimeout, err)
	}
}

var errGatewayEnded = errors.New("the gateway ended during the demo")

// topics are those the town publishes to, one of each sort.
func (s *show) topics() []string {
	device := "application/" + s.town.network.application + "/device/" + StrangerDevice + "/event/"
	return []string{device + "up", device + "join", device + "status", "bins/any/state"}
}

// see takes an event of the stream.
func (s *show) see(e *streamEvent) {
	if !e.Data.Received.IsZero() {
		s.latency.add(time.Since(e.Data.Received))
	}
	s.ledger.addSeen(e)
	s.display.event(e)
}

// close ends what open started, the newest first.
func (s *show) close() {
	if s.landAir != nil {
		s.landAir()
	}
	if s.reader != nil {
		s.reader.close()
	}
	if s.stopGateway != nil {
		s.stopGateway()
		select {
		case <-s.ended:
		case <-time.After(stopTimeout):
			s.display.line("the gateway does not stop")
		}
	}
	if s.nats != nil {
		s.nats.Close()
	}
	if s.broker != nil {
		s.broker.Close()
	}
}
