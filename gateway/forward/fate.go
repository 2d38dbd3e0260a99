package forward

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Error codes of the server that package jetstream does not name.
const (
	codeStorage          jetstream.ErrorCode = 10023 // insufficient resources
	codeAccountLimits    jetstream.ErrorCode = 10002 // resource limits exceeded for account
	codeNoMemory         jetstream.ErrorCode = 10028
	codeNoStorage        jetstream.ErrorCode = 10047
	codeWrongStream      jetstream.ErrorCode = 10060
	codeStoreFailed      jetstream.ErrorCode = 10077 // full, with the reason in words
	codeHeaderTooLarge   jetstream.ErrorCode = 10097
	codeSealed           jetstream.ErrorCode = 10109
	codeDuplicateInWork  jetstream.ErrorCode = 10158 // another copy of the message is being stored
	codeExpectedNotReady jetstream.ErrorCode = 10163
)

// fate is what became of one publish.
type fate uint8

const (
	stored         fate = iota
	refusedForNow       // the server answered: not stored, try again
	refusedForEver      // not stored, and never will be
	conflict            // not stored: our idea of the subject's last message is wrong
	unknown             // may be stored, now or later
)

// answered says whether the server told the fate; then the client library is done with the message.
func (f fate) answered() bool { return f != unknown && f != refusedForEver }

func fateOf(err error) fate {
	if err == nil {
		return stored
	}
	if api := apiError(err); api != nil {
		switch api.ErrorCode {
		case jetstream.JSErrCodeStreamMessageExceedsMaximum, codeHeaderTooLarge:
			return refusedForEver
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant, codeExpectedNotReady:
			return conflict
		case codeDuplicateInWork:
			return unknown
		}
		return refusedForNow
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject):
		return refusedForEver
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrHeadersNotSupported):
		return refusedForNow
	}
	return unknown
}

func apiError(err error) *jetstream.APIError {
	if known, ok := errors.AsType[jetstream.JetStreamError](err); ok {
		return known.APIError()
	}
	api, _ := errors.AsType[*jetstream.APIError](err)
	return api
}

// sentence says for people what is wrong, beginning with the setting to look at.
func (f *forwarder) sentence(err error, subject string) error {
	stream := f.options.Stream
	if api := apiError(err); api != nil {
		switch api.ErrorCode {
		case codeStoreFailed:
			return fmt.Errorf("nats.stream: stream %q is full or cannot store (%s); records are kept here until there is room (nats stream edit %s --max-bytes or --max-msgs, or remove messages)", stream, api.Description, stream)
		case codeStorage, codeAccountLimits, codeNoMemory, codeNoStorage:
			return fmt.Errorf("nats.stream: the server has no storage left for stream %q (%s); records are kept here until there is room", stream, api.Description)
		case codeWrongStream:
			return fmt.Errorf("nats.stream: another stream than %q takes subject %q; name that one, or give the subject to this one (nats stream ls --subjects)", stream, subject)
		case codeSealed:
			return fmt.Errorf("nats.stream: stream %q is sealed and takes nothing more; name another", stream)
		case jetstream.JSErrCodeStreamMessageExceedsMaximum, codeHeaderTooLarge:
			return fmt.Errorf("larger than stream %q takes (nats stream edit %s --max-msg-size)", stream, stream)
		}
		return fmt.Errorf("nats.stream: stream %q refused a message: %s (%d)", stream, api.Description, api.ErrorCode)
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("larger than the server's max_payload")
	case errors.Is(err, nats.ErrBadSubject):
		return fmt.Errorf("subject %q is not valid", subject)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("nats.stream: no stream takes subject %q, or JetStream is not ready", subject)
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		return fmt.Errorf("nats.servers: no acknowledgement within %s", ackTimeout)
	}
	return fmt.Errorf("nats.stream: %w", err)
}

// subjectFull says whether the stream has no room for the subject alone: max_msgs_per_subject with discard_new_per_subject.
func subjectFull(err error) bool {
	api := apiError(err)
	return api != nil && api.ErrorCode == codeStoreFailed && strings.Contains(api.Description, "per subject")
}

// kindOf is the same for errors that differ only in the subject.
func kindOf(err error) string {
	if api := apiError(err); api != nil {
		return strconv.Itoa(int(api.ErrorCode))
	}
	return err.Error()
}

// deniedTo takes the direction and the subject out of the server's permission error.
func deniedTo(err error) (direction, subject string, ok bool) {
	for _, direction := range []string{"Publish", "Subscription"} {
		if _, rest, found := strings.Cut(err.Error(), "Permissions Violation for "+direction+" to \""); found {
			subject, _, ok = strings.Cut(rest, "\"")
			return direction, subject, ok
		}
	}
	return "", "", false
}

const (
	conflictWait    = 100 * time.Millisecond
	maxConflictWait = 2 * time.Second
)
