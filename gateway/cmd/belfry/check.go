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
	loaded, problems := config.Load(c.Config, config.Env{})
	for _, problem := range problems {
		fmt.Fprintln(p.stderr, problem)
	}
	if len(problems) > 0 {
		fmt.Fprintf(p.stderr, "%s: %s\n", c.Config, counted(len(problems), "problem"))
		return errReported
	}
	_, err := fmt.Fprintf(p.stdout, "%s: good. Gateway %s of %s: %s, %s, %s.\n", c.Config, loaded.Gateway, loaded.Town.Name,
		counted(len(loaded.Sources), "source"), counted(len(loaded.Inventory.Sensors()), "sensor"), counted(len(loaded.Models), "model"))
	return err
}

// counted prints "1 sensor", "2 sensors".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
