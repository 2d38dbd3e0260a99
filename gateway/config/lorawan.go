package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"belfry/gateway/lorawan"
)

type lorawanForm struct {
	Region       string        `yaml:"region"`
	NetID        string        `yaml:"net_id"`
	Collect      time.Duration `yaml:"collect"`
	Channels     []uint32      `yaml:"channels"`
	RX1Delay     time.Duration `yaml:"rx1_delay"`
	RX2Frequency uint32        `yaml:"rx2_frequency"`
	RX2DataRate  *int          `yaml:"rx2_data_rate"`
	Keys         string        `yaml:"keys"`
}

func lorawanDefaults() lorawanForm {
	options := lorawan.Defaults()
	return lorawanForm{
		Region: options.Region, NetID: fmt.Sprintf("%06x", options.NetID), Collect: options.Collect,
		Channels: lorawan.DefaultChannels(options.Region), RX1Delay: options.RX1Delay,
	}
}

// makeNetwork makes the radio network that all sources share; it has no devices yet.
func (l *loader) makeNetwork(d *document, written *lorawanForm) {
	options := lorawan.Options{
		Region: written.Region, NetID: d.netID(written.NetID), Collect: written.Collect, Channels: written.Channels,
		RX1Delay: written.RX1Delay, RX2Frequency: written.RX2Frequency, RX2DataRate: lorawan.Defaults().RX2DataRate, Log: l.env.Log,
	}
	if !d.has("lorawan.channels") {
		options.Channels = lorawan.DefaultChannels(written.Region)
	}
	if written.RX2DataRate != nil {
		options.RX2DataRate = *written.RX2DataRate
		if *written.RX2DataRate < 0 {
			d.at("lorawan.rx2_data_rate", fmt.Sprintf("%d is not the index of a data rate", *written.RX2DataRate), "0 is the slowest; left out: the region's")
		}
	}
	network, err := lorawan.New(options)
	d.blame("lorawan", err, func(err error) (string, error) {
		if option, ok := errors.AsType[*lorawan.OptionError](err); ok {
			return option.Key, option.Err
		}
		return "", err
	})
	if err == nil {
		l.config.Network = network
	}
}

const netIDBytes = 3

func (d *document) netID(written string) uint32 {
	id, err := hex.DecodeString(written)
	if err != nil || len(id) != netIDBytes {
		d.at("lorawan.net_id", notA("NetID", written), "6 hexadecimal digits; 000000 and 000001 are for private networks")
		return 0
	}
	return uint32(id[0])<<16 | uint32(id[1])<<8 | uint32(id[2])
}

// has says whether a value is written for a key.
func (d *document) has(path string) bool {
	node := d.root
	for path != "" {
		_, node, path = child(node, path)
		if node == nil {
			return false
		}
	}
	return node.ShortTag() != "!!null" || slices.Contains([]yaml.Kind{yaml.MappingNode, yaml.SequenceNode}, node.Kind)
}
