//go:build !edge

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"belfry/gateway/demo"
)

type simulateCommand struct {
	MQTT    string        `name:"mqtt" placeholder:"tcp://HOST:PORT" help:"The broker that your gateway subscribes to."`
	Semtech string        `placeholder:"HOST:PORT" help:"Where the semtech-udp source of your gateway listens."`
	Write   string        `placeholder:"DIR" help:"Write inventory, keys and a belfry.yaml that fit the town into this folder; then end, unless there is an address to send to."`
	For     time.Duration `placeholder:"DURATION" help:"How long the town sends, such as 30s; until Ctrl-C by default."`
	Rate    float64       `default:"50" help:"Messages a second (${default}). A LoRaWAN device sends one in three seconds at most."`
	Sensors int           `default:"400" help:"How many sensors the town has (${default})."`
	Seed    uint64        `default:"0" help:"Another seed is another town with other keys (${default})."`
	Radio   float64       `default:"0.5" help:"With both addresses: the share of the LoRaWAN sensors that radio gateways hear; the others come as ChirpStack events (${default})."`
	Memory  string        `placeholder:"FILE" help:"Where the LoRaWAN sensors keep counters and nonces for the next run; by default in your configuration folder, for each seed."`
}

// Help says what is not in the flags.
func (simulateCommand) Help() string {
	return `The sensors speak LoRaWAN 1.0 and 1.1 (OTAA) and 1.0 (ABP) with real cryptography, through three radio gateways, or
plain MQTT. Nothing is sent to anywhere but the addresses that you give; the configuration of --write listens on this machine only.

  belfry simulate --write town
  belfry run -c town
  belfry simulate --semtech 127.0.0.1:1700 --mqtt tcp://127.0.0.1:1883 --for 1m

The keys come from the seed, so anybody can know them: never give them to a real sensor. The same seed goes on with the counters
of its last run, which the gateway remembers too; a second gateway that never heard them takes them all the same.`
}

// Run writes the town's files, or lets it send.
func (c simulateCommand) Run(p program) error {
	if c.Sensors < 4 || c.Rate <= 0 || c.Radio < 0 || c.Radio > 1 {
		return errors.New("--sensors must be at least 4, --rate above 0, --radio between 0 and 1")
	}
	sends := c.MQTT != "" || c.Semtech != ""
	if !sends && c.Write == "" {
		return errors.New("give --mqtt, --semtech or both (--write DIR alone only prepares a folder)")
	}
	options := demo.SimulateOptions{
		MQTT: c.MQTT, Semtech: c.Semtech, Duration: c.For, Rate: c.Rate, Sensors: c.Sensors, Radio: c.Radio, Seed: c.Seed, Out: p.stdout,
	}
	if c.Write != "" {
		written, err := demo.WriteSimulated(filepath.Clean(c.Write), options)
		for _, name := range written {
			fmt.Fprintln(p.stdout, "wrote", filepath.Join(c.Write, name))
		}
		if err != nil || !sends {
			return err
		}
	}
	if c.Semtech != "" {
		var err error
		if options.Memory, err = c.memory(); err != nil {
			return err
		}
	}
	return demo.Simulate(p.ctx, options)
}

// memory is where the sensors remember.
func (c simulateCommand) memory() (string, error) {
	if c.Memory != "" {
		return filepath.Clean(c.Memory), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("--memory: no place for it by default: %w", err)
	}
	return filepath.Join(dir, "belfry", fmt.Sprintf("simulate-%d.json", c.Seed)), nil
}
