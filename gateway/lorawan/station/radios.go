package station

import (
	"errors"
	"fmt"
	"slices"
)

const (
	multiChannels = 8       // that a concentrator hears with all spreading factors
	radioCount    = 2       // that feed them
	maxOffset     = 400_000 // Hz between a channel of 125 kHz and the centre of its radio
	maxWideOffset = 375_000 // Hz, for 250 kHz
	centreStep    = 100_000 // Hz
)

type radioConf struct {
	Enable    bool   `json:"enable"`
	Frequency uint32 `json:"freq"`
}

type channelConf struct {
	Enable          bool   `json:"enable"`
	Radio           int    `json:"radio"`
	Offset          int64  `json:"if"`
	Bandwidth       uint32 `json:"bandwidth,omitempty"`     // Hz
	SpreadingFactor int    `json:"spread_factor,omitempty"` // LoRa
	BitRate         int    `json:"datarate,omitempty"`      // FSK
}

type disabled struct {
	Enable bool `json:"enable"` // false
}

// planRadios spreads channels over the radios of a concentrator. What is particular to its hardware is left to the station.
func planRadios(frequencies []uint32, info regionInfo) (map[string]any, error) {
	frequencies = slices.Sorted(slices.Values(frequencies))
	if len(frequencies) == 0 {
		return nil, errors.New("no channel")
	}
	if len(frequencies) > multiChannels {
		return nil, fmt.Errorf("%d channels, a station hears %d", len(frequencies), multiChannels)
	}
	if lowest, highest := frequencies[0], frequencies[len(frequencies)-1]; lowest < info.lowest || highest > info.highest {
		return nil, fmt.Errorf("a channel is not between %d and %d Hz", info.lowest, info.highest)
	}
	centres, err := centres(frequencies, info.fsk)
	if err != nil {
		return nil, err
	}
	plan := map[string]any{"chan_FSK": disabled{}, "chan_Lora_std": disabled{}}
	for i := range radioCount {
		plan[fmt.Sprintf("radio_%d", i)] = radioConf{}
		if i < len(centres) {
			plan[fmt.Sprintf("radio_%d", i)] = radioConf{true, centres[i]}
		}
	}
	for i := range multiChannels {
		name := fmt.Sprintf("chan_multiSF_%d", i)
		plan[name] = disabled{}
		if i < len(frequencies) {
			radio, offset, _ := radioOf(centres, frequencies[i], maxOffset)
			plan[name] = channelConf{Enable: true, Radio: radio, Offset: offset}
		}
	}
	if radio, offset, ok := radioOf(centres, info.standard, maxWideOffset); ok && slices.Contains(frequencies, info.standard) {
		plan["chan_Lora_std"] = channelConf{true, radio, offset, 250_000, 7, 0}
	}
	if radio, offset, ok := radioOf(centres, info.fsk, maxOffset); ok {
		plan["chan_FSK"] = channelConf{true, radio, offset, 125_000, 0, 50_000}
	}
	return plan, nil
}

// centres returns the frequencies of the radios: the first has the lowest channels. One that is only welcome comes in where
// there is room.
func centres(frequencies []uint32, welcome uint32) ([]uint32, error) {
	var list []uint32
	for len(frequencies) > 0 {
		if len(list) == radioCount {
			return nil, fmt.Errorf("the channels from %d Hz on are too far from the others: each of %d radios hears %d kHz",
				frequencies[0], radioCount, 2*maxOffset/1000)
		}
		lowest, n := frequencies[0], 1
		for n < len(frequencies) && frequencies[n]-lowest <= 2*maxOffset {
			n++
		}
		highest := frequencies[n-1]
		if welcome > highest && welcome-lowest <= 2*maxOffset {
			highest = welcome
		}
		list = append(list, centre(lowest, highest))
		frequencies = frequencies[n:]
	}
	return list, nil
}

// centre is in the middle, on a round frequency when that reaches both ends too.
func centre(lowest, highest uint32) uint32 {
	middle := lowest + (highest-lowest)/2
	if round := (middle + centreStep - 1) / centreStep * centreStep; round-lowest <= maxOffset {
		return round
	}
	return middle
}

// radioOf returns the radio that is nearest to a frequency, and how far that is from its centre.
func radioOf(centres []uint32, frequency uint32, most int64) (radio int, offset int64, ok bool) {
	for i, centre := range centres {
		distance := int64(frequency) - int64(centre)
		if max(distance, -distance) <= most && (!ok || max(distance, -distance) < max(offset, -offset)) {
			radio, offset, ok = i, distance, true
		}
	}
	return radio, offset, ok
}
