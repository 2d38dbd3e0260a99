package demo

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// landings collects the messages that a radio has delivered.
type landings struct {
	mu       sync.Mutex
	messages []Message
}

func (l *landings) land(m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages = append(l.messages, m)
}

func (l *landings) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.messages)
}

// factoryTown is a town whose ABP devices need no answers.
func factoryTown(t *testing.T) (*Town, []*device) {
	t.Helper()
	town := NewTown(TownOptions{Seed: 9, Lights: 30, Radio: 1})
	var ready []*device
	for _, d := range town.onAir() {
		if d.ready() {
			ready = append(ready, d)
		}
	}
	if len(ready) == 0 {
		t.Fatal("no ABP device in the town")
	}
	return town, ready
}

func runAir(t *testing.T, options AirOptions) (*Air, func()) {
	t.Helper()
	air, err := OpenAir(options)
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(startRadio(context.Background(), air))
	t.Cleanup(stop)
	if err := air.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	return air, stop
}

func nine(d *device) Message {
	return Message{Uplink: &RadioUplink{device: d, port: 26, payload: []byte("nine")}, Sensor: d.sensor.ID}
}

func TestMessageCountsAsSentOnceAGatewayHasAnAcknowledgement(t *testing.T) {
	server := startUDPServer(t)
	deaf := true
	server.ignore(func(uint64, []receivedPacket) bool { return deaf })
	town, ready := factoryTown(t)
	air, _ := runAir(t, AirOptions{Server: server.address(), Town: town, Calm: true})
	l := &landings{}
	air.Send(nine(ready[0]), l.land)
	eventually(t, "the frame to be sent again", func() bool { return air.Counts().Resent > 0 })
	if l.count() != 0 {
		t.Fatal("it counts as sent without an acknowledgement")
	}
	server.mu.Lock()
	deaf = false
	server.mu.Unlock()
	eventually(t, "the acknowledgement", func() bool { return l.count() == 1 })
	if e := l.messages[0].Expect; e.From.After(time.Now()) || !e.Until.After(time.Now()) {
		t.Errorf("it was heard between %s and %s", e.From, e.Until)
	}
}

func TestSeveralGatewaysHearTheSameFrameAtNearlyTheSameTime(t *testing.T) {
	server := startUDPServer(t)
	town, ready := factoryTown(t)
	air, _ := runAir(t, AirOptions{Server: server.address(), Town: town, Calm: true})
	l := &landings{}
	for _, d := range ready {
		air.Send(nine(d), l.land)
	}
	eventually(t, "all of them", func() bool { return l.count() == len(ready) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := air.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	first, copies := map[string]arrival{}, 0
	for _, a := range server.arrivals() {
		if a.packet.Data[0] == typeJoinRequest {
			continue
		}
		before, again := first[string(a.packet.Data)]
		if !again {
			first[string(a.packet.Data)] = a
			continue
		}
		copies++
		if a.gateway == before.gateway {
			t.Errorf("gateway %x heard a frame twice", a.gateway)
		}
		if gap := a.at.Sub(before.at); gap > spread+100*time.Millisecond {
			t.Errorf("a copy came %s later", gap)
		}
	}
	if copies == 0 {
		t.Error("no frame was heard by two gateways")
	}
}

func TestConfirmedUplinkIsRepeatedTwiceWithItsCounter(t *testing.T) {
	server := startUDPServer(t)
	town, ready := factoryTown(t)
	air, _ := runAir(t, AirOptions{Server: server.address(), Town: town, Calm: true})
	d, l := ready[0], &landings{}
	d.busy.Add(1)
	air.post(func() {
		d.queue = append(d.queue, &errand{message: nine(d), landed: l.land, frame: uplinkFrame{confirmed: true, port: 2, payload: []byte("nine")}})
		air.next(d)
	})
	eventually(t, "the device to give up", func() bool { return d.ready() })
	frames := map[string]map[uint32]bool{} // when they came, in the time of each frame
	for _, a := range server.arrivals() {
		if a.packet.Data[0] == typeConfirmedUp {
			if frames[string(a.packet.Data)] == nil {
				frames[string(a.packet.Data)] = map[uint32]bool{}
			}
			if a.gateway == gatewayEUI(d.coverage[0]) {
				frames[string(a.packet.Data)][a.packet.Timestamp] = true
			}
		}
	}
	if len(frames) != 1 {
		t.Fatalf("%d different frames, want one of LoRaWAN 1.0", len(frames))
	}
	for _, times := range frames {
		if len(times) != maxTries {
			t.Errorf("it was sent %d times, want %d", len(times), maxTries)
		}
	}
	if l.count() != 1 {
		t.Errorf("it counts as %d messages, want 1", l.count())
	}
}

func TestAlarmWaitsForTheFrameBeforeIt(t *testing.T) {
	server := startUDPServer(t)
	deaf := true
	server.ignore(func(uint64, []receivedPacket) bool { return deaf })
	town, ready := factoryTown(t)
	air, _ := runAir(t, AirOptions{Server: server.address(), Town: town, Calm: true})
	d, l := ready[0], &landings{}
	plain, alarm := nine(d), nine(d)
	alarm.Expect.Alarms = []Edge{{"lamp_failure", true}}
	air.Send(plain, l.land)
	air.Send(alarm, l.land)
	eventually(t, "the device to have closed its windows", func() bool {
		idle := make(chan bool, 1)
		air.post(func() { idle <- len(d.unsettled) == 1 && d.current == nil })
		return <-idle
	})
	counters := map[string]bool{}
	for _, a := range server.arrivals() {
		if a.packet.Data[0] != typeJoinRequest {
			counters[string(a.packet.Data[6:8])] = true
		}
	}
	if len(counters) != 1 {
		t.Errorf("%d frames were sent, want one", len(counters))
	}
	server.mu.Lock()
	deaf = false
	server.mu.Unlock()
	eventually(t, "both", func() bool { return l.count() == 2 })
}

func TestUnacknowledgedFramesAreAnErrorAtTheEnd(t *testing.T) {
	server := startUDPServer(t)
	server.ignore(func(uint64, []receivedPacket) bool { return true })
	town, ready := factoryTown(t)
	air, _ := runAir(t, AirOptions{Server: server.address(), Town: town, Calm: true})
	air.Send(nine(ready[0]), func(Message) { t.Error("it counts as sent") })
	eventually(t, "the frame", func() bool { return len(server.arrivals()) > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := air.Finish(ctx); err == nil {
		t.Error("no error")
	}
}

func TestSecondRunGoesOnWithNoncesAndCounters(t *testing.T) {
	server := startUDPServer(t)
	memory := filepath.Join(t.TempDir(), "memory", "town.json")
	last := func() (nonce uint16, counter uint32) {
		town, ready := factoryTown(t)
		air, stop := runAir(t, AirOptions{Server: server.address(), Town: town, Calm: true, Memory: memory})
		l := &landings{}
		air.Send(nine(ready[0]), l.land)
		eventually(t, "the message", func() bool { return l.count() == 1 })
		stop()
		return town.onAir()[0].nonce, ready[0].session.counter
	}
	nonce, counter := last()
	nonce2, counter2 := last()
	if nonce2 <= nonce || counter2 <= counter {
		t.Errorf("after nonce %d and counter %d come %d and %d", nonce, counter, nonce2, counter2)
	}
}

func TestSameSeedGivesTheSameKeysWhateverTheShare(t *testing.T) {
	all := map[string]*device{}
	for _, d := range NewTown(TownOptions{Seed: 5, Radio: 1}).onAir() {
		all[d.sensor.Device] = d
	}
	some := NewTown(TownOptions{Seed: 5, Radio: 0.3}).onAir()
	if len(some) == 0 || len(some) >= len(all)/2 {
		t.Fatalf("%d of %d devices are on air", len(some), len(all))
	}
	kinds, addresses := map[activation]int{}, map[uint32]int{}
	for _, d := range all {
		kinds[d.activation]++
		if d.activation == abp10 {
			addresses[d.address]++
		}
	}
	for _, d := range some {
		other := all[d.sensor.Device]
		if d.app != other.app || d.net != other.net || d.address != other.address || d.activation != other.activation {
			t.Errorf("%s has other keys", d.sensor.ID)
		}
	}
	if len(kinds) != 3 || len(addresses) == kinds[abp10] {
		t.Errorf("%v devices by activation, %d addresses of the last; want all three and some addresses shared", kinds, len(addresses))
	}
}
