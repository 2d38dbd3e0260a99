package forward

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestRefusalsAreToldApart holds what each answer of a server means for the record; wrong, it would lose or double it.
func TestRefusalsAreToldApart(t *testing.T) {
	api := func(code jetstream.ErrorCode) error {
		return fmt.Errorf("publish: %w", &jetstream.APIError{Code: 400, ErrorCode: code})
	}
	tests := []struct {
		name string
		err  error
		want fate
	}{
		{"acknowledged", nil, stored},
		{"F64: stream full", api(10077), refusedForNow},
		{"F65: server storage full", api(10023), refusedForNow},
		{"F66: over max_payload", nats.ErrMaxPayload, refusedForEver},
		{"F67: over max_msg_size", api(10054), refusedForEver},
		{"F68: no stream on the subject", jetstream.ErrNoStreamResponse, refusedForNow},
		{"F72: timed out", jetstream.ErrAsyncPublishTimeout, unknown},
		{"F73: a copy is being stored", api(10158), unknown},
		{"F79: another stream", api(10060), refusedForNow},
		{"somebody else was first", api(10071), conflict},
		{"connection lost", nats.ErrConnectionClosed, unknown},
		{"never heard of", api(19999), refusedForNow},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := fateOf(test.err); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}
