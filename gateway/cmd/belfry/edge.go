//go:build edge

package main

// extraCommands are the commands that the edge build leaves out.
type extraCommands struct{}
