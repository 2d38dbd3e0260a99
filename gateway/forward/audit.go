package forward

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
)

const (
	auditTimeout    = 5 * time.Second
	firstStreamWait = 500 * time.Millisecond
	maxStreamWait   = 15 * time.Second
	goodDuplicates  = 30 * time.Minute
	leastDuplicates = 2 * time.Minute
)

// streamState is what the forwarder knows of its stream.
type streamState struct {
	prepared bool // looked at since the connection is up; only then is anything published
	busy     bool
	wait     time.Duration
	retryAt  time.Time
	problem  error  // why it is not prepared
	told     string // findings that are in the log already
}

// doubt looks at the stream again after a refusal that says it may be gone.
func (s *streamState) doubt(err error) {
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		s.prepared = false
	}
}

// prepare looks at the stream once the connection is up, and makes it where that is asked for.
func (f *forwarder) prepare() {
	if !f.connection.up || f.stream.prepared || f.stream.busy || f.stream.retryAt.After(f.now) {
		return
	}
	f.stream.busy = true
	s, up, line := f.connection.session, f.connection.ups, f.connection.line
	first, marks := f.tail.created.IsZero(), [2]buffer.Seq{f.lanes[0].told, f.lanes[1].told}
	highest, id := f.tail.highest, f.tail.id
	f.tasks.start(func(context.Context) func() {
		ctx, cancel := context.WithTimeout(line, auditTimeout)
		defer cancel()
		info, err := f.options.look(ctx, s.js)
		lost := err == nil && (first && f.tailLost(ctx, s.nc, marks) || highest > 0 && f.replaced(ctx, s.nc, highest, id))
		return func() { f.looked(up, info, lost, err) }
	})
}

func (f *forwarder) looked(up int, info *jetstream.StreamInfo, lost bool, err error) {
	if !f.connection.up || f.connection.ups != up {
		return
	}
	f.stream.busy = false
	if f.stream.prepared {
		return
	}
	var findings []string
	switch {
	case err == nil:
		findings = f.options.audit(info.Config)
		f.verify(info, lost)
	case errors.Is(err, nats.ErrTimeout): // from complained: no permission to ask
		findings = []string{fmt.Sprintf("no answer about stream %q, so its settings are not checked (let this user publish to %s)",
			f.options.Stream, infoSubject(f.options.Stream))}
	default:
		f.stream.wait = min(max(2*f.stream.wait, firstStreamWait), maxStreamWait)
		f.stream.retryAt = f.now.Add(jitter(f.stream.wait))
		f.stream.problem = f.options.streamProblem(err)
		return
	}
	f.stream.prepared, f.stream.problem, f.stream.wait = true, nil, 0
	if told := strings.Join(findings, "\n"); told != f.stream.told {
		f.stream.told = told
		for _, finding := range findings {
			f.log.Warn("stream audit", "stream", f.options.Stream, "finding", finding)
		}
	}
}

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

// audit lists what in a stream's settings can lose or double events, each with its fix.
func (o Options) audit(c jetstream.StreamConfig) []string {
	var findings []string
	find := func(bad bool, format string, args ...any) {
		if bad {
			findings = append(findings, fmt.Sprintf(format, args...))
		}
	}
	edit := "nats stream edit " + o.Stream
	all := o.Prefix + ".>"
	find(!covers(c.Subjects, all), "takes %s, not all of %s (%s --subjects '%s')", strings.Join(c.Subjects, ", "), all, edit, all)
	find(c.Storage != jetstream.FileStorage, "is kept in memory: a restart of the server loses it (storage cannot be edited: make a new stream with --storage file)")
	find(c.Discard != jetstream.DiscardNew, "drops its oldest messages when it is full, unseen (%s --discard new)", edit)
	find(c.Duplicates < leastDuplicates, "recognises duplicates for %s only (%s --dupe-window 30m)", c.Duplicates, edit)
	find(c.Replicas < 2, "has one replica: what the server acknowledged in its last two minutes may be lost with its power (sync_interval: always, or %s --replicas 3 in a cluster)", edit)
	find(c.NoAck, "acknowledges nothing, so nothing can be forwarded safely (%s --ack)", edit)
	find(c.MaxMsgSize > 0 && c.MaxMsgSize < leastMsgSize, "takes no message above %d bytes; larger ones go to quarantine (%s --max-msg-size=-1)", c.MaxMsgSize, edit)
	find(c.Retention != jetstream.LimitsPolicy, "removes messages once they are consumed: after a lost acknowledgement only the duplicate window tells what is stored (a limits stream that sources into this one avoids it)")
	find(c.Sealed, "is sealed and takes nothing more (name another in nats.stream)")
	find(c.Mirror != nil, "is a mirror, which takes nothing from us (name its origin in nats.stream)")
	find(c.SubjectTransform != nil, "renames subjects, so that messages cannot be asked for under the names they were published under (remove the transform)")
	return findings
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
