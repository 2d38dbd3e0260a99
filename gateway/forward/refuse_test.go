package forward_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway/event"
	"belfry/gateway/forward"
)

// F66, F67: what neither the server nor the stream ever takes.
func TestRejectedRecordDoesNotBlockTheQueue(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	js := dial(t, s.URL())
	config := townStream()
	config.MaxMsgSize = 16 << 10
	makeStream(t, js, config)
	m := newMemory()
	large := func(size int) []byte {
		return event.Record{ID: "large", Subject: "town.large", Body: bytes.Repeat([]byte("x"), size)}.Append(nil)
	}
	bad := [][]byte{
		large(100 << 10), // more than the server takes
		large(32 << 10),  // more than the stream takes
		record("a", "town.*"),
		record("b", "town..x"),
		record("c", "town.a b"),
		record("d", ""),
		{99, 1, 2, 3},
		{},
	}
	for i, packed := range bad {
		m.add(buffer.Normal, packed, record(fmt.Sprint("after ", i), "town.large"))
		fill(m, 20, 5)
	}
	r := start(t, options(s.URL()), m)
	waitPublished(t, m)
	rejected := m.rejections()
	if len(rejected) != len(bad) {
		t.Fatalf("got %d records in quarantine, want %d: %v", len(rejected), len(bad), rejected)
	}
	for _, entry := range rejected {
		if entry.Stage != "publish" || entry.Reason == "" || entry.Seq == 0 {
			t.Errorf("got quarantine entry %+v without stage, reason or number", entry)
		}
	}
	if got, want := len(read(t, js)), len(bad)*21; got != want {
		t.Errorf("got %d messages on the stream, want %d", got, want)
	}
	if got := r.sink.Counters()["rejected"]; got != uint64(len(bad)) {
		t.Errorf("counted %d rejected, want %d", got, len(bad))
	}
}

// F64: the stream is full and discards new messages.
func TestFullStreamKeepsRecordsAndSaysSo(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	config := townStream()
	config.MaxMsgs = 100
	makeStream(t, js, config)
	m := newMemory()
	fill(m, 1000, 50)
	r := start(t, options(s.URL()), m)
	r.waitSaid("nats.stream", `"TOWN"`, "full")
	config.MaxMsgs = -1
	makeStream(t, js, config)
	waitPublished(t, m)
	onceInOrder(t, js, m)
	wait(t, r.isReady, func() string { return "not ready although everything flows" })
	if got := len(m.rejections()); got != 0 {
		t.Errorf("%d records were rejected because the stream was full", got)
	}
}

// F68: no stream takes the subject.
func TestMissingStreamIsNamedAndWaitedFor(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	m := newMemory()
	fill(m, 100, 10)
	r := start(t, options(s.URL()), m)
	r.waitSaid("nats.stream", `no stream "TOWN"`, "nats stream add TOWN", "nats.create")
	makeStream(t, js, townStream())
	waitPublished(t, m)
	onceInOrder(t, js, m)
	if got := len(m.rejections()); got > 0 {
		t.Errorf("%d records were rejected for want of a stream", got)
	}
}

// F79: the acknowledgement would come from another stream.
func TestWrongStreamIsNamedAndWaitedFor(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	other := townStream()
	other.Name = "OTHER"
	makeStream(t, js, other)
	config := townStream()
	config.Subjects = []string{"elsewhere.>"}
	makeStream(t, js, config)
	m := newMemory()
	fill(m, 100, 10)
	r := start(t, options(s.URL()), m)
	r.waitSaid("nats.stream", "another stream", `"TOWN"`)
	if err := js.DeleteStream(t.Context(), "OTHER"); err != nil {
		t.Fatal(err)
	}
	makeStream(t, js, townStream())
	waitPublished(t, m)
	onceInOrder(t, js, m)
}

func TestCreateMakesTheStream(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	m := newMemory()
	fill(m, 100, 10)
	o := options(s.URL())
	o.Create, o.MaxSize = true, 64<<20
	start(t, o, m)
	waitPublished(t, m)
	onceInOrder(t, js, m)
	stream, err := js.Stream(t.Context(), "TOWN")
	if err != nil {
		t.Fatal(err)
	}
	got := stream.CachedInfo().Config
	if got.Storage != jetstream.FileStorage || got.Discard != jetstream.DiscardNew || got.Duplicates.Minutes() != 30 ||
		strings.Join(got.Subjects, " ") != "town.>" || got.MaxBytes != 64<<20 || !got.AllowDirect {
		t.Errorf("got stream %+v", got)
	}
}

// F77: an operator deletes the stream.
func TestDeletedStreamIsReportedAndSubjectsStartAnew(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 100, 10)
	r := start(t, options(s.URL()), m)
	waitPublished(t, m)
	if err := js.DeleteStream(t.Context(), "TOWN"); err != nil {
		t.Fatal(err)
	}
	fill(m, 100, 10)
	r.waitSaid("nats.stream", "no stream")
	makeStream(t, js, townStream())
	waitPublished(t, m)
	if got := len(read(t, js)); got != 100 { // what an operator deleted stays deleted
		t.Errorf("got %d messages on the new stream, want 100", got)
	}
}

func users(users ...*server.User) func(*server.Options) {
	return func(o *server.Options) { o.Users = users }
}

func allowed(publish ...string) *server.User {
	return &server.User{Username: "belfry", Password: "secret", Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}}
}

var admin = &server.User{Username: "admin", Password: "admin"}

func withPassword(t testing.TB, url, password string) forward.Options {
	t.Helper()
	o := options(url)
	o.Dir, o.User, o.PasswordFile = t.TempDir(), "belfry", "password"
	writePassword(t, o, password)
	return o
}

func writePassword(t testing.TB, o forward.Options, password string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(o.Dir, o.PasswordFile), []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRestrictedAccountIsEnough(t *testing.T) {
	t.Parallel()
	s := startServer(t, users(admin, allowed("town.>", "$JS.API.STREAM.INFO.TOWN", "$JS.API.STREAM.MSG.GET.TOWN")))
	js := dial(t, s.URL(), nats.UserInfo("admin", "admin"))
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 500, 20)
	r := start(t, withPassword(t, s.URL(), "secret"), m)
	waitPublished(t, m)
	r.stop()
	m.forget(buffer.Normal, 0)
	start(t, withPassword(t, s.URL(), "secret"), m)
	waitPublished(t, m)
	onceInOrder(t, js, m)
}

func TestAuditWithoutPermissionGoesOn(t *testing.T) {
	t.Parallel()
	s := startServer(t, users(admin, allowed("town.>", "$JS.API.STREAM.MSG.GET.TOWN")))
	js := dial(t, s.URL(), nats.UserInfo("admin", "admin"))
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 500, 20)
	start(t, withPassword(t, s.URL(), "secret"), m)
	waitPublished(t, m)
	onceInOrder(t, js, m)
}

// F70: no permission to publish on one subject.
func TestDeniedSubjectIsNamedAndOthersFlow(t *testing.T) {
	t.Parallel()
	s := startServer(t, users(admin, allowed("town.99001.>", "$JS.API.STREAM.INFO.TOWN", "$JS.API.STREAM.MSG.GET.TOWN")))
	js := dial(t, s.URL(), nats.UserInfo("admin", "admin"))
	makeStream(t, js, townStream())
	m := newMemory()
	m.add(buffer.Normal, record("denied", "town.99002.water.observation.w1"))
	fill(m, 20000, 50) // more than is read ahead
	r := start(t, withPassword(t, s.URL(), "secret"), m)
	r.waitSaid("nats.password_file", "no permission to publish", "town.99002.water.observation.w1")
	wait(t, func() bool { return r.sink.Counters()["published"] == 20000 }, func() string { return "the other subjects do not flow" })
	if got := m.PublishedUpTo(buffer.Normal); got != 0 {
		t.Errorf("the denied record counts as published: %d", got)
	}
}

func TestQuestionsDeniedAreNamed(t *testing.T) {
	t.Parallel()
	s := startServer(t, users(admin, allowed("town.>", "$JS.API.STREAM.INFO.TOWN")))
	js := dial(t, s.URL(), nats.UserInfo("admin", "admin"))
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 10, 10)
	r := start(t, withPassword(t, s.URL(), "secret"), m)
	r.waitSaid("no permission", "$JS.API.STREAM.MSG.GET.TOWN")
}

func TestWrongPasswordIsNamedAndTakenUpOnceCorrected(t *testing.T) {
	t.Parallel()
	s := startServer(t, users(admin, &server.User{Username: "belfry", Password: "secret"}))
	js := dial(t, s.URL(), nats.UserInfo("admin", "admin"))
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 100, 10)
	o := withPassword(t, s.URL(), "wrong-one")
	r := start(t, o, m)
	r.waitSaid("nats.password_file", "refused the login")
	for _, text := range r.all {
		if strings.Contains(text, "wrong-one") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("wrong-one"))) {
			t.Errorf("the password is in %q", text)
		}
	}
	writePassword(t, o, "secret")
	waitPublished(t, m)
	onceInOrder(t, js, m)
}
