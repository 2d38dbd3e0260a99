// Package status tells how the gateway is: Prometheus metrics, health and readiness over HTTP on loopback.
package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/loopback"
)

// View is what the server shows; *gateway.Gateway documents it.
type View interface {
	Conditions() []gateway.Condition
	Intake() map[string]gateway.Intake
	SourceCounters() map[string]map[string]uint64
	SinkCounters() map[string]uint64
	BufferStats() buffer.Stats
	Stuck() error
}

const (
	maxConnections = 32
	maxStuck       = 30 * time.Second // a commit that fails for longer makes the process unhealthy
)

// Server answers /metrics, /healthz and /readyz.
type Server struct {
	listen   string
	view     View
	registry *prometheus.Registry
	held     prometheus.Histogram
}

// New returns a server for an address such as "127.0.0.1:9469". It does no I/O.
func New(listen, version string) *Server {
	s := &Server{listen: listen, registry: prometheus.NewRegistry()}
	s.held = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "belfry_held_seconds", Help: "Time from a source handing over a batch of uplinks until it was on disk.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "belfry_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	s.registry.MustRegister(s.held, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// ObserveHeld is the gateway's hook of that name.
func (s *Server) ObserveHeld(took time.Duration) { s.held.Observe(took.Seconds()) }

// Show sets what the server shows; it must be called once, before Run.
func (s *Server) Show(view View) {
	s.view = view
	s.registry.MustRegister(collector{view})
}

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context, ready func(error)) error {
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("status.listen: %w (if another program has the port, choose another)", err)
	}
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(io.Discard, "", 0), // whoever is refused notices; a panic would be logged with its value
	}
	stopped := context.AfterFunc(ctx, func() { server.Close() })
	defer stopped()
	ready(nil)
	if err := server.Serve(netutil.LimitListener(listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("status.listen: %w", err)
	}
	return nil
}

// Handler answers the server's paths, to requests for a loopback host only, so that no web page can read them by
// pointing a name of its own at this machine.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'")
		header.Set("X-Frame-Options", "DENY")
		header.Set("X-Content-Type-Options", "nosniff")
		if !local(r.Host) {
			http.Error(w, "ask for it by a loopback address", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// local says whether a request's host, with or without a port, is this machine.
func local(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return loopback.Is(host)
}

// healthz is about the process itself: it is 503 only when a restart could help.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := s.view.Stuck(); err != nil {
		answer(w, http.StatusServiceUnavailable, map[string]any{"healthy": false, "stuck": err.Error()})
		return
	}
	stats := s.view.BufferStats()
	if stats.Failing != nil && time.Since(stats.LastCommit) > maxStuck {
		answer(w, http.StatusServiceUnavailable, map[string]any{"healthy": false, "buffer": stats.Failing.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]any{"healthy": true})
}

// readyz is 200 when every part is connected and the buffer takes records; it always lists the parts.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	conditions := s.view.Conditions()
	code := http.StatusOK
	for _, condition := range conditions {
		if !condition.Ready {
			code = http.StatusServiceUnavailable
		}
	}
	store := map[string]any{"ready": true}
	if err := s.view.BufferStats().Failing; err != nil {
		code = http.StatusServiceUnavailable
		store = map[string]any{"ready": false, "error": err.Error()}
	}
	answer(w, code, map[string]any{"ready": code == http.StatusOK, "parts": conditions, "buffer": store})
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body) // the reader is gone: nobody to tell
}
