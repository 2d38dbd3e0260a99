//go:build !edge

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"belfry/gateway/demo"
)

// extraCommands are the commands that the edge build leaves out.
type extraCommands struct {
	Demo     demoCommand     `cmd:"" help:"Show it: a broker, NATS, a simulated town and the gateway, with nothing to set up."`
	Simulate simulateCommand `cmd:"" help:"Let a simulated town send to a gateway and a broker of yours."`
}

type demoCommand struct {
	For     time.Duration `placeholder:"DURATION" help:"How long the town sends, such as 30s; until Ctrl-C by default."`
	Sensors int           `default:"400" help:"How many sensors the town has (${default})."`
	Rate    float64       `default:"50" help:"Messages a second (${default})."`
	Seed    uint64        `help:"Another seed is another town (${default})." default:"0"`
	Log     string        `placeholder:"FILE" help:"Write the gateway's log there; it is not shown otherwise."`
}

// Run shows the demo; its error is the verdict.
func (c demoCommand) Run(p program) error {
	if c.Sensors < 4 || c.Rate <= 0 {
		return errors.New("--sensors must be at least 4, --rate above 0")
	}
	log, err := c.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	return demo.Run(p.ctx, demo.RunOptions{
		Duration: c.For, Sensors: c.Sensors, Rate: c.Rate, Seed: c.Seed, Out: p.stdout,
		Gateway: func(ctx context.Context, dir string) (demo.Probe, error) {
			parts, err := open(dir, log)
			if err != nil {
				return nil, err
			}
			running := &inProcess{parts: parts, ended: make(chan error, 1)}
			go func() { running.ended <- errors.Join(parts.gateway.Run(ctx), parts.close()) }() // Wait waits for it
			return running, nil
		},
	})
}

func (c demoCommand) openLog() (*os.File, error) {
	if c.Log == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	log, err := os.OpenFile(filepath.Clean(c.Log), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--log: %w", err)
	}
	return log, nil
}

// inProcess is a gateway in this process.
type inProcess struct {
	parts *parts
	ended chan error
}

var _ demo.Probe = (*inProcess)(nil)

// Wait implements demo.Probe.
func (r *inProcess) Wait() error { return <-r.ended }

// Stats implements demo.Probe.
func (r *inProcess) Stats() (taken, published, pending, held, quarantined uint64) {
	for _, intake := range r.parts.gateway.Intake() {
		taken += intake.Received
	}
	stats := r.parts.gateway.BufferStats()
	return taken, stats.Published, stats.Pending[0] + stats.Pending[1], stats.Held, stats.Quarantined
}
