package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"belfry/buffer"
	"belfry/gateway"
)

const (
	version     = "/v1/"
	maxRequest  = 1 << 20 // bytes of a body
	maxAtOnce   = 4       // requests; the gateway has other work
	idleTimeout = time.Minute
)

// Server answers for the buffer of a running gateway. Whoever may open its socket may ask for everything.
type Server struct {
	folder  *Folder
	radio   Radio
	version string
	since   time.Time
	slots   chan struct{}
	running sync.WaitGroup
}

// NewServer returns a server for a buffer that is open; it does no I/O. radio may be nil.
func NewServer(folder *Folder, radio Radio, version string) *Server {
	return &Server{folder: folder, radio: radio, version: version, since: time.Now(), slots: make(chan struct{}, maxAtOnce)}
}

// maxConnections leaves descriptors to what matters.
const maxConnections = 16

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context, ready func(error)) error {
	listener, err := listen(ctx, s.folder.Dir)
	if err != nil {
		return fmt.Errorf("buffer.dir: control socket: %w", err)
	}
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 8 << 10, ErrorLog: log.New(io.Discard, "", 0), // who asks is told
	}
	stopped := context.AfterFunc(ctx, func() { server.Close() })
	defer stopped()
	ready(nil)
	err = server.Serve(netutil.LimitListener(listener, maxConnections))
	s.running.Wait() // the buffer is closed after us
	err = errors.Join(err, removeSocket(s.folder.Dir))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("buffer.dir: control socket: %w", err)
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+version+"status", s.answer(func(r *http.Request) (any, error) { return s.status(r.Context()) }))
	mux.Handle("POST "+version+"records", s.answer(func(r *http.Request) (any, error) {
		query, err := request[Query](r)
		if err != nil {
			return nil, err
		}
		return s.folder.Records(r.Context(), query)
	}))
	mux.Handle("POST "+version+"unknown", s.answer(func(r *http.Request) (any, error) { return s.unknown(r.Context()) }))
	mux.Handle("POST "+version+"verify", s.answer(func(r *http.Request) (any, error) { return s.folder.Verify(r.Context()) }))
	mux.Handle("POST "+version+"drop", s.answer(func(r *http.Request) (any, error) {
		which, err := requestSeqs(r)
		if err != nil {
			return nil, err
		}
		return s.folder.Drop(r.Context(), which.Seqs)
	}))
	mux.Handle("POST "+version+"retry", s.answer(func(r *http.Request) (any, error) {
		which, err := requestSeqs(r)
		if err != nil {
			return nil, err
		}
		return s.folder.Retry(r.Context(), which.Seqs, which.TryOnly)
	}))
	return mux
}

// selection names messages in quarantine.
type selection struct {
	Seqs    []buffer.Seq `json:"seqs"`
	TryOnly bool         `json:"try_only,omitempty"`
}

// problem is the answer when something is wrong.
type problem struct {
	Error string `json:"error"`
}

// errRequest says that the request is at fault.
var errRequest = errors.New("request")

// answer makes a handler of a function that returns what to send.
func (s *Server) answer(f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			send(w, http.StatusServiceUnavailable, problem{"too many ask at once (try again)"})
			return
		}
		s.running.Add(1)
		defer s.running.Done()
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		switch body, err := guarded(f, r); {
		case errors.Is(err, errRequest):
			send(w, http.StatusBadRequest, problem{err.Error()})
		case err != nil:
			send(w, http.StatusInternalServerError, problem{err.Error()})
		default:
			send(w, http.StatusOK, body)
		}
	})
}

// guarded turns a panic into an error: a question must not end what it is about.
func guarded(f func(*http.Request) (any, error), r *http.Request) (body any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			body, err = nil, gateway.NewFault(cause)
		}
	}()
	return f(r)
}

func send(w http.ResponseWriter, code int, body any) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30 * time.Second))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // the reader is gone: nobody to tell
}

func request[T any](r *http.Request) (body T, err error) {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return body, fmt.Errorf("%w: %w", errRequest, err)
	}
	return body, nil
}

func requestSeqs(r *http.Request) (selection, error) {
	which, err := request[selection](r)
	if err == nil && len(which.Seqs) > MaxSeqs {
		err = fmt.Errorf("%w: %d numbers, at most %d", errRequest, len(which.Seqs), MaxSeqs)
	}
	return which, err
}

const day = 24 * time.Hour

func (s *Server) status(ctx context.Context) (Status, error) {
	status, err := s.folder.Status(ctx)
	stats := s.folder.Store.Stats()
	live := &Live{PID: os.Getpid(), Version: s.version, Since: s.since, Commits: stats.Commits}
	if up := time.Since(s.since); up > 0 {
		live.CommitsDay = float64(live.Commits) / up.Seconds() * day.Seconds()
		live.BytesDay = float64(stats.CommitBytes) / up.Seconds() * day.Seconds()
	}
	status.Live = live
	return status, err
}
