// Package forward publishes what the store holds to one JetStream stream: each record once, in order per subject,
// whatever the connection, the server and the process do meanwhile.
package forward

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync/atomic"
	"time"

	"belfry/gateway"
)

// NATS forwards to a JetStream stream.
type NATS struct {
	options Options
	born    time.Time
	alive   atomic.Int64 // when the loop last turned, since born
	buffer  string       // names the numbering of Belfry-Sequence in a header, see bufferName
	log     *slog.Logger

	patience  patience                // shorter in tests only
	reconnect func(int) time.Duration // likewise

	published, rejected, retries, reconnects, conflicts, refused, asked atomic.Uint64
	resolvedStored, resolvedMissing, inFlight, readErrors, rewound      atomic.Uint64
	inFlightBytes, windowBytes, rateLimited                             atomic.Uint64
	verified, lost, removed, recreated                                  atomic.Uint64
}

var (
	_ gateway.Sink  = (*NATS)(nil)
	_ gateway.Pulse = (*NATS)(nil)
)

// New returns a sink for checked options. It does no I/O.
func New(o Options) (*NATS, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return &NATS{
		options: o, born: time.Now(), buffer: bufferName(o.ClientName), log: o.Log,
		patience: defaultPatience(), reconnect: reconnectDelay,
	}, nil
}

// bufferName tells our own messages on a stream from those of other gateways without naming the building.
func bufferName(clientName string) string {
	sum := sha256.Sum256([]byte("belfry buffer\x00" + clientName))
	return hex.EncodeToString(sum[:4])
}

// Run forwards what the store holds until ctx is done. It never gives up.
func (n *NATS) Run(ctx context.Context, store gateway.Store, ready func(error)) error {
	f := newForwarder(n, store, ready)
	f.run(ctx)
	return nil
}

// Alive implements gateway.Pulse.
func (n *NATS) Alive() time.Time { return n.born.Add(time.Duration(n.alive.Load())) }

// Counters are totals since the start; in_flight, in_flight_bytes and window_bytes (how many bytes may be in flight) are
// as of now.
func (n *NATS) Counters() map[string]uint64 {
	return map[string]uint64{
		"published":                n.published.Load(),
		"rejected":                 n.rejected.Load(),
		"retries":                  n.retries.Load(),
		"refused":                  n.refused.Load(),
		"conflicts":                n.conflicts.Load(),
		"asked":                    n.asked.Load(),
		"unknown_resolved_stored":  n.resolvedStored.Load(),
		"unknown_resolved_missing": n.resolvedMissing.Load(),
		"reconnects":               n.reconnects.Load(),
		"held_checked_again":       n.rewound.Load(),
		"read_errors":              n.readErrors.Load(),
		"in_flight":                n.inFlight.Load(),
		"in_flight_bytes":          n.inFlightBytes.Load(),
		"window_bytes":             n.windowBytes.Load(),
		"rate_limited_ms":          n.rateLimited.Load(),
		"verified":                 n.verified.Load(),
		"verified_loss":            n.lost.Load(),
		"verified_removed":         n.removed.Load(),
		"verified_recreated":       n.recreated.Load(),
	}
}
