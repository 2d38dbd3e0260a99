package source

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"belfry/gateway"
	"belfry/gateway/event"
	"belfry/gateway/lorawan"
)

// networkUplink is what a network server says of an uplink of a device, whichever server it is.
type networkUplink struct {
	devEUI  string // 16 digits, lower case
	devAddr string // 8 digits, lower case; "" when it is not told
	time    time.Time

	counter  uint32 // all 32 bits of it
	port     uint8
	data     []byte
	secret   bool // the network server has no key to decrypt the data with
	best     reception
	gateways int
	heard    []string // the gateways that were counted, the first few of them
	spread   int      // spreading factor, 0 when not LoRa
}

// reception is how one gateway heard an uplink.
type reception struct {
	gateway string    // its name; "" when it is not told
	time    time.Time // the gateway's own clock; zero without one
	rssi    int
	snr     float64
}

var errSecret = errors.New("the payload is encrypted: the network server has no AppSKey for it, or was told not to use it")

// check checks whose uplink it is, and that it can be read.
func (u *networkUplink) check() (err error) {
	if u.secret && len(u.data) > 0 {
		return errSecret
	}
	if u.devEUI, err = checkEUI(u.devEUI); err != nil {
		return err
	}
	u.devAddr, err = checkDevAddr(u.devAddr)
	return err
}

// checkEUI returns a device's EUI in lower case.
func checkEUI(text string) (string, error) {
	if text == "" {
		return "", errors.New("no device EUI")
	}
	return checkDigits("device EUI", text, 16)
}

// checkDevAddr returns a device's address in lower case, "" when there is none.
func checkDevAddr(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	return checkDigits("device address", text, 8)
}

// checkDigits returns a text of so many hexadecimal digits in lower case.
func checkDigits(what, text string, digits int) (string, error) {
	if len(text) != digits {
		return "", fmt.Errorf("%s of %d characters instead of %d", what, len(text), digits)
	}
	for i := range len(text) {
		c := text[i] | 0x20
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", fmt.Errorf("%s with a character that is no hexadecimal digit", what)
		}
	}
	return strings.Clone(strings.ToLower(text)), nil
}

const maxHeard = 32 // gateways that are told from each other

// hear keeps the best of the receptions: the one with the best signal to noise, then the strongest. A gateway that heard
// the uplink with several antennas counts once.
func (u *networkUplink) hear(r reception) {
	if u.gateways == 0 || r.snr > u.best.snr || r.snr == u.best.snr && r.rssi > u.best.rssi {
		u.best = r
	}
	if r.gateway != "" {
		if slices.Contains(u.heard, r.gateway) {
			return
		}
		if len(u.heard) < maxHeard {
			u.heard = append(u.heard, r.gateway)
		}
	}
	u.gateways++
}

func (u *networkUplink) link() *event.Link {
	if u.gateways == 0 {
		return nil
	}
	return &event.Link{RSSI: u.best.rssi, SNR: u.best.snr, SpreadingFactor: u.spread, Gateways: u.gateways}
}

// macOnly says that the uplink has only what a device and its network server tell each other.
func (u *networkUplink) macOnly() bool { return len(u.data) == 0 && u.port == 0 }

// frame is the identity of the frame as far as the device alone tells.
func (u *networkUplink) frame() string {
	return "lorawan:" + u.devEUI + ":" + u.devAddr + ":" + strconv.FormatUint(uint64(u.counter), 10)
}

// fill fills an uplink that has data. When the radio network knows the session too, the uplink takes its counter there: the
// same frame may come in through a radio gateway of ours.
func (u *networkUplink) fill(uplink *gateway.Uplink, network *lorawan.Network) {
	uplink.Port, uplink.Payload, uplink.Link = u.port, u.data, u.link()
	if !u.best.time.IsZero() {
		uplink.Time = u.best.time
	}
	if network != nil && u.devAddr != "" {
		uplink.Claim = network.Claim(u.devEUI, u.devAddr, u.counter, u.port, u.data)
	}
}
