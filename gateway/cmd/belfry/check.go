package main

import (
	"fmt"

	"belfry/gateway/config"
)

// folder is the flag that every command on a configuration has.
type folder struct {
	Config string `short:"c" default:"/etc/belfry" placeholder:"DIR" help:"The configuration folder (${default})."`
}

type checkCommand struct {
	folder
}

// Run prints every problem of the folder, or what is in it when there is none.
func (c checkCommand) Run(p program) error {
	loaded, problems := loadConfig(c.Config, nil)
	for _, problem := range problems {
		fmt.Fprintln(p.stderr, problem)
	}
	if len(problems) > 0 {
		fmt.Fprintf(p.stderr, "%s: %s\n", c.Config, counted(len(problems), "problem"))
		return errReported
	}
	_, err := fmt.Fprintf(p.stdout, "%s: good. Gateway %s of %s: %s, %s, %s.\n", c.Config, loaded.Gateway, loaded.Town.Name,
		counted(len(loaded.Sources), "source"), counted(len(loaded.Inventory.Sensors()), "sensor")+keyed(loaded.Keys),
		counted(len(loaded.Models), "model"))
	return err
}

// keyed says how many sensors have keys, and how they are activated; "" when none has.
func keyed(keys config.Keys) string {
	switch {
	case keys == config.Keys{}:
		return ""
	case keys.ABP == 0:
		return fmt.Sprintf(" (%d with LoRaWAN keys: OTAA)", keys.OTAA)
	case keys.OTAA == 0:
		return fmt.Sprintf(" (%d with LoRaWAN keys: ABP)", keys.ABP)
	}
	return fmt.Sprintf(" (%d with LoRaWAN keys: %d OTAA, %d ABP)", keys.OTAA+keys.ABP, keys.OTAA, keys.ABP)
}

// counted prints "1 sensor", "2 sensors".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
