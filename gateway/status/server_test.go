package status

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"belfry/buffer"
	"belfry/gateway"
)

type fakeView struct {
	conditions []gateway.Condition
	stats      buffer.Stats
	stuck      error
}

func (v *fakeView) Conditions() []gateway.Condition { return v.conditions }
func (v *fakeView) Intake() map[string]gateway.Intake {
	return map[string]gateway.Intake{"lights": {Received: 7, Stored: 5, Quarantine: 2}}
}
func (v *fakeView) SourceCounters() map[string]map[string]uint64 {
	return map[string]map[string]uint64{"lights": {"connects": 3}}
}
func (v *fakeView) SinkCounters() map[string]uint64 { return map[string]uint64{"published": 4} }
func (v *fakeView) BufferStats() buffer.Stats       { return v.stats }
func (v *fakeView) Stuck() error                    { return v.stuck }

func ask(t *testing.T, view View, host, path string) (int, string, http.Header) {
	t.Helper()
	s := New("127.0.0.1:0", "v1")
	s.Show(view)
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Host = host
	recorder := httptest.NewRecorder()
	s.Handler().ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.String(), recorder.Header()
}

func TestReadyzNamesThePartThatIsNotReady(t *testing.T) {
	view := &fakeView{conditions: []gateway.Condition{{Name: "source lights", Ready: true}, {Name: "nats", Ready: true}}}
	if code, body, _ := ask(t, view, "127.0.0.1:9469", "/readyz"); code != http.StatusOK || !strings.Contains(body, `"ready": true`) {
		t.Errorf("got %d %s, want 200", code, body)
	}
	view.conditions[1] = gateway.Condition{Name: "nats", Error: "nats.servers: refused"}
	if code, body, _ := ask(t, view, "localhost", "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "nats.servers: refused") {
		t.Errorf("got %d %s, want 503 with the reason", code, body)
	}
	view.conditions[1].Ready = true
	view.stats.Failing = errors.New("no space left on device")
	if code, body, _ := ask(t, view, "[::1]:1", "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "no space left") {
		t.Errorf("got %d %s, want 503 with the buffer's reason", code, body)
	}
}

func TestHealthzFailsWhenTheGatewayIsStuck(t *testing.T) {
	view := &fakeView{stuck: errors.New("forwarding has not moved for 2m0s")}
	if code, body, _ := ask(t, view, "127.0.0.1:9469", "/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "forwarding") {
		t.Errorf("got %d %s, want 503 with what is stuck", code, body)
	}
}

func TestHealthzFailsOnlyWhenTheBufferIsStuckForLong(t *testing.T) {
	view := &fakeView{conditions: []gateway.Condition{{Name: "nats", Error: "away"}}}
	if code, _, _ := ask(t, view, "localhost", "/healthz"); code != http.StatusOK {
		t.Errorf("got %d while NATS is away, want 200: a restart does not help", code)
	}
	view.stats = buffer.Stats{Failing: errors.New("EIO"), LastCommit: time.Now()}
	if code, _, _ := ask(t, view, "localhost", "/healthz"); code != http.StatusOK {
		t.Errorf("got %d right after a failed commit, want 200", code)
	}
	view.stats.LastCommit = time.Now().Add(-2 * maxStuck)
	if code, body, _ := ask(t, view, "localhost", "/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "EIO") {
		t.Errorf("got %d %s after long, want 503 with the reason", code, body)
	}
}

func TestMetricsHaveTheLedgerAndNoDevice(t *testing.T) {
	view := &fakeView{conditions: []gateway.Condition{{Name: "nats"}}, stats: buffer.Stats{Pending: [2]uint64{1, 2}, Appended: 9, CommitBytes: 40960}}
	code, body, header := ask(t, view, "127.0.0.1", "/metrics")
	if code != http.StatusOK || header.Get("X-Frame-Options") != "DENY" {
		t.Fatalf("got %d %v", code, header)
	}
	for _, want := range []string{
		`belfry_received_total{source="lights"} 7`, `belfry_quarantined_total{source="lights"} 2`,
		`belfry_buffer_pending{lane="normal"} 2`, `belfry_buffer_appended_total 9`, `belfry_buffer_commit_bytes_total 40960`, `belfry_ready{part="nats"} 0`,
		`belfry_source_total{source="lights",what="connects"} 3`, `belfry_forward_total{what="published"} 4`,
		`belfry_build_info{version="v1"} 1`, "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(body, want+"\n") && !strings.Contains(body, want+" ") {
			t.Errorf("no %s in the metrics", want)
		}
	}
}

func TestMetricsSayWhatBecameOfEverythingAndWhetherItAddsUp(t *testing.T) {
	view := &fakeView{stats: buffer.Stats{Ledger: buffer.Ledger{
		Messages: 12, Kept: 9, Discarded: map[string]uint64{"repeat": 2, "empty": 1},
		Received: 36, Released: 1, Held: 2, Pending: 3, Quarantined: 4, Dropped: 5, Retried: 6,
		Expired: map[string]uint64{"max_age": 7}, Lost: 8,
	}}}
	_, body, _ := ask(t, view, "127.0.0.1", "/metrics")
	for _, want := range []string{
		"messages_total 12", "kept_total 9", `discarded_total{reason="repeat"} 2`, `discarded_total{reason="empty"} 1`, "received_total 36",
		"released_total 1", "held 2", "pending 3", "quarantined 4", "dropped_total 5", "retried_total 6", `expired_total{reason="max_age"} 7`,
		"lost_total 8", "balanced 1",
	} {
		if !strings.Contains(body, "\nbelfry_ledger_"+want+"\n") {
			t.Errorf("no belfry_ledger_%s in the metrics", want)
		}
	}
	view.stats.Ledger.Held++
	if _, body, _ := ask(t, view, "127.0.0.1", "/metrics"); !strings.Contains(body, "\nbelfry_ledger_balanced 0\n") {
		t.Error("a sum that is wrong went unnoticed")
	}
}

func TestForeignHostAndOtherMethodsAreRefused(t *testing.T) {
	for _, host := range []string{"evil.example", "192.0.2.1:9469", ""} {
		if code, _, _ := ask(t, &fakeView{}, host, "/metrics"); code != http.StatusMisdirectedRequest {
			t.Errorf("host %q: got %d, want 421", host, code)
		}
	}
	s := New("127.0.0.1:0", "v1")
	s.Show(&fakeView{})
	request := httptest.NewRequest(http.MethodPost, "/metrics", nil)
	request.Host = "localhost"
	recorder := httptest.NewRecorder()
	s.Handler().ServeHTTP(recorder, request)
	if recorder.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d, want 405", recorder.Code)
	}
}

func TestServerSaysThatItsAddressIsTakenAndStopsWhenTold(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(taken.Addr().String(), "v1")
	s.Show(&fakeView{})
	if err := s.Run(t.Context(), func(error) {}); err == nil || !strings.Contains(err.Error(), "status.listen: ") {
		t.Errorf("got %v, want an error that names status.listen", err)
	}
	taken.Close()
	ctx, cancel := context.WithCancel(t.Context())
	up, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func(error) { close(up) }) }()
	<-up
	response, err := http.Get("http://" + taken.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Errorf("got %d %s", response.StatusCode, body)
	}
	response.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got %v after the end of its context, want nil", err)
	}
}
