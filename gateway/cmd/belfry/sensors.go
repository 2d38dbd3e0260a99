package main

import (
	"errors"
	"fmt"

	"belfry/gateway/control"
	"belfry/gateway/lorawan"
)

type sensorsCommand struct {
	Unknown sensorsUnknownCommand `cmd:"" help:"List what was heard and is no sensor of the inventory, or has other keys than it."`
}

type sensorsUnknownCommand struct {
	bufferFolder
	JSON bool `help:"Print it as JSON."`
}

// Help says where it comes from.
func (sensorsUnknownCommand) Help() string {
	return "Radio frames that are not taken are only counted, since the start of the gateway, 1000 addresses of each kind at most." +
		" Messages of network servers and brokers wait in quarantine."
}

// Run prints a line for each.
func (c sensorsUnknownCommand) Run(p program) error {
	return c.use(p, false, func(b control.Buffer) error {
		unknown, err := b.Unknown(p.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, unknown)
		}
		out := newLines(p.stdout)
		return errors.Join(printUnknown(out, unknown), out.flush())
	})
}

func printUnknown(out *lines, u control.Unknown) error {
	if !u.Live {
		if err := out.text("no gateway runs here: what is on air is not known"); err != nil {
			return err
		}
	}
	if len(u.Radio) == 0 && len(u.Quarantined) == 0 {
		return out.text("nothing unknown was heard")
	}
	if len(u.Radio) > 0 {
		if err := out.text(fmt.Sprintf("%-16s  %8s  %-24s  %5s  %5s  %-10s  %-16s  %s", "on air", "times", "last", "RSSI", "SNR", "data rate", "heard by", "what it is")); err != nil {
			return err
		}
	}
	for _, s := range u.Radio {
		if err := out.text(fmt.Sprintf("%-16s  %8d  %-24s  %5d  %5.1f  %-10s  %-16s  %s", s.Address, s.Count, stamp(s.Last), s.RSSI, s.SNR,
			printable(s.DataRate), printable(s.Gateway), printable(strangeness(s)))); err != nil {
			return err
		}
	}
	if len(u.Quarantined) > 0 {
		if err := out.text(fmt.Sprintf("%-20s  %8s  %-24s  %-14s  %s", "in quarantine", "messages", "last", "source", "what it is")); err != nil {
			return err
		}
	}
	for _, d := range u.Quarantined {
		if err := out.text(fmt.Sprintf("%-20s  %8d  %-24s  %-14s  %s", printable(or(d.Device, "-")), d.Count, stamp(d.Last), printable(d.Source),
			"no sensor has this device (add a line to sensors/*.csv, then belfry buffer quarantine retry)")); err != nil {
			return err
		}
	}
	return nil
}

// strangeness says what a stranger is and what to do about it.
func strangeness(s lorawan.Stranger) string {
	switch s.Kind {
	case "devaddr":
		return "no session has this DevAddr: a neighbour's device, or one that has to join again"
	case "deveui":
		return "asks to join (if it is yours: a line in sensors/*.csv, its AppKey in the key file)"
	case "mic":
		if s.Device == "" {
			return "signed with other keys than those of the sensors with this DevAddr"
		}
		return "signed with other keys than those of " + s.Device + ": a neighbour's device, or the keys were changed"
	case "counter":
		return s.Device + " began to count anew, or its frames are played again (counter: relaxed, if it may)"
	case "join":
		return "may not join: " + s.Reason
	}
	return s.Kind
}
