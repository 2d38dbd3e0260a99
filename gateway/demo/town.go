package demo

import (
	"math/rand/v2"
	"slices"
	"time"
)

// DefaultSpeed makes a quarter of an hour pass in the town with every second.
const DefaultSpeed = 900

// TownOptions say how large the town is and what drives it. With all four counts 0 it is the default town.
type TownOptions struct {
	Seed     uint64
	Run      uint64 // another run is the same sensors with other lives, and other identities of their messages; 0: as the seed has it
	Lights   int
	Meters   int
	Bins     int
	JSONBins int
	Clock    func() time.Time // what the sensors' clocks show; nil: time.Now
	Radio    float64          // share of the LoRaWAN sensors that radio gateways hear, instead of the town's ChirpStack
	Speed    float64          // how much faster than the clock lamps burn, water flows and bins fill; 0: DefaultSpeed
}

// Town is a simulated town: the same seed and clock give the same messages. It is not safe for concurrent use.
type Town struct {
	seed    uint64
	run     uint64
	radio   float64
	clock   func() time.Time
	speed   float64
	random  *rand.Rand
	network *network
	members []*member
	order   []int // in which members report, shuffled anew each round
	queue   []Message
	started time.Time
}

// member is one sensor with its life and its way to the broker.
type member struct {
	sensor  Sensor
	life    life
	station station
	raised  map[string]bool // alarms as last reported
	last    time.Time       // town time of the last report
}

// life is the state machine of one sensor.
type life interface {
	// live goes on to a moment and returns what the sensor sends then, oldest first.
	live(m moment) []report
}

// moment is when a sensor reports.
type moment struct {
	now    time.Time     // what clocks show
	town   time.Time     // the town's own, faster time
	passed time.Duration // town time since the sensor's last report
	random *rand.Rand
}

// chance says whether something that happens once in a mean time happens in the time that passed.
func (m moment) chance(mean time.Duration) bool {
	return m.random.Float64() < float64(m.passed)/float64(mean)
}

// between draws a duration.
func (m moment) between(least, most time.Duration) time.Duration {
	return least + time.Duration(m.random.Float64()*float64(most-least))
}

// report is one uplink of a sensor, before its envelope.
type report struct {
	port         uint8
	payload      []byte
	identity     string          // that the payload carries, "" if none
	observations []Observation   // a zero Time stands for the time of the envelope
	levels       map[string]bool // every alarm that the uplink speaks of
}

// station puts a report into the message that the broker gets.
type station interface {
	wrap(r *report, m moment) Message
}

// NewTown builds a town.
func NewTown(options TownOptions) *Town {
	if options.Lights+options.Meters+options.Bins+options.JSONBins == 0 {
		options.Lights, options.Meters, options.Bins, options.JSONBins = 160, 120, 60, 60
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	if options.Speed == 0 {
		options.Speed = DefaultSpeed
	}
	t := &Town{
		seed: options.Seed, run: options.Run, radio: options.Radio, clock: options.Clock, speed: options.Speed, started: options.Clock(),
		random: rand.New(rand.NewPCG(options.Seed, 0xbe1f12)),
	}
	t.network = newNetwork(t.random)
	t.settle(options)
	if t.run != 0 {
		*t.random = *rand.New(rand.NewPCG(t.seed, t.run))
	}
	for i := range t.members {
		t.members[i].last = t.started
		t.members[i].raised = map[string]bool{}
		t.order = append(t.order, i)
	}
	return t
}

// Next returns the next message of the town, at the clock's time. It is empty when no sensor can report at the moment, which
// happens on radio only.
func (t *Town) Next() Message {
	for tries := 0; len(t.queue) == 0; tries++ {
		if tries == len(t.order) {
			return Message{}
		}
		t.visit()
	}
	message := t.queue[0]
	t.queue = t.queue[1:]
	return message
}

// Batch returns the next count messages.
func (t *Town) Batch(count int) []Message {
	messages := make([]Message, count)
	for i := range messages {
		messages[i] = t.Next()
	}
	return messages
}

// StrangerDevice is the DevEUI of the device that the inventory does not have.
const StrangerDevice = "02be1f00000000ff"

// Stranger returns an uplink of a device that nobody entered into the inventory.
func (t *Town) Stranger() Message {
	m := t.moment(t.started)
	radio := t.network.newRadio(Sensor{ID: "unknown", Device: StrangerDevice}, false)
	unit := &dingtekBin{bin: newBin(t.random)}
	message := radio.wrap(&report{port: 3, payload: unit.frame()}, m)
	message.Sensor, message.Expect.Quarantined = "", true
	return message
}

// visit lets the next sensor report.
func (t *Town) visit() {
	if t.network.turn%len(t.order) == 0 {
		t.random.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
	}
	who := t.members[t.order[t.network.turn%len(t.order)]]
	t.network.turn++
	if radio, ok := who.station.(*antenna); ok && !radio.device.ready() {
		return
	}
	m := t.moment(who.last)
	who.last = m.town
	for _, r := range who.life.live(m) {
		t.send(who, &r, m)
	}
	if radio, ok := who.station.(*radio); ok {
		t.queue = append(t.queue, radio.chatter(m)...)
	}
}

func (t *Town) send(who *member, r *report, m moment) {
	message := who.station.wrap(r, m)
	message.Sensor = who.sensor.ID
	message.Expect.Alarms = who.edges(r.levels)
	t.queue = append(t.queue, message)
}

// edges compares what a report says of alarms to what the sensor said before.
func (w *member) edges(levels map[string]bool) []Edge {
	var edges []Edge
	for code, active := range levels {
		if active != w.raised[code] {
			w.raised[code] = active
			edges = append(edges, Edge{code, active})
		}
	}
	slices.SortFunc(edges, compareEdges)
	return edges
}

func (t *Town) moment(last time.Time) moment {
	now := t.clock()
	town := t.started.Add(time.Duration(float64(now.Sub(t.started)) * t.speed))
	return moment{now: now, town: town, passed: max(town.Sub(last), 0), random: t.random}
}
