// Command belfry takes what a town's sensors send and forwards it as one format, with nothing lost on the way.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"belfry/buffer"
)

// version is set by the linker.
var version = "unknown"

// The exit codes. Zero means that all went well.
const (
	exitFailed = 1 // the command did not do what it was asked, a configuration has mistakes
	exitUsage  = 2 // the command line is wrong

	exitFault = 70 // a fault in this program ended it; what was acknowledged is on disk
	exitInUse = 75 // another process has the buffer's folder
)

// errReported says that the command failed and has already said why.
var errReported = errors.New("already reported")

type commandLine struct {
	Run       runCommand       `cmd:"" help:"Run the gateway until it is told to stop."`
	Check     checkCommand     `cmd:"" help:"Check a configuration and say every mistake in it."`
	Decode    decodeCommand    `cmd:"" help:"Decode one payload and show every step."`
	Test      testCommand      `cmd:"" help:"Run every example of every model, and show what fails."`
	Buffer    bufferCommand    `cmd:"" help:"Look into the buffer and its quarantine, also while the gateway runs."`
	Sensors   sensorsCommand   `cmd:"" help:"Look at the sensors, and at those that nobody knows."`
	CodecHost codecHostCommand `cmd:"" name:"codec-host" hidden:""`

	Version versionCommand `cmd:"" help:"Print the version."`
	extraCommands
}

// program is what commands may use of the world.
type program struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
}

// gcPercent trades a few percent of processor time for half of the heap's slack: the boxes are small.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, which is safe too
	os.Exit(execute(program{ctx, os.Stdout, os.Stderr}, os.Args[1:]))
}

// execute runs one command line and returns the exit code.
func execute(p program, args []string) int {
	var line commandLine
	exited := -1
	parser, err := kong.New(&line, kong.Name("belfry"), kong.Writers(p.stdout, p.stderr), kong.UsageOnError(),
		kong.Description("The town hall's relay for its sensors: MQTT and LoRaWAN in, one harmonised event format out to NATS JetStream."),
		kong.Exit(func(code int) { exited = code }), kong.Bind(p))
	if err != nil {
		panic(err) // the struct above is at fault
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "belfry: %v (belfry --help lists the commands)\n", err)
		return exitUsage
	}
	switch err := command.Run(p); {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return exitFailed
	case errors.Is(err, buffer.ErrLocked):
		fmt.Fprintf(p.stderr, "belfry: %v\n", err)
		return exitInUse
	default:
		fmt.Fprintf(p.stderr, "belfry: %v\n", err)
		return exitFailed
	}
}

type versionCommand struct{}

// Run prints the version, the Go version and the platform.
func (versionCommand) Run(p program) error {
	_, err := fmt.Fprintf(p.stdout, "belfry %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
