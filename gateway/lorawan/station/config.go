package station

import (
	"fmt"
	"time"

	"belfry/gateway/lorawan"
)

// regionInfo is what stations must know of a region beside its channels and data rates.
type regionInfo struct {
	name            string // as stations call it
	lowest, highest uint32 // Hz, of all that may be sent
	maxEIRP         float64

	standard, fsk uint32 // Hz: channels of one data rate beside the others; 0 where it is not usual
}

// regionInfos has the regions whose channels one radio of eight can hear, by their names in package lorawan. Their limits are
// those of the regional parameters (RP002).
var regionInfos = map[string]regionInfo{
	"EU868":   {"EU863", 863_000_000, 870_000_000, 16, 868_300_000, 868_800_000},
	"EU433":   {"EU433", 433_050_000, 434_790_000, 12.15, 0, 0},
	"US915":   {"US902", 902_000_000, 928_000_000, 30, 0, 0},
	"CN779":   {"CN779", 779_500_000, 786_500_000, 12.15, 0, 0},
	"AU915":   {"AU915", 915_000_000, 928_000_000, 30, 0, 0},
	"CN470":   {"CN470", 470_000_000, 510_000_000, 19.15, 0, 0},
	"AS923":   {"AS923-1", 915_000_000, 928_000_000, 16, 0, 0},
	"AS923-2": {"AS923-2", 920_000_000, 923_500_000, 16, 0, 0},
	"AS923-3": {"AS923-3", 915_000_000, 921_000_000, 16, 0, 0},
	"AS923-4": {"AS923-4", 917_000_000, 920_000_000, 16, 0, 0},
	"KR920":   {"KR920", 920_900_000, 923_300_000, 23, 0, 0},
	"IN865":   {"IN865", 865_000_000, 867_000_000, 30, 0, 0},
	"RU864":   {"RU864", 864_000_000, 870_000_000, 16, 0, 0},
}

const dataRates = 16

// RouterConfig is the set-up that a station gets when it has introduced itself.
type RouterConfig struct {
	Type      string            `json:"msgtype"`
	NetID     []uint32          `json:"NetID"`   // null: of any network; ABP addresses follow no plan
	JoinEUI   [][2]uint64       `json:"JoinEui"` // null: of any
	Region    string            `json:"region"`
	Hardware  string            `json:"hwspec"`
	Frequency [2]uint32         `json:"freq_range"`
	DataRates [dataRates][3]int `json:"DRs"` // spreading factor (0: FSK, -1: none), kHz, 1 for downlinks only
	Radios    []map[string]any  `json:"sx1301_conf"`
	MaxEIRP   float64           `json:"max_eirp"`
	Protocol  int               `json:"protocol"`
	MuxTime   float64           `json:"MuxTime"`
}

// NewRouterConfig works out the set-up for the channels of a region. The error says why they cannot be had with one station.
func NewRouterConfig(region *lorawan.Region) (*RouterConfig, error) {
	info, ok := regionInfos[region.Name()]
	if !ok {
		return nil, fmt.Errorf("region %s is none that Basics Station knows", region.Name())
	}
	radios, err := planRadios(region.Channels(), info)
	if err != nil {
		return nil, fmt.Errorf("region %s: %w", region.Name(), err)
	}
	return &RouterConfig{
		Type: "router_config", Region: info.name, Hardware: "sx1301/1", Frequency: [2]uint32{info.lowest, info.highest},
		DataRates: rates(region), Radios: []map[string]any{radios}, MaxEIRP: info.maxEIRP, Protocol: 1,
	}, nil
}

// Encode writes the set-up with the time at which it is sent.
func (c RouterConfig) Encode(now time.Time) []byte {
	c.MuxTime = seconds(now)
	return encode(c)
}

func rates(region *lorawan.Region) (table [dataRates][3]int) {
	for i := range table {
		table[i] = [3]int{-1, 0, 0}
		rate, err := region.DataRate(i)
		switch {
		case err != nil || rate.OccupiedWidth > 0: // LR-FHSS: no station hears it
			continue
		case rate.BitRate > 0:
			table[i] = [3]int{0, 0, 0}
		default:
			table[i] = [3]int{rate.SpreadingFactor, rate.Bandwidth, 0}
		}
		if up, err := region.Index(true, rate); err != nil || up != i {
			table[i][2] = 1
		}
	}
	return table
}
