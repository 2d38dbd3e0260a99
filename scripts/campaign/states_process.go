package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	workTimeout  = 2 * time.Minute // for a workload
	checkTimeout = time.Minute     // for one state
)

// child is a process of this program and what it says.
type child struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan []byte // closed when it has ended
	ended chan struct{}
	said  tail
}

// tail keeps the beginning of what a process says on standard error: with a panic, its cause.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 2000 - t.text.Len(); room > 0 {
		t.text.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(t.text.String()), " ")
}

func startChild(c *campaign, name string, args ...string) (*child, error) {
	k := &child{cmd: exec.Command(c.self, append([]string{"child", name}, args...)...), lines: make(chan []byte, 100), ended: make(chan struct{})}
	k.cmd.Stderr = &k.said
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if k.in, err = k.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := k.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // end waits for it
		defer close(k.ended)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			k.lines <- bytes.Clone(scanner.Bytes())
		}
		_ = k.cmd.Wait() // how it ended is in ProcessState
		close(k.lines)
	}()
	return k, nil
}

// end closes the input of the process, or kills it, and waits until it is gone.
func (k *child) end(kill bool) {
	if kill {
		_ = k.cmd.Process.Kill() // it may have ended by itself
	}
	_ = k.in.Close()
	limit := time.AfterFunc(checkTimeout, func() { _ = k.cmd.Process.Kill() })
	defer limit.Stop()
	for range k.lines { // until it is closed
	}
	<-k.ended
}

// line waits for the next line.
func (k *child) line(ctx context.Context, timeout time.Duration) ([]byte, error) {
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	select {
	case line, ok := <-k.lines:
		if !ok {
			return nil, fmt.Errorf("process ended: %v: %v", k.cmd.ProcessState, &k.said)
		}
		return line, nil
	case <-limit.C:
		return nil, fmt.Errorf("nothing after %v", timeout)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inspector does jobs in a process, and in a new one when that dies.
type inspector struct {
	campaign *campaign
	child    *child
}

func (k *inspector) close() {
	if k.child != nil {
		k.child.end(true)
		k.child = nil
	}
}

// do has a job done and adds what is found; name says of what the states are.
func (k *inspector) do(ctx context.Context, j job, name string, r *result) error {
	for {
		if k.child == nil {
			var err error
			if k.child, err = startChild(k.campaign, "check"); err != nil {
				return err
			}
		}
		if err := json.NewEncoder(k.child.in).Encode(j); err != nil {
			return fmt.Errorf("checker: %w: %v", err, &k.child.said)
		}
		began, err := k.listen(ctx, name, r)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		k.close()
		if errors.Is(err, errEnough) {
			return nil
		}
		if len(began) == 0 || len(began) >= len(j.States) {
			return err
		}
		j.States = j.others(began)
	}
}

// others returns the states that were not looked at.
func (j *job) others(began map[int]bool) (left []int) {
	for _, number := range j.States {
		if !began[number] {
			left = append(left, number)
		}
	}
	return left
}

var (
	errDied   = errors.New("checker died")
	errEnough = errors.New("enough was found")
)

// listen takes the answers to one job. An error says that the checker is of no use any more; if it looked at a state
// then, that is a finding.
func (k *inspector) listen(ctx context.Context, name string, r *result) (began map[int]bool, err error) {
	began = make(map[int]bool)
	var last answer
	for {
		line, err := k.child.line(ctx, checkTimeout)
		if err != nil && ctx.Err() == nil && len(began) > 0 {
			r.find(&r.unexplained, "%s: the process that opened it: %v", last.where(name), err)
			return began, errDied
		}
		if err != nil {
			return began, err
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return began, fmt.Errorf("checker says %q: %w", line, err)
		}
		switch {
		case a.Done && a.Err != "":
			return began, errors.New(a.Err)
		case a.Done:
			return began, nil
		case a.Finding == nil:
			began[a.State], last = true, a
			r.cases++
		case r.faults() >= enoughFound:
			return began, errEnough
		default:
			r.find(r.counter(a.Finding.Kind), "%s: %s: %s", a.where(name), a.Finding.Kind, a.Finding.Text)
		}
	}
}

func (a answer) where(name string) string {
	return fmt.Sprintf("%s, state %d, cut at %d (%s)", name, a.State, a.Cut, a.How)
}

func (r *result) counter(kind string) *int {
	switch kind {
	case "lost":
		return &r.lost
	case "twice":
		return &r.twice
	case "reordered":
		return &r.reordered
	default:
		return &r.unexplained
	}
}
