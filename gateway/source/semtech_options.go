package source

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"belfry/gateway/lorawan/semtech"
)

// SemtechOptions are the options of a source of kind "semtech-udp".
type SemtechOptions struct {
	Listen        string             `yaml:"listen"`         // host and port; there is no default
	Gateways      []ForwarderOptions `yaml:"gateways"`       // from which datagrams are taken; all others get no answer
	Downlink      bool               `yaml:"downlink"`       // the radio gateways may be asked to send
	ReceiveBuffer int                `yaml:"receive_buffer"` // bytes to ask of the kernel for datagrams that were not read yet
	Rate          int                `yaml:"rate"`           // datagrams a second of one radio gateway
	Queue         int                `yaml:"queue"`          // bytes of datagrams in memory that wait to be stored
}

// ForwarderOptions say who a radio gateway is.
type ForwarderOptions struct {
	EUI     string `yaml:"eui"`
	Address string `yaml:"address"` // IP address or network that it sends from; empty for any
}

const (
	minReceiveBuffer = 64 << 10
	minDatagramQueue = 256 << 10
	mostBytes        = 1 << 30
	mostRate         = 1_000_000
)

// check returns the radio gateways; its errors are *OptionError, several of them joined.
func (o *SemtechOptions) check() (map[semtech.EUI]*forwarder, error) {
	var mistakes []error
	mistake := func(key, format string, args ...any) {
		mistakes = append(mistakes, &OptionError{Key: key, Err: fmt.Errorf(format, args...)})
	}
	if err := checkListen(o.Listen); err != nil {
		mistake("listen", "%w", err)
	}
	if len(o.Gateways) == 0 {
		mistake("gateways", "none (the eui of each radio gateway)")
	}
	forwarders := map[semtech.EUI]*forwarder{}
	places := map[semtech.EUI]int{}
	for i, written := range o.Gateways {
		key := fmt.Sprintf("gateways[%d]", i)
		from, err := parseSender(written.Address)
		if err != nil {
			mistake(key+".address", "%w", err)
		}
		eui, err := parseForwarderEUI(written.EUI)
		if err != nil {
			mistake(key+".eui", "%w", err)
			continue
		}
		if first, twice := places[eui]; twice {
			mistake(key+".eui", "%s stands in gateways[%d] already", eui, first)
			continue
		}
		places[eui] = i
		forwarders[eui] = newForwarder(eui, from, o.Rate)
	}
	between := func(key string, value, lowest, highest int) {
		if value < lowest || value > highest {
			mistake(key, "%d is not between %d and %d", value, lowest, highest)
		}
	}
	between("receive_buffer", o.ReceiveBuffer, minReceiveBuffer, mostBytes)
	between("rate", o.Rate, 1, mostRate)
	between("queue", o.Queue, minDatagramQueue, mostBytes)
	return forwarders, errors.Join(mistakes...)
}

func checkListen(address string) error {
	if address == "" {
		return errors.New("none (host and port, 192.168.1.10:1700 for instance)")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host and port, as 192.168.1.10:1700", address)
	}
	if host == "" {
		return fmt.Errorf("%q has no host (0.0.0.0 or [::] for all addresses of this machine)", address)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Errorf("%q is not a port", port)
	}
	return nil
}

// parseSender returns the network that a radio gateway sends from, none for any.
func parseSender(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap().WithZone("")
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return network, fmt.Errorf("%q is neither an IP address nor a network such as 10.20.0.0/16", text)
	}
	return network.Masked(), nil
}

var euiSeparators = strings.NewReplacer("-", "", ":", "", " ", "")

func parseForwarderEUI(text string) (semtech.EUI, error) {
	var eui semtech.EUI
	digits := euiSeparators.Replace(text)
	if len(digits) != 2*len(eui) {
		return eui, fmt.Errorf("%q has %d digits, want %d", text, len(digits), 2*len(eui))
	}
	if _, err := hex.Decode(eui[:], []byte(digits)); err != nil {
		return eui, fmt.Errorf("%q is not hexadecimal", text)
	}
	return eui, nil
}
