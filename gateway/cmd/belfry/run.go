package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/config"
	"belfry/gateway/forward"
	"belfry/gateway/status"
)

type runCommand struct {
	folder
}

// Run runs the gateway until the program is told to stop.
func (c runCommand) Run(p program) error {
	limits := limitsOf(p.ctx)
	parts, err := openInTime(c.Config, p.stderr, limits)
	if errors.Is(err, errLate) {
		fmt.Fprintln(p.stderr, "belfry: stopped without waiting for the buffer to open")
		return nil
	}
	if err != nil {
		return err
	}
	parts.log.Info("started", "version", version, "config", c.Config, "sources", len(parts.gateway.Sources),
		"sensors", len(parts.config.Inventory.Sensors()))
	return parts.run(p.ctx, limits)
}

// parts is an opened gateway.
type parts struct {
	config  *config.Config
	gateway *gateway.Gateway
	log     *slog.Logger
	starts  starts
}

// open loads a configuration folder and opens everything that it names. Problems go to out, one a line.
func open(dir string, out io.Writer) (*parts, error) {
	logs := newLateHandler()
	loaded, problems := loadConfig(dir, slog.New(logs))
	if problems.Fatal() {
		for _, problem := range problems {
			fmt.Fprintln(out, problem)
		}
		return nil, fmt.Errorf("%s: not started because of %s (belfry check --config %s says the same)", dir, counted(len(problems), "problem"), dir)
	}
	log := newLog(loaded.Log, out)
	logs.use(log.Handler())
	for _, problem := range problems {
		log.Error("configuration", "problem", problem.String())
	}
	return openParts(loaded, log)
}

func openParts(loaded *config.Config, log *slog.Logger) (*parts, error) {
	if err := buffer.CheckDir(loaded.Buffer.Dir); err != nil {
		return nil, fmt.Errorf("buffer.dir: %w", err)
	}
	key, err := eventKey(loaded.EventKeyFile, loaded.Buffer.Dir)
	if err != nil {
		return nil, notOurs(err, loaded.Buffer.Dir)
	}
	normaliser, err := newNormaliser(loaded, key)
	if err != nil {
		return nil, err
	}
	loaded.Buffer.Log, loaded.Buffer.Expired, loaded.Buffer.Lost = log, normaliser.Expired, normaliser.Lost
	loaded.Buffer.Died = died(log)
	starts, looping := noteStart(loaded.Buffer.Dir)
	if loaded.Buffer.Safe = looping; looping {
		log.Warn("safe mode: started again and again within minutes; all of the buffer is checked, what is suspect is put aside")
	}
	store, err := buffer.Open(loaded.Buffer)
	if err != nil {
		if errors.Is(err, buffer.ErrLocked) {
			starts.forget()
		}
		return nil, fmt.Errorf("buffer.dir: %w", notOurs(err, loaded.Buffer.Dir))
	}
	loaded.Network.Restore(store)
	loaded.NATS.Log = log
	sink, err := forward.New(loaded.NATS)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	server := status.New(loaded.Status.Listen, version)
	g := gateway.New(gateway.Options{
		Normaliser: normaliser, Sources: loaded.Sources, Sink: sink, Buffer: store, Log: log, Version: version,
		Tasks: []gateway.Task{{Name: "status", Run: server.Run}}, ObserveHeld: server.ObserveHeld,
	})
	server.Show(g)
	g.Tasks = append(g.Tasks, notifyTasks(g, log)...)
	g.Tasks = append(g.Tasks, controlTask(g, loaded.Network, loaded.Buffer.Dir))
	return &parts{config: loaded, gateway: g, log: log, starts: starts}, nil
}

// notOurs adds what helps when a run as another user left files that this one may not open.
func notOurs(err error, dir string) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w (chown -R %d %s)", err, os.Geteuid(), dir)
}

// close commits and closes the buffer.
func (p *parts) close() error {
	if err := p.gateway.Buffer.Close(); err != nil {
		return fmt.Errorf("close buffer: %w", err)
	}
	stats := p.gateway.BufferStats()
	p.log.Info("stopped", "pending", stats.Pending[0]+stats.Pending[1], "quarantined", stats.Quarantined)
	return nil
}

func newNormaliser(loaded *config.Config, key []byte) (*gateway.Normaliser, error) {
	return gateway.NewNormaliser(gateway.NormaliserOptions{
		Gateway: loaded.Gateway, Town: gateway.Town(loaded.Town), Prefix: loaded.Prefix, Inventory: loaded.Inventory, EventKey: key,
	})
}
