package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// SimulateOptions say what a simulated town sends to a gateway and a broker that somebody else runs.
type SimulateOptions struct {
	MQTT     string        // tcp://host:port of the broker, "" for none
	Semtech  string        // host:port of the gateway's semtech-udp source, "" for none
	Duration time.Duration // 0: until ctx is done
	Rate     float64       // messages a second
	Sensors  int
	Radio    float64 // share of the LoRaWAN sensors that radio gateways hear when there is a broker too, 0 to 1
	Seed     uint64
	Memory   string // file with what the LoRaWAN devices go on from
	Out      io.Writer
}

const (
	awaitTimeout = 10 * time.Second
	progress     = 5 * time.Second
)

// simulatedTown is the town of a seed: the same, whichever way its messages go.
func simulatedTown(seed uint64, sensors int, radio float64) *Town {
	options := (&RunOptions{Seed: seed, Sensors: sensors}).townOptions()
	options.Radio = radio
	options.Run = uint64(time.Now().UnixNano()) // a gateway remembers what it heard in an earlier run
	return NewTown(options)
}

// share is the share of the LoRaWAN sensors on air.
func (o *SimulateOptions) share() float64 {
	switch {
	case o.Semtech == "":
		return 0
	case o.MQTT == "":
		return 1
	}
	return o.Radio
}

// Simulate sends until Duration is over or ctx is done, and writes a summary. It returns an error when something was never
// acknowledged.
func Simulate(ctx context.Context, options SimulateOptions) error {
	town := simulatedTown(options.Seed, options.Sensors, options.share())
	display := newDisplay(options.Out)
	publisher := &Publisher{Server: options.MQTT, Rate: options.Rate, Next: town.Next}
	if options.Semtech != "" {
		air, err := OpenAir(AirOptions{Server: options.Semtech, Town: town, Memory: options.Memory, Say: display.line})
		if err != nil {
			return err
		}
		defer startRadio(ctx, air)()
		if err := awaitServer(ctx, air); err != nil {
			return err
		}
		publisher.Air = air
	}
	display.line("%d simulated sensors, %d of them LoRaWAN devices behind %d radio gateways; seed %d", len(town.Sensors()), len(town.onAir()), gatewayCount, options.Seed)
	err := watch(ctx, options.Duration, publisher, display)
	summarise(display, publisher, err)
	return err
}

// startRadio runs a radio that goes on when ctx is done, and returns what ends it.
func startRadio(ctx context.Context, air *Air) (stop func()) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { // stop waits for it
		defer close(ended)
		air.Run(running)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// awaitServer waits for the gateway's answers, and says what to look at when there are none.
func awaitServer(ctx context.Context, air *Air) error {
	waiting, cancel := context.WithTimeout(ctx, awaitTimeout)
	defer cancel()
	err := air.Await(waiting)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	var euis []string
	for i := range gatewayCount {
		euis = append(euis, fmt.Sprintf("%016x", gatewayEUI(i)))
	}
	return fmt.Errorf("%w (does a semtech-udp source listen there, with the gateways %s?)", err, strings.Join(euis, ", "))
}

// watch publishes, and shows how far it is now and then.
func watch(ctx context.Context, duration time.Duration, publisher *Publisher, display *display) error {
	sending, stop := ctx, context.CancelFunc(func() {})
	if duration > 0 {
		sending, stop = context.WithTimeout(ctx, duration)
	}
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- publisher.Publish(sending) }() // the loop waits for it
	tick := time.NewTicker(progress)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil && publisher.Taken() == 0 && ctx.Err() != nil {
				return nil // interrupted before anything was sent
			}
			return err
		case <-tick.C:
			display.line("%s acknowledged%s", thousands(publisher.Count()), publisher.aside())
		}
	}
}

// aside is what the radio does, if there is one.
func (p *Publisher) aside() string {
	if p.Air == nil {
		return ""
	}
	counts := p.Air.Counts()
	return "; radio: " + counts.String()
}

func summarise(display *display, publisher *Publisher, err error) {
	display.line("")
	display.line("acknowledged   %s messages", thousands(publisher.Count()))
	if publisher.Air == nil {
		return
	}
	radio := publisher.Air.Counts()
	display.line("radio          %s frames, %s copies by further gateways, %s late, %s datagrams sent again",
		thousands(radio.Frames), thousands(radio.Copies), thousands(radio.Late), thousands(radio.Resent))
	display.line("joins          %s", thousands(radio.Joined))
	display.line("downlinks      %s, %s of %s confirmed uplinks acknowledged, %s MAC commands answered",
		thousands(radio.Downlinks), thousands(radio.Acked), thousands(radio.Confirmed), thousands(radio.Answers))
	display.line("replays        %s, none of which may become an event", thousands(radio.Replays))
	if radio.Waiting > 0 {
		display.line("               %d sensors got no answer to their join-request and sent nothing (the source needs downlink: true)", radio.Waiting)
	}
	if refusal := radio.err(); refusal != nil && err == nil {
		display.line("               %v", refusal)
	}
}
