package source_test

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"belfry/gateway/gatewaytest"
)

// F17: what was held and whose acknowledgement the broker never saw comes again, and is held once.
func TestARepeatAfterAReconnectIsHeldOnce(t *testing.T) {
	t.Parallel()
	broker := newScript(t)
	x := newBox(t, t.TempDir(), bins(t, broker.Address(), nil), nil)
	first := broker.accept(false, true)
	first.send(1, false, "a")
	first.send(2, false, "b")
	first.wantAcks(1, 2) // and says that they never came
	first.leave()
	second := broker.accept(true, false)
	second.send(1, true, "a")
	second.send(2, true, "b")
	second.send(3, false, "c")
	second.wantAcks(1, 2, 3)
	x.wantHeld("a", "b", "c")
}

// F17: the gateway is killed between its commit and its acknowledgement, and before its commit.
func TestARepeatAfterOurKillIsHeldOnce(t *testing.T) {
	t.Parallel()
	broker := newScript(t)
	dir := t.TempDir()
	x := newBox(t, dir, bins(t, broker.Address(), nil), func(payload string) error {
		if payload == "b" {
			return errNotNow
		}
		return nil
	})
	first := broker.accept(false, true)
	first.send(1, false, "a")
	first.wantAcks(1)
	first.send(2, false, "b")
	first.leave()
	x.wantHeld("a")
	after := killed(t, dir)
	x.stop()

	x = newBox(t, after, bins(t, broker.Address(), nil), nil)
	second := broker.accept(true, false)
	second.send(1, true, "a")
	second.send(2, true, "b")
	second.wantAcks(1, 2)
	x.wantHeld("a", "b")
}

// killed returns a folder as a kill of its process leaves it.
func killed(t *testing.T, dir string) string {
	t.Helper()
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return left
}

// F17: many brokers use a packet id again as soon as they have our acknowledgement. The first delivery of the second
// reading is lost on the way, so all that comes is a repeat that looks like the first.
func TestAnEqualReadingWhoseFirstDeliveryWasLostIsKept(t *testing.T) {
	t.Parallel()
	for name, restarted := range map[string]bool{"ids used at once": false, "no session left": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := newScript(t)
			x := newBox(t, t.TempDir(), bins(t, broker.Address(), nil), nil)
			first := broker.accept(false, restarted)
			first.send(1, false, "closed")
			first.wantAcks(1)
			if restarted {
				first.leave()
				first = broker.accept(false, false) // the broker has forgotten us, and sends into a dead network
			} else {
				first.wantPing()
				first.settle(2, "other")
				x.wantHeld("closed", "other")
			}
			first.leave()
			second := broker.accept(true, false)
			second.send(1, true, "closed")
			second.wantAcks(1)
			if restarted {
				x.wantHeld("closed", "closed")
			} else {
				x.wantHeld("closed", "other", "closed")
			}
		})
	}
}

// F17: the second of two equal readings with one packet id could not be held; its repeat is not taken for the first.
func TestAnEqualReadingThatCouldNotBeHeldIsKept(t *testing.T) {
	t.Parallel()
	broker := newScript(t)
	var failing atomic.Bool
	x := newBox(t, t.TempDir(), bins(t, broker.Address(), nil), func(string) error {
		if failing.Load() {
			return errNotNow
		}
		return nil
	})
	first := broker.accept(false, true)
	first.send(1, false, "closed")
	first.wantAcks(1)
	failing.Store(true)
	first.send(1, false, "closed")
	second := broker.accept(true, true) // the source left: it cannot hold the message
	failing.Store(false)
	second.send(1, true, "closed")
	second.wantAcks(1)
	x.wantHeld("closed", "closed")
	second.leave()
	third := broker.accept(true, true)
	third.send(1, true, "closed") // now a repeat
	third.send(2, false, "end")
	third.wantAcks(1, 2)
	x.wantHeld("closed", "closed", "end")
}

// F17: a broker that was killed comes back as it was some time before, and repeats what it knows to be acknowledged. From
// one that counts its ids up that is seen; one that begins again at each connection is not suspected.
func TestABrokerThatForgotOurAcknowledgementsRepeatsNothing(t *testing.T) {
	t.Parallel()
	broker := newScript(t)
	x := newBox(t, t.TempDir(), bins(t, broker.Address(), nil), nil)
	first := broker.accept(false, false)
	first.send(1, false, "a")
	first.send(2, false, "b")
	first.wantAcks(1, 2)
	first.wantPing()
	first.leave()
	second := broker.accept(true, false)
	second.settle(3, "c")
	second.wantPing()
	second.settle(4, "d")
	second.leave()
	third := broker.accept(true, false)
	third.send(2, true, "b")
	third.send(3, true, "c")
	third.send(5, false, "e")
	third.wantAcks(2, 3, 5)
	x.wantHeld("a", "b", "c", "d", "e")
	third.leave()
	fourth := broker.accept(true, false)
	fourth.settle(1, "f") // begins again: its ids mean nothing from here on
	fourth.wantPing()
	fourth.settle(2, "g")
	fourth.leave()
	fifth := broker.accept(true, false)
	fifth.send(1, true, "f")
	fifth.wantAcks(1)
	x.wantHeld("a", "b", "c", "d", "e", "f", "g", "f")
}

// F17, F16: readings that are all the same, through a network that is cut again and again and a gateway that is killed.
func TestEqualReadingsAreNeitherLostNorDoubledByCutsAndKills(t *testing.T) {
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "max_queued_messages 0")
	cable := newCable(t, broker.Address())
	dir := t.TempDir()
	x := newBox(t, dir, bins(t, cable.Address(), nil), nil)
	select {
	case <-x.ready:
	case <-time.After(deadline):
		t.Fatal("no subscription")
	}
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	const rounds, each = 40, 25
	for round := range rounds {
		for i := range each {
			publisher.Publish("bins/b1/state", 1, false, []byte("x"))
			if i == round%each {
				cable.cut()
			}
		}
		if round%8 == 7 {
			x.cancel() // no answer reaches the broker any more
			cable.cut()
			left := killed(t, dir)
			x.stop()
			dir = left
			x = newBox(t, dir, bins(t, cable.Address(), nil), nil)
		}
	}
	const want = rounds * each
	gatewaytest.WaitFor(t, deadline, "the rest", func() bool { return len(x.held()) >= want })
	time.Sleep(100 * time.Millisecond) // for one too many
	if got := len(x.held()); got != want {
		t.Errorf("%d readings are held, %d were published", got, want)
	}
}

// F16, F17: the broker is killed with messages that nobody acknowledged.
func TestABrokerThatIsKilledRepeatsWhatIsHeldAlready(t *testing.T) {
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "persistence true\npersistence_location {dir}/")
	s := bins(t, broker.Address(), nil)
	receiver := gatewaytest.NewReceiver(true)
	running := gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	const many = 15 // below what Mosquitto has in flight
	for range many {
		publisher.Publish("bins/b1/state", 1, false, []byte("x"))
	}
	first := receiver.WaitFor(t, many)
	broker.Save()
	broker.Kill()
	receiver.Done(nil) // held; the acknowledgements reach nobody
	_ = running.Ended(t)
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	again := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, s, again)
	second := again.WaitFor(t, many)
	for i := range first {
		if first[i].Mark != second[i].Mark || !second[i].Repeat {
			t.Fatalf("message %d: mark %x, then %x as a repeat: %t", i, first[i].Mark, second[i].Mark, second[i].Repeat)
		}
	}
}
