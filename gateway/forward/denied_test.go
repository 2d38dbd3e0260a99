package forward_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"belfry/buffer"
	"belfry/gateway/forward"
)

// startImpatient starts a sink that gives up on a refused subject after a moment.
func startImpatient(t testing.TB, o forward.Options, m *memory) *runner {
	t.Helper()
	return startWith(t, o, m, func(sink *forward.NATS) { sink.SetPatience(500*time.Millisecond, 2, time.Second) })
}

// F70: records of a subject that is denied for long go to quarantine, so that the mark moves on; once it is allowed
// again, what comes then is published.
func TestLongDeniedSubjectGoesToQuarantineAndBlocksNothing(t *testing.T) {
	t.Parallel()
	granted := make(chan struct{})
	s := startServer(t, func(o *server.Options) {
		allow := allowed("town.99001.>", "$JS.API.STREAM.INFO.TOWN", "$JS.API.STREAM.MSG.GET.TOWN")
		select {
		case <-granted:
			allow = allowed("town.>", "$JS.API.STREAM.INFO.TOWN", "$JS.API.STREAM.MSG.GET.TOWN")
		default:
		}
		o.Users = []*server.User{admin, allow}
	})
	js := dial(t, s.URL(), nats.UserInfo("admin", "admin"))
	makeStream(t, js, townStream())
	m := newMemory()
	const denied = "town.99002.water.observation.w1"
	for i := range 30 {
		m.add(buffer.Normal, record("denied-"+string(rune('a'+i)), denied))
	}
	fill(m, 500, 20)
	r := startImpatient(t, withPassword(t, s.URL(), "secret"), m)
	waitPublished(t, m)
	if got := len(read(t, js)); got != 500 {
		t.Errorf("got %d messages on the stream, want 500", got)
	}
	rejected := m.rejections()
	if len(rejected) != 30 {
		t.Fatalf("%d records in quarantine, want 30", len(rejected))
	}
	for i, entry := range rejected {
		if entry.Stage != "publish" || entry.Topic != denied || entry.Seq != uint64(i+1) ||
			!strings.Contains(entry.Reason, "no permission to publish") || !strings.Contains(entry.Reason, "belfry buffer quarantine retry") {
			t.Errorf("got %+v", entry)
		}
	}
	if r.isReady() {
		t.Error("ready although a subject is denied")
	}
	close(granted)
	s.Stop()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool { // one is tried now and then
		m.add(buffer.Normal, record("later", denied))
		time.Sleep(200 * time.Millisecond)
		for _, message := range read(t, js) {
			if message.subject == denied {
				return true
			}
		}
		return false
	}, func() string { return "nothing of the subject is published although it is allowed" })
	wait(t, r.isReady, func() string { return "not ready although everything is allowed" })
}

// F64: a limit on each subject holds back the full subject alone.
func TestSubjectThatIsFullHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	config := townStream()
	config.MaxMsgsPerSubject, config.DiscardNewPerSubject = 5, true
	makeStream(t, js, config)
	m := newMemory()
	for i := range 10 {
		m.add(buffer.Normal, record("busy-"+string(rune('a'+i)), "town.99001.water.observation.busy"))
	}
	fill(m, 200, 50)
	r := start(t, options(s.URL()), m)
	wait(t, func() bool { return lastSeq(t, js) == 205 }, func() string { return "the others do not flow" })
	r.waitSaid("nats.stream", "per subject")
	if got := len(m.rejections()); got > 0 {
		t.Errorf("%d records were rejected", got)
	}
	config.MaxMsgsPerSubject = 50
	makeStream(t, js, config)
	waitPublished(t, m)
	onceInOrder(t, js, m)
}

// A permission that is gone for everything concerns all subjects, as a full stream does: nothing may leave the queue,
// whose room is ten times that of quarantine.
func TestAPermissionThatIsMissingForAllRejectsNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{admin, allowed("elsewhere.>", "$JS.API.STREAM.INFO.TOWN", "$JS.API.STREAM.MSG.GET.TOWN")}
	})
	makeStream(t, dial(t, s.URL(), nats.UserInfo("admin", "admin")), townStream())
	m := newMemory()
	fill(m, 200, 20)
	startImpatient(t, withPassword(t, s.URL(), "secret"), m)
	time.Sleep(8 * time.Second)
	if n := len(m.rejections()); n > 0 {
		t.Errorf("%d of 200 records are in quarantine though every subject is refused", n)
	}
}
