package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// memory is what real devices keep in their flash: a network refuses a counter or a nonce that it has seen.
type memory struct {
	Devices map[string]deviceMemory `json:"devices"` // by DevEUI
}

type deviceMemory struct {
	Nonce   uint16 `json:"dev_nonce"`         // of the next join
	Counter uint32 `json:"counter,omitempty"` // of the next uplink, ABP
}

// spareCounters are left out at each start, for those that the end of the last run did not write down.
const spareCounters = 16

// recall gives the devices what they remember of an earlier run.
func (a *Air) recall() error {
	if a.Memory == "" {
		return nil
	}
	var m memory
	text, err := os.ReadFile(a.Memory)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(text, &m); err != nil {
			return fmt.Errorf("%s: %w (without it, the counters of the simulated sensors begin anew)", a.Memory, err)
		}
	}
	for _, d := range a.devices {
		known := m.Devices[d.sensor.Device]
		// A memory that was lost must not make the network refuse the joins: nonces also go on with the time.
		d.nonce = max(known.Nonce+spareCounters, nonceOf(time.Now()))
		if d.activation == abp10 {
			d.session.counter = known.Counter + spareCounters
		}
	}
	return a.write()
}

// nonceOf is a DevNonce that grows by one in eight minutes, for nearly a year.
func nonceOf(now time.Time) uint16 {
	return uint16(now.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) / (8 * time.Minute))
}

// write writes down what the devices must remember.
func (a *Air) write() error {
	m := memory{Devices: map[string]deviceMemory{}}
	for _, d := range a.devices {
		known := deviceMemory{Nonce: d.nonce}
		if d.activation == abp10 {
			known.Counter = d.session.counter
		}
		m.Devices[d.sensor.Device] = known
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(a.Memory), 0o700); err != nil {
		return err
	}
	fresh := a.Memory + ".new"
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, a.Memory)
}

// remember writes down the memory, if there is to be one.
func (a *Air) remember() {
	if a.Memory == "" {
		return
	}
	if err := a.write(); err != nil && !a.forgetful {
		a.forgetful = true
		a.Say("what the simulated sensors must remember is not kept: %v", err)
	}
}

func (a *Air) keepRemembering() {
	a.remember()
	a.after(time.Second, a.keepRemembering)
}
