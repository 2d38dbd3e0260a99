package lorawan

import (
	"context"
	"log/slog"
	"time"

	"belfry/gateway"
)

// Options are what an operator decides of the radio network.
type Options struct {
	Region       string        // one of Regions
	NetID        uint32        // 24 bits, of the addresses that joins give out; 0 is for experiments and private networks
	Collect      time.Duration // how long the copies of a frame that other gateways heard are waited for
	Channels     []uint32      // Hz, beside those of the region
	RX1Delay     time.Duration // of the first receive window, whole seconds, 1 to 15
	RX2Frequency uint32        // Hz; 0: the region's
	RX2DataRate  int           // index; negative: the region's
	Log          *slog.Logger  // nil discards
}

// OptionError is a mistake in one option.
type OptionError struct {
	Key string // as in the configuration: "rx1_delay"
	Err error
}

func (e *OptionError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// Defaults are the options of a network in Europe.
func Defaults() Options {
	return Options{Region: "EU868", Collect: 200 * time.Millisecond, RX1Delay: time.Second, RX2DataRate: -1}
}

// State is what the store knows of the sessions; *buffer.Buffer documents it.
type State interface {
	State(key string) []byte
	EachState(prefix string, f func(key string, value []byte))
}

// Network is all sessions of one gateway, whatever sources their frames come through. A nil Network knows no device.
type Network struct {
	Options
	region *Region
}

// New makes a network without devices. Its errors are *OptionError, several of them joined.
func New(options Options) (*Network, error) { panic("soon") }

// Region is the radio plan of the network.
func (n *Network) Region() *Region { return n.region }

// SetDevices says whose frames are read. It is called once, before Restore.
func (n *Network) SetDevices(devices []Device) {}

// Restore gives the network its memory: the store, in which it finds its sessions again. It is called once, before the
// first feed runs.
func (n *Network) Restore(state State) {}

// Claim is for an uplink that a network server has read: when this network knows the session too, because radio gateways of
// its own may hear the same frame, the uplink takes its counter there, so that both ways together are one event. nil when the
// session is not known here; the uplink then keeps the identity that its network server gave it. devEUI has 16, devAddr 8
// hexadecimal digits in lower case; payload is decrypted.
func (n *Network) Claim(devEUI, devAddr string, counter uint32, port uint8, payload []byte) gateway.Claim {
	return nil
}

// FeedOptions say what a source wants of the network.
type FeedOptions struct {
	Source   string            // its name
	Emit     gateway.Emit      // of the source's Run
	Downlink bool              // joins and what devices ask for are answered
	Count    func(what string) // hears each of Counts; may be called from several goroutines
}

// Counts are what a feed counts, by the names that the source's Counters are to have.
func Counts() []string { return nil }

// Feed is the way of one source's frames into the network, for one Run of that source.
type Feed struct{}

// NewFeed makes a feed; nothing happens before Run.
func (n *Network) NewFeed(options FeedOptions) *Feed { panic("soon") }

// Run works until ctx is done, or something that was handed over could not be held; the Run of the source must end then too.
// Receptions that are not settled when it returns are settled with an error.
func (f *Feed) Run(ctx context.Context) error { panic("soon") }

// Receive takes what radio gateways heard. done is called once, by another goroutine, when all of it is settled: held on
// disk as an event or in quarantine, or refused for a reason that is counted (nil); or when something could not be held (an
// error): then the source must not acknowledge any of it. It does not block. False, and nothing is taken, when too many
// frames wait already or the feed has ended.
func (f *Feed) Receive(receptions []Reception, done func(error)) bool { panic("soon") }
