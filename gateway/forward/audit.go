package forward

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	goodDuplicates  = 30 * time.Minute
	leastDuplicates = 2 * time.Minute
)

// look returns the stream as it is, making it when it is missing and create is set. It never changes one.
func (o Options) look(ctx context.Context, js jetstream.JetStream) (*jetstream.StreamInfo, error) {
	stream, err := js.Stream(ctx, o.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) && o.Create {
		stream, err = js.CreateStream(ctx, o.newStream())
	}
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

func (o Options) newStream() jetstream.StreamConfig {
	config := jetstream.StreamConfig{
		Name:        o.Stream,
		Description: "events of the town's sensors, made by Belfry",
		Subjects:    []string{o.Prefix + ".>"},
		Storage:     jetstream.FileStorage,
		Replicas:    o.Replicas,
		Discard:     jetstream.DiscardNew,
		MaxAge:      o.MaxAge,
		MaxBytes:    -1,
		Duplicates:  goodDuplicates,
		AllowDirect: true,
	}
	if o.Storage == "memory" {
		config.Storage = jetstream.MemoryStorage
	}
	if o.MaxSize > 0 {
		config.MaxBytes = o.MaxSize
	}
	if o.MaxAge > 0 { // the server wants the window to be no longer than the age
		config.Duplicates = min(config.Duplicates, o.MaxAge)
	}
	return config
}

func (o Options) streamProblem(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("nats.stream: no stream %q (run: nats stream add %s --subjects '%s.>' --storage file --discard new --dupe-window 30m --defaults; or set nats.create: true)", o.Stream, o.Stream, o.Prefix)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("nats.servers: JetStream is not enabled or not ready: %w", err)
	}
	return fmt.Errorf("nats.stream: stream %q: %w", o.Stream, err)
}

// finding is something in a stream's settings that is not as it should be, with its fix.
type finding struct {
	text   string
	unsafe bool // it can lose or double events
}

// audit lists what in a stream's settings keeps events out, loses or doubles them.
func (o Options) audit(c jetstream.StreamConfig) []finding {
	var findings []finding
	find := func(bad, unsafe bool, format string, args ...any) {
		if bad {
			findings = append(findings, finding{fmt.Sprintf(format, args...), unsafe})
		}
	}
	const unsafe, safe = true, false
	edit := "nats stream edit " + o.Stream
	all := o.Prefix + ".>"
	find(!covers(c.Subjects, all), safe, "takes %s, not all of %s (%s --subjects '%s')", strings.Join(c.Subjects, ", "), all, edit, all)
	find(c.Storage != jetstream.FileStorage, unsafe, "is kept in memory: a restart of the server loses it (storage cannot be edited: make a new stream with --storage file)")
	find(c.PersistMode == jetstream.AsyncPersistMode, unsafe, "acknowledges what is not written yet (persist_mode cannot be edited: make a new stream without async)")
	find(c.Discard != jetstream.DiscardNew, unsafe, "drops its oldest messages when it is full, unseen (%s --discard new)", edit)
	find(c.Duplicates < leastDuplicates, unsafe, "recognises duplicates for %s only (%s --dupe-window 30m)", c.Duplicates, edit)
	find(c.Replicas < 2, unsafe, "has one replica: what the server acknowledged in its last two minutes may be lost with its power (sync_interval: always, or %s --replicas 3 in a cluster)", edit)
	find(c.NoAck, unsafe, "acknowledges nothing, so nothing can be forwarded safely (%s --ack)", edit)
	find(c.MaxMsgSize > 0 && c.MaxMsgSize < leastMsgSize, safe, "takes no message above %d bytes; larger ones go to quarantine (%s --max-msg-size=-1)", c.MaxMsgSize, edit)
	find(c.Retention != jetstream.LimitsPolicy, unsafe, "removes messages once they are consumed: after a lost acknowledgement only the duplicate window tells what is stored (a limits stream that sources into this one avoids it)")
	find(c.Sealed, safe, "is sealed and takes nothing more (name another in nats.stream)")
	find(c.Mirror != nil, safe, "is a mirror, which takes nothing from us (name its origin in nats.stream)")
	find(c.SubjectTransform != nil, unsafe, "renames subjects, so that messages cannot be asked for under the names they were published under (remove the transform)")
	return findings
}

// tooUnsafe says why nothing may be published with these findings, nil when something may.
func (o Options) tooUnsafe(findings []finding) error {
	if !o.Strict {
		return nil
	}
	var texts []string
	for _, finding := range findings {
		if finding.unsafe {
			texts = append(texts, finding.text)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return fmt.Errorf("nats.strict: nothing is published to stream %q, which %s", o.Stream, strings.Join(texts, "; which "))
}

func infoSubject(stream string) string { return jetstream.DefaultAPIPrefix + "STREAM.INFO." + stream }

// leastMsgSize is what an event with all its parts may need.
const leastMsgSize = 64 << 10

// covers says whether one of the patterns takes everything below prefix, given as "prefix.>".
func covers(patterns []string, all string) bool {
	want := strings.Split(all, ".")
	for _, pattern := range patterns {
		have := strings.Split(pattern, ".")
		for i := 0; i < len(have) && i < len(want); i++ {
			if have[i] == ">" {
				return true
			}
			if have[i] != want[i] && have[i] != "*" || want[i] == ">" {
				break
			}
		}
	}
	return false
}
