package forward_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway/event"
)

// fillLarge adds observations of about a kilobyte.
func fillLarge(m *memory, count, subjects int) {
	packed := make([][]byte, count)
	for i := range packed {
		packed[i] = event.Record{
			ID: fmt.Sprintf("large-%06d", i), Subject: fmt.Sprintf("town.99001.water.observation.w%d", i%subjects),
			Body: fmt.Appendf(nil, `{"data":%q}`, bytes.Repeat([]byte("x"), 800)),
		}.Append(nil)
	}
	m.add(buffer.Normal, packed...)
}

// alarmTakes adds an alarm and returns how long it takes to the stream.
func alarmTakes(t testing.TB, js jetstream.JetStream, m *memory, name string) time.Duration {
	t.Helper()
	subject := "town.99001.water.alarm." + name
	begin := time.Now()
	m.add(buffer.Urgent, record("alarm-"+name, subject))
	stream, err := js.Stream(t.Context(), "TOWN")
	if err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool {
		_, err := stream.GetLastMsgForSubject(t.Context(), subject)
		return err == nil
	}, func() string { return "the alarm never came" })
	return time.Since(begin)
}

// thinUplink drains a backlog over a thin line and wants alarms there in time, the line busy and no timeouts.
func thinUplink(t *testing.T, js jetstream.JetStream, url string, subjects, alarms int, leastPerSecond float64) {
	t.Helper()
	m := newMemory()
	fillLarge(m, 3000, subjects)
	o := options(url)
	o.Plaintext = true
	r := start(t, o, m)
	wait(t, func() bool { return lastSeq(t, js) > 3 }, func() string { return "nothing is published" })
	begin, first := time.Now(), lastSeq(t, js)
	for i := range alarms {
		time.Sleep(3 * time.Second) // the backlog drains, the window grows
		if took := alarmTakes(t, js, m, fmt.Sprint("a", i)); took > 10*time.Second {
			t.Errorf("alarm %d took %s; counters %v", i, took, r.sink.Counters())
		} else {
			t.Logf("alarm %d took %s, %v in flight", i, took.Round(time.Millisecond), r.sink.Counters()["in_flight_bytes"])
		}
	}
	per := float64(lastSeq(t, js)-first) / time.Since(begin).Seconds()
	t.Logf("%.1f messages a second, counters %v", per, r.sink.Counters())
	if per < leastPerSecond {
		t.Errorf("%.1f messages a second, want %.1f: the line is not used", per, leastPerSecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) > 0 {
		t.Errorf("trouble was reported: %q", r.all)
	}
	if got := r.sink.Counters(); got["retries"] > 0 || got["unknown_resolved_stored"] > 0 || got["reconnects"] > 0 {
		t.Errorf("a storm of timeouts: %v", got)
	}
}

// F61: 64 kbit/s.
func TestAlarmOvertakesABacklogOnAThinUplink(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	l := startThinLine(t, onLoopback(t), strings.TrimPrefix(s.URL(), "nats://"), 8000, 50*time.Millisecond)
	thinUplink(t, js, l.url(), 60, 3, 3)
	if longest := time.Duration(l.longest.Load()); longest > 4*time.Second {
		t.Errorf("%s of data stood before the line", longest)
	}
}

// F61: 64 kbit/s with 2 s there and back.
func TestAlarmOvertakesABacklogOnAThinAndLongUplink(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	l := startThinLine(t, onLoopback(t), strings.TrimPrefix(s.URL(), "nats://"), 8000, time.Second)
	thinUplink(t, js, l.url(), 24, 2, 1.5)
	if longest := time.Duration(l.longest.Load()); longest > 4*time.Second {
		t.Errorf("%s of data stood before the line", longest)
	}
}

// F61: the kernel's own token bucket in a network namespace.
func TestAlarmOvertakesABacklogThroughTheKernelsTokenBucket(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	for _, tool := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs ", tool)
		}
	}
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	listener := inNamespace(t, "64kbit")
	l := startThinLine(t, listener, strings.TrimPrefix(s.URL(), "nats://"), 0, 0)
	thinUplink(t, js, l.url(), 60, 3, 3)
}

// F60: what waited through an outage drains at the stated rate, and alarms pass it by.
func TestBacklogDrainsAtTheStatedRateAndAlarmsPassIt(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	s.Stop()
	m := newMemory()
	fillLarge(m, 2000, 100)
	o := options(s.URL())
	o.Rate = 100_000
	r := start(t, o, m)
	r.waitSaid("nats.servers")
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool { return lastSeq(t, js) > 20 }, func() string { return "nothing is published" })
	begin, first := time.Now(), lastSeq(t, js)
	if took := alarmTakes(t, js, m, "live"); took > 2*time.Second {
		t.Errorf("the alarm took %s", took)
	}
	time.Sleep(4 * time.Second)
	per := float64(lastSeq(t, js)-first) / time.Since(begin).Seconds()
	if per < 40 || per > 100 { // of 1.1 kB with headers
		t.Errorf("%.0f messages a second at 100 kB a second", per)
	}
	if got := r.sink.Counters()["rate_limited_ms"]; got < 2000 {
		t.Errorf("held back for %d ms by the rate", got)
	}
	r.stop()
	o.Rate = 0
	start(t, o, m)
	waitPublished(t, m)
	onceInOrder(t, js, m)
}
