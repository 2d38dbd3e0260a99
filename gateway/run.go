package gateway

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"belfry/buffer"
)

// Options are the parts of a gateway. They are opened and closed by the caller.
type Options struct {
	Normaliser *Normaliser
	Sources    []Source
	Sink       Sink
	Buffer     *buffer.Buffer
	Log        *slog.Logger
	Version    string
	Tasks      []Task // what else runs as long as the gateway does: the status server
	// ObserveHeld hears how long each batch took from the source to the disk. May be nil.
	ObserveHeld func(time.Duration)
	// StuckAfter is how long a part may stand still before Stuck says so; 2 minutes. Tests have less patience.
	StuckAfter time.Duration
}

// Task is something that runs until ctx is done; it is run again when it fails.
type Task struct {
	Name string
	Run  func(ctx context.Context, ready func(error)) error // ready as in Source.Run
}

// Gateway runs sources, buffer and sink together.
type Gateway struct {
	Options
	health     health
	intakes    map[string]*intake // by source; written only by New
	rejections limiter
	began      time.Time     // written by Run before started is closed
	started    chan struct{} // closed when every task was started

	mu      sync.Mutex
	running []string // tasks that have not ended, guarded by mu
}

// New returns a gateway; it does no I/O.
func New(options Options) *Gateway {
	g := &Gateway{Options: options, health: health{log: options.Log}, intakes: map[string]*intake{}, started: make(chan struct{})}
	for _, source := range g.Sources {
		g.intakes[source.Name()] = &intake{}
	}
	return g
}

type task struct {
	name string
	run  func(ctx context.Context) error
}

// tasks lists everything that runs as long as the gateway does.
func (g *Gateway) tasks() []task {
	var tasks []task
	add := func(name string, run func(ctx context.Context, ready func(error)) error) {
		tasks = append(tasks, task{name, func(ctx context.Context) error {
			return run(ctx, func(err error) { g.health.set(name, err) })
		}})
	}
	for _, source := range g.Sources {
		add("source "+source.Name(), func(ctx context.Context, ready func(error)) error {
			return source.Run(ctx, g.emit(source.Name()), ready)
		})
	}
	add("nats", func(ctx context.Context, ready func(error)) error {
		return g.Sink.Run(ctx, g.Buffer, ready)
	})
	for _, t := range g.Tasks {
		add(t.Name, t.Run)
	}
	return tasks
}

// Run starts every task and waits for all of them. It returns when ctx is done; what was acknowledged to sources is on
// disk. It is called once.
func (g *Gateway) Run(ctx context.Context) error {
	g.announce(ctx)
	tasks := g.tasks()
	for _, t := range tasks {
		g.health.expect(t.name)
		g.begins(t.name)
	}
	g.began = time.Now()
	var starting, running sync.WaitGroup
	starting.Add(len(tasks))
	for _, t := range tasks {
		running.Go(func() {
			starting.Done()
			g.supervise(ctx, t)
			g.ended(t.name)
		})
	}
	starting.Wait()
	close(g.started)
	running.Wait()
	return nil
}

// Started is closed when every task was started, whether or not what it connects to is there.
func (g *Gateway) Started() <-chan struct{} { return g.started }

func (g *Gateway) begins(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = append(g.running, name)
}

func (g *Gateway) ended(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = slices.DeleteFunc(g.running, func(other string) bool { return other == name })
}

// Running lists the tasks that have not ended, for those who do not want to wait for Run any longer.
func (g *Gateway) Running() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.running)
}

// announce appends the notice that the gateway started. It does not wait for the disk: sources connect meanwhile.
func (g *Gateway) announce(ctx context.Context) {
	lost := func(_ buffer.Outcome, err error) {
		if err != nil {
			g.Log.Warn("notice of the start is lost", "err", err)
		}
	}
	notice := g.Normaliser.Started(g.Version, time.Now())
	group := buffer.Group{Build: func(tx *buffer.Tx) error {
		tx.Append(buffer.Urgent, notice)
		return nil
	}}
	if err := g.Buffer.Append(ctx, []buffer.Group{group}, lost); err != nil {
		lost(buffer.Outcome{}, err)
	}
}

func (g *Gateway) observeHeld(took time.Duration) {
	if g.ObserveHeld != nil {
		g.ObserveHeld(took)
	}
}

// Conditions tells how each source and the sink are.
func (g *Gateway) Conditions() []Condition { return g.health.all() }

// Intake returns the counters of each source, by its name.
func (g *Gateway) Intake() map[string]Intake {
	all := make(map[string]Intake, len(g.intakes))
	for name, counts := range g.intakes {
		all[name] = counts.snapshot()
	}
	return all
}

// SourceCounters returns each source's own counters, by its name.
func (g *Gateway) SourceCounters() map[string]map[string]uint64 {
	all := map[string]map[string]uint64{}
	for _, source := range g.Sources {
		all[source.Name()] = source.Counters()
	}
	return all
}

// SinkCounters returns the sink's own counters.
func (g *Gateway) SinkCounters() map[string]uint64 { return g.Sink.Counters() }

// BufferStats returns the state of the buffer.
func (g *Gateway) BufferStats() buffer.Stats { return g.Buffer.Stats() }
