package forward

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"belfry/buffer"
)

// subject is one NATS subject with records waiting. At most one of them is in flight, which is what keeps their order.
type subject struct {
	name  string
	queue fifo[*item] // waiting; the head may be in flight
	state state

	// sure says that last is the stream sequence of the newest message on the subject, as far as anyone told us; before
	// anything is published on a subject that we are not sure of, the stream is asked.
	sure bool
	last uint64
	// upTo is the newest of our own records that the stream was seen to hold, in lane upToLane.
	upTo     buffer.Seq
	upToLane buffer.Lane
	single   map[buffer.Seq]bool // records that it was seen to hold, whatever is before them

	conflicts    int   // publishes refused in a row because last was not the last
	problem      error // why the subject alone is refused, nil when it is not
	refusals     int   // of it in a row
	refusedSince time.Time
	givenUp      bool          // its records go to quarantine until one is taken
	tryAt        time.Time     // when one is tried again
	wait         time.Duration // how long it is parked for
	retryAt      time.Time
}

type state uint8

const (
	idle      state = iota // nothing waits, or the head waits for its turn in no list
	listed                 // in one of the forwarder's lists
	flying                 // its head is in flight
	asking                 // the stream is being asked
	parked                 // waits for retryAt
	rejecting              // its head is on its way to quarantine
)

// item is one record that is not yet dealt with.
type item struct {
	record  buffer.Record // Data is nil while the record is left on disk
	id      string
	body    []byte // aliases record.Data
	size    int    // counted against the lane's limit, 0 while left on disk
	before  *item  // in its lane
	after   *item
	subject *subject
	sent    bool // handed to the client at least once
}

func (s *subject) head() *item { return s.queue.peek() }

// checkSubject says why a subject must not be published; the server does not look.
func checkSubject(subject string) error {
	if subject == "" {
		return errors.New("no subject")
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" {
			return fmt.Errorf("subject %q has an empty token", subject)
		}
	}
	for i := range len(subject) {
		if c := subject[i]; c <= ' ' || c == 0x7f || c == '*' || c == '>' {
			return fmt.Errorf("subject %q has a wildcard, space or control character", subject)
		}
	}
	return nil
}
