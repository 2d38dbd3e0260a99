package codechost

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync/atomic"
	"time"

	"belfry/decoders/codec"
)

// ErrKilled says that the child did not answer in time and was killed. It is a codec.ErrTime in the same words: whether the
// engine could be interrupted is nothing for who reads them.
var ErrKilled error = killedError{}

type killedError struct{}

func (killedError) Error() string { return codec.ErrTime.Error() }
func (killedError) Unwrap() error { return codec.ErrTime }

// ErrDied says that the child died by itself, of the memory that the codec wanted most likely.
var ErrDied = errors.New("the codec ended its process, by using too much memory most likely")

const (
	grace     = 50 * time.Millisecond // beyond a call's limit, at which the child itself interrupts it
	startTime = 5 * time.Second       // for a child to start and load a codec
)

// host is one child process. It is used by one goroutine at a time.
type host struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	loaded  map[string]bool // codecs, by hash
}

// begin starts a child.
func begin(program []string) (*host, error) {
	h := &host{command: exec.Command(program[0], program[1:]...), loaded: map[string]bool{}}
	h.command.Env, h.command.Dir = []string{}, "/"
	isolate(h.command)
	in, err := h.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := h.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.in, h.out = in, bufio.NewReader(out)
	if err := h.command.Start(); err != nil {
		return nil, fmt.Errorf("start a process for codecs: %w", err)
	}
	return h, nil
}

// ask sends a request and waits for the response, for so long. After an error the host is dead and reaped.
func (h *host) ask(r *request, within time.Duration) (*response, error) {
	var late atomic.Bool
	timer := time.AfterFunc(within, func() {
		late.Store(true)
		_ = h.command.Process.Kill()
	})
	var answer response
	err := writeMessage(h.in, r)
	if err == nil {
		err = readMessage(h.out, &answer)
	}
	timer.Stop()
	if err == nil && !late.Load() {
		return &answer, nil
	}
	h.end()
	if late.Load() {
		return nil, ErrKilled
	}
	return nil, ErrDied
}

// end kills the child and waits for it.
func (h *host) end() {
	_ = h.command.Process.Kill()
	_ = h.in.Close()
	_ = h.command.Wait()
}
