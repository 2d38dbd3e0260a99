package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"belfry/gateway"
)

func TestMessageOverWhichTheProgramStumblesIsKeptWithItsBytes(t *testing.T) {
	s := newSubscriber(Env{Name: "radio"}, Connection{}, endpoint{}, nil)
	s.interpret = func(*arrival, *gateway.Uplink) bool { panic("the reading of flat 12") }
	var uplink gateway.Uplink
	s.uplink(&arrival{Message: &delivered{topic: "a", payload: []byte("raw")}}, &uplink, sha256.New())
	if string(uplink.Raw) != "raw" || uplink.Fault == nil || strings.Contains(uplink.Fault.Error(), "flat 12") {
		t.Errorf("got %q with fault %v", uplink.Raw, uplink.Fault)
	}
}

func TestPanicOnAGoroutineOfARunEndsTheRun(t *testing.T) {
	ctx, end := context.WithCancelCause(t.Context())
	s := &session{end: end}
	func() {
		defer s.caught()
		panic("the reading of flat 12")
	}()
	fault := (*gateway.Fault)(nil)
	if err := context.Cause(ctx); !errors.As(err, &fault) || !strings.HasPrefix(fault.At, "belfry/gateway/source/panic_test.go:") {
		t.Errorf("the run goes on, or ended with %v", err)
	}
}
