package lorawan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brocaar/lorawan"
	"github.com/brocaar/lorawan/band"
)

// Region is the radio plan of a part of the world, as the band package of the LoRaWAN library has it.
type Region struct {
	name  string
	band  band.Band // not changed once the Region is made
	extra []uint32

	rx1Delay     time.Duration
	rx2Frequency uint32
	rx2DataRate  int
}

// regions are the names that are understood.
var regions = []band.Name{
	band.EU868, band.EU433, band.US915, band.CN779, band.AU915, band.CN470, band.AS923, band.AS923_2, band.AS923_3,
	band.AS923_4, band.KR920, band.IN865, band.RU864, band.ISM2400,
}

// Regions lists the names of all regions.
func Regions() []string {
	names := make([]string, len(regions))
	for i, name := range regions {
		names[i] = string(name)
	}
	return names
}

// euChannels are those that nearly every gateway in Europe listens to beside the three that the region demands.
var euChannels = []uint32{867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000}

// DefaultChannels are the channels that a region has beside its own when nothing else is said, in Hz.
func DefaultChannels(region string) []uint32 {
	if region == string(band.EU868) {
		return slices.Clone(euChannels)
	}
	return nil
}

// newRegion makes a region; the error is an *OptionError.
func newRegion(o Options) (*Region, error) {
	if !slices.Contains(Regions(), o.Region) {
		return nil, &OptionError{"region", fmt.Errorf("no region %q (there are %s)", o.Region, strings.Join(Regions(), ", "))}
	}
	plan, err := band.GetConfig(band.Name(o.Region), false, lorawan.DwellTimeNoLimit)
	if err != nil {
		return nil, &OptionError{"region", err}
	}
	defaults := plan.GetDefaults()
	r := &Region{name: o.Region, band: plan, rx1Delay: o.RX1Delay, rx2Frequency: o.RX2Frequency, rx2DataRate: o.RX2DataRate}
	if r.rx2Frequency == 0 {
		r.rx2Frequency = uint32(defaults.RX2Frequency)
	}
	if r.rx2DataRate < 0 {
		r.rx2DataRate = defaults.RX2DataRate
	}
	if _, err := plan.GetDataRate(r.rx2DataRate); err != nil {
		return nil, &OptionError{"rx2_data_rate", fmt.Errorf("%s has no data rate %d", r.name, r.rx2DataRate)}
	}
	own := plan.GetStandardUplinkChannelIndices()
	for i, frequency := range o.Channels {
		key := fmt.Sprintf("channels[%d]", i)
		if _, err := plan.GetUplinkChannelIndex(frequency, true); err == nil {
			return nil, &OptionError{key, fmt.Errorf("%d Hz is a channel of %s already", frequency, r.name)}
		}
		if slices.Contains(o.Channels[:i], frequency) {
			return nil, &OptionError{key, fmt.Errorf("%d Hz stands here twice", frequency)}
		}
		if frequency%100 != 0 || frequency < 100_000_000 {
			return nil, &OptionError{key, fmt.Errorf("%d is not a frequency in Hz (868100000 for instance)", frequency)}
		}
		least, most := 0, 5
		if len(own) > 0 {
			if channel, err := plan.GetUplinkChannel(own[0]); err == nil {
				least, most = channel.MinDR, channel.MaxDR
			}
		}
		if err := plan.AddChannel(frequency, least, most); err != nil {
			return nil, &OptionError{key, fmt.Errorf("%s takes no further channels: %w", r.name, err)}
		}
		r.extra = append(r.extra, frequency)
	}
	return r, nil
}

// Name is the region's name, "EU868".
func (r *Region) Name() string { return r.name }

// Channels lists the frequencies of all uplink channels in Hz.
func (r *Region) Channels() []uint32 {
	var frequencies []uint32
	for _, i := range r.band.GetUplinkChannelIndices() {
		if channel, err := r.band.GetUplinkChannel(i); err == nil {
			frequencies = append(frequencies, uint32(channel.Frequency))
		}
	}
	return frequencies
}

// errNoDataRate says that a region does not have a data rate.
var errNoDataRate = errors.New("no such data rate in this region")

// DataRate returns the data rate with an index.
func (r *Region) DataRate(index int) (DataRate, error) {
	dr, err := r.band.GetDataRate(index)
	if err != nil {
		return DataRate{}, fmt.Errorf("%w: %d", errNoDataRate, index)
	}
	return DataRate{
		SpreadingFactor: dr.SpreadFactor, Bandwidth: dr.Bandwidth, BitRate: dr.BitRate,
		OccupiedWidth: dr.OccupiedChannelWidth, CodingRate: dr.CodingRate,
	}, nil
}

// Index returns the index of a data rate.
func (r *Region) Index(uplink bool, rate DataRate) (int, error) {
	dr := band.DataRate{
		Modulation: band.LoRaModulation, SpreadFactor: rate.SpreadingFactor, Bandwidth: rate.Bandwidth, BitRate: rate.BitRate,
		OccupiedChannelWidth: rate.OccupiedWidth, CodingRate: rate.CodingRate,
	}
	switch {
	case rate.OccupiedWidth > 0:
		dr.Modulation = band.LRFHSSModulation
	case rate.BitRate > 0:
		dr.Modulation = band.FSKModulation
	}
	index, err := r.band.GetDataRateIndex(uplink, dr)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", errNoDataRate, rate)
	}
	return index, nil
}

// uplinkWay returns the indices of data rate and channel of a reception.
func (r *Region) uplinkWay(heard *Reception) (rate, channel int, ok bool) {
	rate, err := r.Index(true, heard.DataRate)
	if err != nil {
		return 0, 0, false
	}
	channel, err = r.band.GetUplinkChannelIndexForFrequencyDR(heard.Frequency, rate)
	return rate, channel, err == nil
}

// rx1 returns frequency and data rate of the first receive window after a reception.
func (r *Region) rx1(heard *Reception) (frequency uint32, rate DataRate, err error) {
	up, err := r.Index(true, heard.DataRate)
	if err != nil {
		return 0, rate, err
	}
	frequency, err = r.band.GetRX1FrequencyForUplinkFrequency(heard.Frequency)
	if err != nil {
		return 0, rate, err
	}
	down, err := r.band.GetRX1DataRateIndex(up, 0)
	if err != nil {
		return 0, rate, err
	}
	rate, err = r.DataRate(down)
	return frequency, rate, err
}

func (r *Region) power(frequency uint32) int { return r.band.GetDownlinkTXPower(frequency) }

func (r *Region) joinDelay() time.Duration { return r.band.GetDefaults().JoinAcceptDelay1 }

// joinDataRate is that of the second receive window as long as a device was told of no other.
func (r *Region) joinDataRate() int { return r.band.GetDefaults().RX2DataRate }

// channelList is what a join-accept tells of the channels beside the region's own; nil for nothing. A mask of all channels, as
// the library has it for fixed ones, would undo what a device was set to: most gateways hear a few of them only.
func (r *Region) channelList(modern bool) *lorawan.CFList {
	if len(r.extra) == 0 {
		return nil
	}
	if modern {
		return r.band.GetCFList(band.LoRaWAN_1_1_0)
	}
	return r.band.GetCFList(band.LoRaWAN_1_0_3)
}
