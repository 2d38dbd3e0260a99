package source

import (
	"bytes"
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"belfry/gateway"
	"belfry/gateway/lorawan"
	"belfry/gateway/lorawan/station"
)

const (
	stationHeaderTimeout = 5 * time.Second        // for a request, and for a discovery
	maxStationHeader     = 8 << 10                // bytes
	stationGoodbye       = 200 * time.Millisecond // that the end of a run leaves connections
)

// stationRun is one Run of a basicStation.
type stationRun struct {
	*basicStation
	ctx    context.Context // of the run: connections have no other
	config *station.RouterConfig
	region *lorawan.Region
	feed   interface {
		Receive(receptions []lorawan.Reception, done func(error)) bool
	}
	secure bool

	connections sync.WaitGroup // each until it is closed and nothing works on it
}

// Run implements gateway.Source. The feed goes on until no connection can bring more, so that what was taken is held.
func (s *basicStation) Run(parent context.Context, emit gateway.Emit, ready func(error)) error {
	if s.env.Network == nil {
		return errNoNetwork
	}
	config, err := station.NewRouterConfig(s.env.Network.Region())
	if err != nil {
		return s.optionError("kind", err)
	}
	listener, encryption, err := s.listen(parent)
	if err != nil {
		if parent.Err() != nil {
			return nil
		}
		return err
	}
	ctx, end := context.WithCancelCause(parent)
	defer end(nil)
	feeding, stop := context.WithCancel(context.WithoutCancel(parent))
	defer stop()
	feed := s.env.Network.NewFeed(lorawan.FeedOptions{Source: s.env.Name, Emit: emit, Downlink: s.options.Downlink, Count: s.count})
	run := &stationRun{
		basicStation: s, ctx: ctx, config: config, region: s.env.Network.Region(), feed: feed, secure: encryption != nil,
	}
	var running sync.WaitGroup
	running.Go(func() { end(runFeed(feeding, feed)) })
	server := run.server()
	running.Go(func() { end(server.Serve(encrypted(listener, encryption))) })
	ready(nil)
	<-ctx.Done()
	force := time.AfterFunc(stationGoodbye, listener.closeAll)
	_ = server.Close() // what it could say is that the listener is closed
	run.connections.Wait()
	force.Stop()
	stop()
	running.Wait()
	if parent.Err() != nil {
		return nil
	}
	err = context.Cause(ctx)
	ready(err)
	return err
}

// runFeed says why the feed ended.
func runFeed(ctx context.Context, feed *lorawan.Feed) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = gateway.NewFault(cause)
		}
	}()
	return feed.Run(ctx)
}

func encrypted(listener net.Listener, config *tls.Config) net.Listener {
	if config == nil {
		return listener
	}
	return tls.NewListener(listener, config)
}

func (r *stationRun) server() *http.Server {
	server := &http.Server{
		Handler: r, ReadHeaderTimeout: stationHeaderTimeout, WriteTimeout: stationHeaderTimeout, IdleTimeout: stationHeaderTimeout,
		MaxHeaderBytes: maxStationHeader, ConnState: r.follow, ErrorLog: log.New(complaints{r}, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	return server
}

// follow counts connections until they are closed or in the hands of ServeHTTP.
func (r *stationRun) follow(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		r.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		r.connections.Done()
	}
}

// complaints takes what the HTTP server wants to log: mostly TLS handshakes that failed.
type complaints struct{ *stationRun }

// Write implements io.Writer.
func (c complaints) Write(line []byte) (int, error) {
	first, _, _ := bytes.Cut(line, []byte("\n"))
	if bytes.Contains(first, []byte("TLS")) {
		c.count("refused_tls")
	}
	c.log.write(slog.LevelWarn, "http", "a connection of a station failed", "err", string(first[:min(len(first), maxComplaint)]))
	return len(line), nil
}

const maxComplaint = 200 // bytes
