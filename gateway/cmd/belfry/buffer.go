package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/config"
	"belfry/gateway/control"
	"belfry/gateway/secret"
)

type bufferCommand struct {
	Status     bufferStatusCommand `cmd:"" help:"Show what became of everything that came in, what waits, and the disk; exit code 1 when the sums are wrong."`
	List       bufferListCommand   `cmd:"" help:"List the records on disk, one a line."`
	Verify     bufferVerifyCommand `cmd:"" help:"Check every record on disk; exit code 1 when something is damaged."`
	Quarantine quarantineCommand   `cmd:"" help:"Look at messages that could not be decoded or published, decode them again, drop them."`
	Export     bufferExportCommand `cmd:"" help:"Print the records on disk as JSON, one a line: events, and the raw bytes of quarantined messages."`
}

// bufferFolder are the flags that say which buffer. The commands ask the gateway that runs on it, else they open it.
type bufferFolder struct {
	Config string `short:"c" placeholder:"DIR" help:"The configuration folder, which names that of the buffer (/etc/belfry)."`
	Dir    string `placeholder:"DIR" help:"The buffer's folder, of a copy for instance; no configuration is needed then."`
}

// patience is how long a gateway that starts or stops may neither answer nor leave the folder.
const patience = 3 * time.Second

// use calls f with the buffer. write says that f changes it.
func (c bufferFolder) use(p program, write bool, f func(control.Buffer) error) error {
	dir, loaded, err := c.locate(p.stderr)
	if err != nil {
		return err
	}
	for began := time.Now(); ; {
		err := c.attempt(p, dir, loaded, write, f)
		if !errors.Is(err, buffer.ErrLocked) {
			return quiet(err)
		}
		if time.Since(began) > patience {
			return fmt.Errorf("%w, which does not answer at %s: a gateway that is about to start or stop, or another version of it (try again; or stop it, and this works on the folder alone)",
				err, filepath.Join(dir, "control"))
		}
		select {
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// quiet takes it for the end, not for an error, that nobody reads the output any more.
func quiet(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// locate returns the buffer's folder, and the configuration if there is one.
func (c bufferFolder) locate(out io.Writer) (dir string, loaded *config.Config, err error) {
	if c.Config == "" && c.Dir != "" {
		return c.Dir, nil, nil
	}
	if c.Config == "" {
		c.Config = "/etc/belfry"
	}
	loaded, problems := loadConfig(c.Config, nil)
	if problems.Fatal() {
		for _, problem := range problems {
			fmt.Fprintln(out, problem)
		}
		return "", nil, fmt.Errorf("%s has %s (name the buffer's folder with --dir to do without it)", c.Config, counted(len(problems), "problem"))
	}
	if c.Dir != "" {
		loaded.Buffer.Dir = c.Dir
	}
	return loaded.Buffer.Dir, loaded, nil
}

// attempt calls f with the buffer of the gateway that runs, or with the folder's own.
func (c bufferFolder) attempt(p program, dir string, loaded *config.Config, write bool, f func(control.Buffer) error) error {
	client, err := control.Dial(p.ctx, dir)
	if err == nil {
		return errors.Join(f(client), client.Close())
	}
	if !errors.Is(err, control.ErrNobody) {
		return err
	}
	if err := hasBuffer(dir); err != nil {
		return err
	}
	folder, err := openFolder(p, dir, loaded, write)
	if err != nil {
		return err
	}
	return errors.Join(f(folder), folder.Store.Close())
}

var errNoBuffer = errors.New("no buffer")

// hasBuffer says when there is no buffer in a folder, so that none is made by looking.
func hasBuffer(dir string) error {
	_, err := os.Stat(filepath.Join(dir, "manifest"))
	if err == nil {
		return nil
	}
	if segments, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(segments) > 0 {
		return nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (run this as the user that runs belfry, or as root)", err)
	}
	return fmt.Errorf("%s has %w in it (belfry run makes it; buffer.dir in the configuration, or --dir, says where it is)", dir, errNoBuffer)
}

// openFolder opens the buffer in a folder that no gateway uses.
func openFolder(p program, dir string, loaded *config.Config, write bool) (*control.Folder, error) {
	folder := &control.Folder{Dir: dir, Limit: loaded != nil}
	options := buffer.Options{Dir: dir, ReadOnly: !write}
	if loaded != nil {
		options.MaxSize = loaded.Buffer.MaxSize
	}
	options.Log = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var normaliser *gateway.Normaliser
	if write {
		if err := checkOwner(dir); err != nil {
			return nil, err
		}
		keepAll(&options)
		var err error
		if normaliser, err = openNormaliser(dir, loaded); err != nil {
			return nil, err
		}
	}
	var err error
	if folder.Store, err = buffer.Open(options); err != nil {
		return nil, err
	}
	if normaliser != nil {
		folder.Retrier = &gateway.Retrier{Normaliser: normaliser, Sources: loaded.Sources, Buffer: folder.Store}
	}
	return folder, nil
}

// keepAll sets limits that nothing reaches: to give records up is the gateway's, which says so in a notice.
func keepAll(o *buffer.Options) {
	const ages = 100 * 365 * 24 * time.Hour
	if o.MaxSize > 0 {
		o.SegmentSize = min(32<<20, o.MaxSize/8)
	}
	o.MaxSize, o.QuarantineSize = math.MaxInt64/16, math.MaxInt64/16
	o.MaxAge, o.QuarantineAge = ages, ages
}

// openNormaliser returns what decodes again; nil without a configuration.
func openNormaliser(dir string, loaded *config.Config) (*gateway.Normaliser, error) {
	if loaded == nil {
		return nil, nil
	}
	key, err := secret.Read(eventKeyPath(loaded.EventKeyFile, dir))
	if err != nil {
		return nil, fmt.Errorf("the key that event ids are made with: %w (it belongs to the buffer: copy both, or set event_key)", err)
	}
	return newNormaliser(loaded, key)
}

// eachRecord calls f with every record that a query wants.
func eachRecord(ctx context.Context, b control.Buffer, q control.Query, limit int, f func(control.Record) error) error {
	if err := control.Each(ctx, b, q, limit, f); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// controlTask answers the buffer commands as long as the gateway runs.
func controlTask(g *gateway.Gateway, radio control.Radio, dir string) gateway.Task {
	folder := &control.Folder{Dir: dir, Store: g.Buffer, Retrier: g.Retrier(), Limit: true}
	return gateway.Task{Name: "control", Run: control.NewServer(folder, radio, version).Run}
}
