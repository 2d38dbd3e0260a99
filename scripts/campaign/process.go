package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a program that was started, with what it says in a file.
type process struct {
	command *exec.Cmd
	ended   chan struct{} // closed when it is gone
	started time.Time
}

// startProcess starts a program whose output is added to a file.
func startProcess(log, program string, args ...string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	p := &process{command: exec.Command(program, args...), ended: make(chan struct{}), started: time.Now()}
	p.command.Stdout, p.command.Stderr = output, output
	// A Ctrl-C for the campaign is not for them: it ends them itself, in its order.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() { // kill waits for it
		defer close(p.ended)
		_ = p.command.Wait() // how it ended is in ProcessState
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) { _ = p.command.Process.Signal(s) }

// running says whether it has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends it without a word. It reports whether it was still running.
func (p *process) kill() bool {
	if p == nil {
		return false
	}
	running := p.running()
	p.signal(syscall.SIGKILL)
	<-p.ended
	return running
}

var errNoEnd = errors.New("did not end in time")

// stop tells it to stop and waits for its end, which must be a good one.
func (p *process) stop(limit time.Duration) error {
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.kill()
		return errNoEnd
	}
	return p.endedWell()
}

// endedWell says what was wrong with the end of a process that has ended by itself.
func (p *process) endedWell() error {
	if state := p.command.ProcessState; !state.Success() {
		return fmt.Errorf("ended with %s", state)
	}
	return nil
}
