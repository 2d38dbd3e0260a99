package lorawan

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Stranger is something on air that is not taken, and how often it was heard since the start.
type Stranger struct {
	Kind     string    `json:"kind"`             // "devaddr", "deveui", "mic", "counter" or "join"
	Address  string    `json:"address"`          // DevAddr or DevEUI, hexadecimal
	Device   string    `json:"device,omitempty"` // DevEUI of the sensor that uses the address, where there is one only
	Reason   string    `json:"reason,omitempty"` // of a join that is refused
	Count    uint64    `json:"count"`            // receptions, those of several radio gateways too
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	RSSI     int       `json:"rssi"` // dBm, of the last reception; so are the next three
	SNR      float64   `json:"snr"`
	DataRate string    `json:"data_rate"`
	Gateway  string    `json:"gateway"` // EUI of the radio gateway
}

// The kinds of stranger.
const (
	unknownAddress = "devaddr" // nobody here uses the DevAddr
	unknownEUI     = "deveui"  // asks to join and has no keys here
	unsigned       = "mic"     // uses the DevAddr of a sensor and does not have its keys
	replayed       = "counter" // signed by a sensor, with a frame counter that was used
	joinRefused    = "join"    // a sensor that may not join
)

// maxStrangers bounds each kind.
const maxStrangers = 1000

// strangers remembers who was heard and not taken.
type strangers struct {
	mu    sync.Mutex
	kinds map[string]map[string]*Stranger // by kind and address, guarded by mu
}

// note counts a reception.
func (s *strangers) note(kind, address, detail string, r *Reception) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = map[string]map[string]*Stranger{}
	}
	known := s.kinds[kind]
	if known == nil {
		known = map[string]*Stranger{}
		s.kinds[kind] = known
	}
	stranger := known[address]
	if stranger == nil {
		if len(known) >= maxStrangers {
			forgetOne(known)
		}
		stranger = &Stranger{Kind: kind, Address: address, First: r.Received}
		known[address] = stranger
	}
	if kind == joinRefused {
		stranger.Reason = detail
	} else {
		stranger.Device = detail
	}
	stranger.Count++
	stranger.Last, stranger.RSSI, stranger.SNR, stranger.Gateway = r.Received, r.RSSI, r.SNR, r.Gateway
	stranger.DataRate = r.DataRate.String()
}

const samples = 8

// forgetOne makes room: of a few that the map happens to name first it forgets the one that was heard least, so that many who
// are heard once do not drive out those that are there every day.
func forgetOne(known map[string]*Stranger) {
	var least *Stranger
	looked := 0
	for _, stranger := range known {
		if least == nil || stranger.Count < least.Count || stranger.Count == least.Count && stranger.Last.Before(least.Last) {
			least = stranger
		}
		if looked++; looked == samples {
			break
		}
	}
	delete(known, least.Address)
}

// Strangers lists what was heard since the start and not taken, by kind, the most frequent first.
func (n *Network) Strangers() []Stranger {
	if n == nil {
		return nil
	}
	n.strange.mu.Lock()
	defer n.strange.mu.Unlock()
	all := []Stranger{}
	for _, known := range n.strange.kinds {
		for _, stranger := range known {
			all = append(all, *stranger)
		}
	}
	slices.SortFunc(all, func(a, b Stranger) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Address, b.Address))
	})
	return all
}

// named is the device that uses a DevAddr, "" unless it is one only.
func (n *Network) named(address uint32) string {
	if devices := n.at(address); len(devices) == 1 {
		return devices[0].DevEUI
	}
	return ""
}
