package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/event"
	"belfry/gateway/gatewaytest"
)

// store opens a buffer in a folder.
func store(t *testing.T, dir string) *buffer.Buffer {
	t.Helper()
	b, err := buffer.Open(buffer.Options{Dir: dir, MaxSize: 128 << 20, CommitDelay: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// observation is a packed event.
func observation(n int) []byte {
	id := fmt.Sprintf("id%d", n)
	sensor := fmt.Sprintf("S%d", n%3)
	record := event.Record{ID: id, Subject: "town.99001.water.observation." + sensor, Body: fmt.Appendf(nil,
		`{"id":%q,"type":"belfry.observation.v1","subject":%q,"time":"2026-01-14T17:02:10Z"}`, id, sensor)}
	return record.Append(nil)
}

func rejected(n int) []byte {
	return event.Quarantined{Stage: "decode", Reason: "2 bytes are not 3", Source: "radio", Device: fmt.Sprint("d", n), Sensor: fmt.Sprintf("S%d", n%3),
		Model: "m", Payload: []byte{1, byte(n)}, Raw: []byte("secret raw"), Received: time.Date(2026, 1, 14, 17, 2, n%60, 0, time.UTC)}.Append(nil)
}

func put(t *testing.T, b *buffer.Buffer, lane buffer.Lane, data ...[]byte) {
	t.Helper()
	var groups []buffer.Group
	for _, d := range data {
		groups = append(groups, buffer.Group{Build: func(tx *buffer.Tx) error { tx.Append(lane, d); return nil }})
	}
	done := make(chan error, 1)
	if err := b.Append(t.Context(), groups, func(_ buffer.Outcome, err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// fill puts something of everything into a buffer: 1 to 10 are observations of which 4 are held, 11 an alarm, 12 to 16
// undecodable, 17 damaged.
func fill(t *testing.T, b *buffer.Buffer) {
	t.Helper()
	for n := range 10 {
		put(t, b, buffer.Normal, observation(n))
	}
	put(t, b, buffer.Urgent, observation(10))
	for n := range 5 {
		put(t, b, buffer.Quarantine, rejected(n))
	}
	put(t, b, buffer.Quarantine, []byte{0xff, 1})
	b.Published(buffer.Normal, 4)
}

// serve runs a server on a folder until the test ends, and returns a client of it.
func serve(t *testing.T, dir string, b *buffer.Buffer) *Client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	up, ended := make(chan struct{}), make(chan error, 1)
	folder := &Folder{Dir: dir, Store: b, Retrier: retrier(t, b), Limit: true}
	go func() {
		ended <- NewServer(folder, nil, "v1").Run(ctx, func(err error) {
			if err == nil {
				close(up)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if _, err := os.Lstat(filepath.Join(dir, socketName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	select {
	case <-up:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	client, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func retrier(t *testing.T, b *buffer.Buffer) *gateway.Retrier {
	t.Helper()
	n, err := gateway.NewNormaliser(gateway.NormaliserOptions{
		Gateway: "box", Town: gateway.Town{Name: "Town", Commune: "99001", Owner: "219900016"}, Prefix: "town",
		EventKey: []byte("0123456789abcdef"), Inventory: gateway.NewInventory(nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &gateway.Retrier{Normaliser: n, Buffer: b}
}

// bothWays runs a test in a folder and through a gateway.
func bothWays(t *testing.T, test func(t *testing.T, asked Buffer, b *buffer.Buffer)) {
	t.Run("folder", func(t *testing.T) {
		dir := t.TempDir()
		b := store(t, dir)
		test(t, &Folder{Dir: dir, Store: b, Retrier: retrier(t, b), Limit: true}, b)
	})
	t.Run("gateway", func(t *testing.T) {
		dir := t.TempDir()
		b := store(t, dir)
		test(t, serve(t, dir, b), b)
	})
}

func seqs(t *testing.T, b Buffer, q Query, limit int) (all []string) {
	t.Helper()
	err := Each(t.Context(), b, q, limit, func(r Record) error {
		all = append(all, fmt.Sprintf("%d%c", r.Seq, r.State[0]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRecordsAreFoundInOrderWithTheirStates(t *testing.T) {
	bothWays(t, func(t *testing.T, asked Buffer, b *buffer.Buffer) {
		fill(t, b)
		for _, c := range []struct {
			query Query
			limit int
			want  string
		}{
			{Query{}, 0, "1h 2h 3h 4h 5p 6p 7p 8p 9p 10p 11p 12q 13q 14q 15q 16q 17d"},
			{Query{Lane: "normal"}, 0, "1h 2h 3h 4h 5p 6p 7p 8p 9p 10p"},
			{Query{Lane: "urgent"}, 0, "11p"},
			{Query{Lane: "quarantine"}, 2, "12q 13q"},
			{Query{State: Held}, 0, "1h 2h 3h 4h"},
			{Query{State: Pending, From: 9}, 0, "9p 10p 11p"},
			{Query{Sensor: "S1"}, 0, "2h 5p 8p 11p 13q 16q"},
			{Query{Sensor: "S1", From: 5, To: 15}, 3, "5p 8p 11p"},
			{Query{Stage: "decode", Source: "radio", Model: "m", Sensor: "S2"}, 0, "14q"},
			{Query{Source: "other"}, 0, ""},
			{Query{Stage: "damaged"}, 0, "17d"},
			{Query{Lane: "quarantine", Since: time.Date(2026, 1, 14, 17, 2, 2, 0, time.UTC)}, 0, "14q 15q 16q"},
			{Query{Lane: "quarantine", Model: "m", Since: time.Date(2026, 1, 14, 18, 2, 4, 0, time.FixedZone("", 3600))}, 0, "16q"},
			{Query{Since: time.Date(2026, 1, 14, 17, 2, 10, 0, time.UTC), To: 12}, 0, "1h 2h 3h 4h 5p 6p 7p 8p 9p 10p 11p"},
			{Query{Since: time.Date(2026, 1, 14, 17, 2, 11, 0, time.UTC)}, 0, ""},
		} {
			if got := strings.Join(seqs(t, asked, c.query, c.limit), " "); got != c.want {
				t.Errorf("%+v: got %s, want %s", c.query, got, c.want)
			}
		}
		if _, err := asked.Records(t.Context(), Query{Lane: "fast"}); err == nil || !strings.Contains(err.Error(), `no lane "fast"`) {
			t.Errorf("got %v for a lane that there is not", err)
		}
	})
}

func TestPagesHoldEverythingOnce(t *testing.T) {
	bothWays(t, func(t *testing.T, asked Buffer, b *buffer.Buffer) {
		const n = 3 * maxLooks
		var all [][]byte
		for i := range n {
			all = append(all, observation(i))
		}
		put(t, b, buffer.Normal, all...)
		pages, found := 0, 0
		for q := (Query{}); ; pages++ {
			page, err := asked.Records(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				if found++; int(r.Seq) != found {
					t.Fatalf("record %d at place %d", r.Seq, found)
				}
			}
			if q.From = page.Next; q.From == 0 {
				break
			}
		}
		if found != n || pages < 3 {
			t.Errorf("%d of %d records on %d pages", found, n, pages)
		}
	})
}

func TestOnlyWhoAsksForContentGetsIt(t *testing.T) {
	bothWays(t, func(t *testing.T, asked Buffer, b *buffer.Buffer) {
		fill(t, b)
		get := func(seq buffer.Seq, content bool) Record {
			t.Helper()
			page, err := asked.Records(t.Context(), Query{From: seq, To: seq, Content: content})
			if err != nil || len(page.Records) != 1 {
				t.Fatalf("got %+v, %v for %d", page, err, seq)
			}
			return page.Records[0]
		}
		if r := get(12, false); r.Message == nil || r.Message.Raw != nil || r.Message.Payload != nil || r.Message.Reason == "" {
			t.Errorf("without content: got %+v", r.Message)
		}
		if r := get(12, true); string(r.Message.Raw) != "secret raw" || len(r.Message.Payload) != 2 {
			t.Errorf("with content: got %+v", r.Message)
		}
		if r := get(3, true); !strings.Contains(string(r.Event), `"id":"id2"`) || r.ID != "id2" || r.Sensor != "S2" || r.Time.IsZero() {
			t.Errorf("with content: got %+v", r)
		}
		if r := get(3, false); r.Event != nil {
			t.Errorf("without content: got %s", r.Event)
		}
		if r := get(17, true); string(r.Data) != "\xff\x01" {
			t.Errorf("damaged: got %x", r.Data)
		}
	})
}

func TestStatusHasTheLedgerAndTheReasons(t *testing.T) {
	bothWays(t, func(t *testing.T, asked Buffer, b *buffer.Buffer) {
		fill(t, b)
		s, err := asked.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b.Stats().Ledger, s.Ledger); diff != "" || s.Unbalanced != "" {
			t.Errorf("ledger (-want +got):\n%s%s", diff, s.Unbalanced)
		}
		want := []Group{{"decode", "radio", "m", "2 bytes are not 3", 5}, {Damaged, "", "", "not what was written", 1}}
		if diff := cmp.Diff(want, s.Quarantine); diff != "" {
			t.Errorf("quarantine (-want +got):\n%s", diff)
		}
		if s.MaxBytes != 128<<20 || s.Segments != 1 || s.Bytes == 0 || s.LastSeq != 17 {
			t.Errorf("got %+v", s)
		}
		if _, live := asked.(*Client); live != (s.Live != nil) || live && (s.Live.PID != os.Getpid() || s.Live.Commits == 0) {
			t.Errorf("a running gateway says %+v", s.Live)
		}
	})
}

func TestDropAndRetrySayWhatBecameOfEach(t *testing.T) {
	bothWays(t, func(t *testing.T, asked Buffer, b *buffer.Buffer) {
		fill(t, b)
		dropped, err := asked.Drop(t.Context(), []buffer.Seq{13, 3, 17, 13, 99})
		if err != nil || !cmp.Equal(dropped, []buffer.Seq{13, 17}) {
			t.Errorf("dropped %v, %v; want 13 and 17", dropped, err)
		}
		for _, tryOnly := range []bool{true, false} {
			all, err := asked.Retry(t.Context(), []buffer.Seq{12, 13}, tryOnly)
			if err != nil || len(all) != 2 || all[0].Outcome != gateway.RetryStill || !strings.Contains(all[0].Reason, "no sensor") || all[1].Outcome != gateway.RetryAbsent {
				t.Errorf("retry: got %+v, %v", all, err)
			}
		}
		if got := strings.Join(seqs(t, asked, Query{Lane: "quarantine"}, 0), " "); got != "12q 14q 15q 16q" {
			t.Errorf("%s are left", got)
		}
	})
}

func TestFolderWithoutConfigurationSaysWhatRetryNeeds(t *testing.T) {
	b := store(t, t.TempDir())
	if _, err := (&Folder{Store: b}).Retry(t.Context(), []buffer.Seq{1}, false); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("got %v", err)
	}
}

func TestVerifyReadsEverything(t *testing.T) {
	bothWays(t, func(t *testing.T, asked Buffer, b *buffer.Buffer) {
		fill(t, b)
		v, err := asked.Verify(t.Context())
		if err != nil || v.Records != 17 || len(v.Damages) != 0 {
			t.Errorf("got %+v, %v; want 17 good records", v, err)
		}
	})
}

func TestSocketIsForItsUserOnlyAndReplacesAStaleOne(t *testing.T) {
	dir := t.TempDir()
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close() // as a process that is killed leaves it
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v from a socket that nobody serves, want ErrNobody", err)
	}
	client := serve(t, dir, store(t, dir))
	if _, err := client.Status(t.Context()); err != nil {
		t.Error(err)
	}
	stat, err := os.Stat(filepath.Join(dir, socketName))
	if err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v; want 0600", stat.Mode(), err)
	}
}

func TestFolderMayHaveALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v before the gateway runs, want ErrNobody", err)
	}
	client := serve(t, dir, store(t, dir))
	if s, err := client.Status(t.Context()); err != nil || s.Dir != dir {
		t.Errorf("got %q, %v", s.Dir, err)
	}
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, socketName)
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := NewServer(&Folder{Dir: dir}, nil, "v1").Run(t.Context(), func(error) {})
	if err == nil || !strings.Contains(err.Error(), "is in the way") {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("the file has %q", text)
	}
}

func TestBadRequestsAreRefusedWithASentence(t *testing.T) {
	dir := t.TempDir()
	client := serve(t, dir, store(t, dir))
	for body, want := range map[string]string{
		`{"seqs":[1],"more":1}`: "unknown field",
		`{"seqs":[` + strings.TrimSuffix(strings.Repeat("1,", MaxSeqs+1), ",") + `]}`: "at most 1000",
		`{"seqs":[` + strings.Repeat(" ", maxRequest) + `1]}`:                         "too large",
		"": "EOF",
	} {
		response, err := client.http.Post("http://belfry/v1/drop", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := refusal(response, "drop"); response.StatusCode != http.StatusBadRequest || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %d, %v; want 400 with %q", body, response.StatusCode, err, want)
		}
		response.Body.Close()
	}
	if err := client.ask(t.Context(), "future", nil, nil); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("got %v from a gateway that does not know the question", err)
	}
}

func TestQuestionOverWhichTheProgramStumblesIsAnswered(t *testing.T) {
	dir := t.TempDir()
	b := store(t, dir)
	put(t, b, buffer.Quarantine, rejected(1))
	broken := retrier(t, b)
	broken.Normaliser = nil
	s := NewServer(&Folder{Dir: dir, Store: b, Retrier: broken}, nil, "v1")
	ctx, cancel := context.WithCancel(t.Context())
	up, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func(error) { close(up) }) }()
	<-up
	client, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Retry(t.Context(), []buffer.Seq{1}, false); err == nil || !strings.Contains(err.Error(), "fault in this program") {
		t.Errorf("got %v", err)
	}
	if _, err := client.Status(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestGatewayThatStopsEndsTheConversation(t *testing.T) {
	dir := t.TempDir()
	b := store(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	g := gateway.New(gateway.Options{
		Normaliser: retrier(t, b).Normaliser, Buffer: b, Sink: idle{}, Log: slog.New(slog.DiscardHandler),
		Tasks: []gateway.Task{{Name: "control", Run: NewServer(&Folder{Dir: dir, Store: b}, nil, "v1").Run}},
	})
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	var client *Client
	gatewaytest.WaitFor(t, 10*time.Second, "the gateway to answer", func() bool {
		var err error
		client, err = Dial(t.Context(), dir)
		return err == nil
	})
	gatewaytest.WaitFor(t, 10*time.Second, "the notice of the start to be in the ledger", func() bool {
		s, err := client.Status(t.Context())
		return err == nil && s.Ledger.Received == 1
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := client.Status(t.Context()); err == nil {
		t.Error("an answer after the end")
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v, want ErrNobody", err)
	}
}

// idle is a sink that takes nothing.
type idle struct{}

func (idle) Run(ctx context.Context, _ gateway.Store, _ func(error)) error { <-ctx.Done(); return nil }
func (idle) Counters() map[string]uint64                                   { return nil }
