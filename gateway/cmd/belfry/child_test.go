package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/codechost"
)

// childMode makes the test binary a gateway of which a part misbehaves after SIGUSR1.
const childMode = "BELFRY_TEST_CHILD"

const (
	childWriterHangs   = "writer-hangs"
	childForwardHangs  = "forward-hangs"
	childForwardPanics = "forward-panics"
	childWriterPanics  = "writer-panics"
	childSlowCommit    = "slow-commit"

	slowCommitDone = "the slow commit is done"
	payload        = "the reading of flat 12"

	// childPatience takes the place of two minutes. Forwarding turns every 5 s.
	childPatience = 7 * time.Second
	slowCommit    = 6 * time.Second
)

func init() { // before the test binary reads its flags
	if len(os.Args) > 1 && os.Args[1] == codecHostName {
		if err := codechost.Serve(os.Stdin, os.Stdout); err != nil {
			os.Exit(exitFailed)
		}
		os.Exit(0)
	}
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(runChild(mode, os.Args[1]))
	}
}

func (w *town) child(mode string, environment ...string) *gatewayProcess {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	return w.launch(exec.Command(self, w.dir), append(environment, childMode+"="+mode)...)
}

func runChild(mode, dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	limits := limitsOf(ctx)
	parts, err := openInTime(dir, os.Stderr, limits)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	parts.gateway.StuckAfter = childPatience
	m := &misbehaviour{mode: mode, gateway: parts.gateway}
	parts.gateway.Sink = misbehavingSink{parts.gateway.Sink, m}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	go func() { // ends with the process
		<-told
		m.begin()
	}()
	if err := parts.run(ctx, limits); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return 0
}

// misbehaviour reaches into the real writer and the real forwarder through what they call.
type misbehaviour struct {
	mode    string
	gateway *gateway.Gateway
	reads   atomic.Bool // misbehave at the next Read of the sink
}

func (m *misbehaviour) begin() {
	build, done := func(*buffer.Tx) error { return nil }, func(buffer.Outcome, error) {}
	switch m.mode {
	case childWriterHangs:
		build = func(*buffer.Tx) error { select {} }
	case childSlowCommit:
		build = func(*buffer.Tx) error {
			time.Sleep(slowCommit)
			return nil
		}
		done = func(buffer.Outcome, error) { fmt.Fprintln(os.Stderr, slowCommitDone) }
	case childWriterPanics:
		done = func(buffer.Outcome, error) { panic(errors.New(payload)) }
	default:
		m.reads.Store(true)
		build = func(tx *buffer.Tx) error { // something to read
			tx.Append(buffer.Urgent, []byte("not a record of this program"))
			return nil
		}
	}
	if err := m.gateway.Buffer.Append(context.Background(), []buffer.Group{{Build: build}}, done); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// misbehavingSink is the real sink on a store that misbehaves.
type misbehavingSink struct {
	gateway.Sink
	*misbehaviour
}

func (s misbehavingSink) Alive() time.Time { return s.Sink.(gateway.Pulse).Alive() }

func (s misbehavingSink) Run(ctx context.Context, store gateway.Store, ready func(error)) error {
	return s.Sink.Run(ctx, misbehavingStore{store, s.misbehaviour}, ready)
}

type misbehavingStore struct {
	gateway.Store
	*misbehaviour
}

func (s misbehavingStore) Read(lane buffer.Lane, from buffer.Seq, limit int) ([]buffer.Record, error) {
	if s.reads.CompareAndSwap(true, false) {
		if s.mode == childForwardPanics {
			panic(errors.New(payload))
		}
		select {}
	}
	return s.Store.Read(lane, from, limit)
}
