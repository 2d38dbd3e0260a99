package gateway

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"belfry/buffer"
	"belfry/decoders"
	"belfry/gateway/event"
)

// Town says whose data it is and where it was taken.
type Town struct {
	Name    string
	Commune string // INSEE code
	Owner   string // SIREN
}

// NormaliserOptions are what a Normaliser needs to know.
type NormaliserOptions struct {
	Gateway   string
	Town      Town
	Prefix    string // first token of subjects
	Inventory *Inventory
	EventKey  []byte // see event.NewIdentifier
}

// Normaliser turns uplinks into events. It holds no state of sensors: that is in the store.
type Normaliser struct {
	NormaliserOptions
	ids   *event.Identifier
	token string // of the gateway's own notices
}

// NewNormaliser returns a Normaliser; the error is about the event key or the gateway's name.
func NewNormaliser(options NormaliserOptions) (*Normaliser, error) {
	ids, err := event.NewIdentifier(options.EventKey)
	if err != nil {
		return nil, err
	}
	token, err := event.Token(options.Gateway)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return &Normaliser{options, ids, token}, nil
}

// Prepared is one uplink, decoded: all that can be known before the state of its sensor.
type Prepared struct {
	normaliser *Normaliser
	source     string
	uplink     *Uplink
	sensor     *Sensor
	identity   string
	replayed   bool     // it comes from quarantine
	claimed    []string // flags that its Claim gave, set by Build
	discarded  bool     // by its Claim, set by Build
	samples    []sample
	levels     []event.AlarmLevel
	rejected   *event.Quarantined

	Output decoders.Output // what the decoder said, for people
}

type sample struct {
	time         time.Time
	clock        event.Clock
	flags        []string
	measurements []event.Measurement
}

// Prepare decodes an uplink. It never fails: what cannot be decoded is prepared for quarantine.
func (n *Normaliser) Prepare(source string, uplink *Uplink) *Prepared {
	p := &Prepared{normaliser: n, source: source, uplink: uplink, identity: uplink.Identity}
	if uplink.Discard != "" {
		return p
	}
	if uplink.Fault != nil {
		return p.reject("source", uplink.Fault)
	}
	find := n.Inventory.Find
	if uplink.Vouched {
		find = n.Inventory.FindVouched
	}
	p.sensor = find(source, uplink.Device)
	if p.sensor == nil {
		if !uplink.Vouched { // or anybody could use up what belongs to a sensor that is bound to another source
			uplink.Claim = nil
		}
		return p.reject("inventory", fmt.Errorf("no sensor with device %q (add a line to sensors/*.csv)", uplink.Device))
	}
	if uplink.Readings != nil {
		p.addSample(decoders.Sample{}, uplink.Readings, nil)
	}
	if uplink.Payload == nil {
		return p
	}
	frame := decoders.Uplink{Port: uplink.Port, Payload: uplink.Payload, Received: uplink.reception()}
	if payload := p.sensor.Payload; payload != nil {
		frame.Key, frame.Meter = payload.Key[:], payload.Meter
	}
	output, err := decoders.Run(p.sensor.Model.Decode, frame)
	if err != nil {
		return p.reject("decode", err)
	}
	p.Output = output
	if p.identity == "" && output.MessageID != "" {
		p.identity = "message:" + p.sensor.Event.ID + "\x00" + output.MessageID
	}
	var flags []string
	if len(output.Warnings) > 0 {
		flags = []string{event.FlagDecoderWarning}
	}
	for _, s := range output.Samples {
		measurements, levels, err := p.sensor.Model.Mapping.Apply(s)
		if err != nil {
			return p.reject("map", err)
		}
		if len(measurements) > 0 || len(levels) > 0 {
			p.addSample(s, measurements, flags)
		}
		if len(levels) > 0 {
			p.levels = levels
		}
	}
	return p
}

func (p *Prepared) addSample(s decoders.Sample, measurements []event.Measurement, flags []string) {
	best, clock, fault := event.BestTime(s.Time, p.uplink.Time, p.uplink.Received, p.sensor.Model.MaxAge)
	if fault {
		flags = append(flags[:len(flags):len(flags)], event.FlagClockFault)
	}
	p.samples = append(p.samples, sample{best, clock, flags, measurements})
}

func (p *Prepared) reject(stage string, err error) *Prepared {
	u := p.uplink
	p.samples, p.levels = nil, nil
	p.rejected = &event.Quarantined{
		Stage: stage, Reason: err.Error(), Source: p.source, Topic: u.Topic, Device: u.Device, Port: u.Port,
		Payload: u.Payload, Raw: u.Raw, Identity: p.identity, Received: u.Received, Time: u.Time,
	}
	if p.sensor != nil {
		model := p.sensor.Model
		p.rejected.Sensor, p.rejected.Model, p.rejected.Decoder = p.sensor.Event.ID, model.Name, model.Version
	}
	return p
}

// Rejected is what goes to quarantine, nil when the uplink is good.
func (p *Prepared) Rejected() *event.Quarantined { return p.rejected }

// Empty says that the uplink holds nothing to keep: no reading, no fact, no fault.
func (p *Prepared) Empty() bool {
	return p.rejected == nil && len(p.samples) == 0 && len(p.uplink.Facts) == 0 && p.uplink.Notice == nil
}

// mark returns how the buffer recognises a repeat of the uplink, and whether to look.
func (p *Prepared) mark() (mark buffer.Mark, once bool) {
	if p.Empty() || p.uplink.Claim != nil { // a Claim looks itself
		return mark, false
	}
	if p.identity == "" {
		return p.uplink.Mark, p.uplink.Repeat
	}
	return p.normaliser.ids.Sum(p.identity), true
}

// Transaction is the part of a buffer's transaction that events are built in; *buffer.Tx documents it.
type Transaction interface {
	State(key string) []byte
	SetState(key string, value []byte)
	Append(lane buffer.Lane, data []byte) buffer.Seq
	Mark(mark buffer.Mark) (known bool)
	Discard(reason string)
}

// Build appends the uplink's events, or its quarantined message, and the change of its sensor's state. An uplink that
// Belfry itself stumbles over goes to quarantine, so that it cannot come back for ever.
func (p *Prepared) Build(tx Transaction) error {
	if p.discarded = p.uplink.Claim != nil && !p.claim(tx); p.discarded {
		return nil
	}
	d := &draft{state: tx}
	if err := p.draft(d); err != nil {
		p.reject("build", err)
		d = &draft{state: tx}
		if err := p.draft(d); err != nil {
			return err
		}
	}
	d.commit(tx)
	return nil
}

// discardKnown is why an uplink is discarded whose identity is known from another way.
const discardKnown = "copy"

// claim runs the uplink's Claim and says whether anything of the uplink is kept.
func (p *Prepared) claim(tx Transaction) bool {
	claimed := p.uplink.Claim(tx)
	if claimed.Discard != "" {
		tx.Discard(claimed.Discard)
		return false
	}
	p.claimed = claimed.Flags
	if claimed.Identity != "" {
		p.identity = claimed.Identity
	} else {
		p.identity = p.uplink.Identity
	}
	if p.rejected != nil {
		p.rejected.Identity = p.identity
	}
	if p.identity != "" && !p.Empty() && tx.Mark(p.normaliser.ids.Sum(p.identity)) {
		tx.Discard(discardKnown)
		return false
	}
	return true
}

// draft builds in memory; a panic becomes an error.
func (p *Prepared) draft(d *draft) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("fault in this program: %v", cause)
		}
	}()
	if p.rejected != nil {
		d.append(buffer.Quarantine, p.rejected.Append(nil))
		return nil
	}
	if p.Empty() {
		d.discard = cmp.Or(p.uplink.Discard, discardEmpty)
		return nil
	}
	d.discard = discardFacts
	state := loadSensorState(d.state, p.sensor.Event.ID)
	if p.identity == "" {
		p.identity = "random:" + rand.Text()
	}
	edges := p.turn(state)
	active := state.active()
	for i := range p.samples {
		p.draftObservation(d, i, active)
	}
	for i := range edges {
		p.draftAlarm(d, &edges[i])
	}
	if p.uplink.Notice != nil {
		p.draftNotice(d)
	}
	if state.learn(p.uplink.Facts) || len(edges) > 0 {
		return state.save(d)
	}
	return nil
}

// Why an uplink leaves no record behind, where its source does not say.
const (
	discardEmpty = "empty" // no reading in it
	discardFacts = "facts" // only something to remember of its sensor
)

// draft is what a transaction will get, all of it or nothing.
type draft struct {
	state   Transaction // to read from
	records []draftRecord
	key     string // of the changed state
	value   []byte
	discard string // why there are no records, if there are none
}

type draftRecord struct {
	lane buffer.Lane
	data []byte
}

func (d *draft) append(lane buffer.Lane, data []byte) {
	d.records = append(d.records, draftRecord{lane, data})
}

func (d *draft) commit(tx Transaction) {
	for _, record := range d.records {
		tx.Append(record.lane, record.data)
	}
	if len(d.records) == 0 {
		tx.Discard(d.discard)
	}
	if d.key != "" {
		tx.SetState(d.key, d.value)
	}
}

// turn applies the uplink's alarm levels to the sensor's state and returns the edges.
func (p *Prepared) turn(state *sensorState) []event.AlarmEdge {
	var edges []event.AlarmEdge
	for _, level := range p.levels {
		since, was := state.Alarms[level.Code]
		switch {
		case level.Active && !was:
			since = p.samples[len(p.samples)-1].time
			state.raise(level.Code, since)
		case !level.Active && was:
			delete(state.Alarms, level.Code)
		default:
			continue
		}
		edges = append(edges, event.AlarmEdge{Code: level.Code, Active: level.Active, Since: since})
	}
	return edges
}

func (p *Prepared) draftObservation(d *draft, i int, alarms []string) {
	identity := p.identity
	if len(p.samples) > 1 {
		identity += fmt.Sprintf("#%d", i)
	}
	s := &p.samples[i]
	e := p.event(event.TypeObservation, identity, s)
	e.Measurements, e.Alarms, e.Link, e.Flags = s.measurements, alarms, p.uplink.Link, withFlags(s.flags, p.claimed)
	if p.replayed {
		e.Flags = withFlags(e.Flags, []string{event.FlagReplayed})
	}
	d.append(buffer.Normal, p.normaliser.pack(&e, p.sensor.Token))
}

// withFlags returns both; neither is changed.
func withFlags(flags, more []string) []string {
	if len(more) == 0 {
		return flags
	}
	return append(slices.Clip(flags), more...)
}

func (p *Prepared) draftAlarm(d *draft, edge *event.AlarmEdge) {
	e := p.event(event.TypeAlarm, p.identity+"!"+edge.Code, &p.samples[len(p.samples)-1])
	e.Alarm = edge
	d.append(buffer.Urgent, p.normaliser.pack(&e, p.sensor.Token))
}

func (p *Prepared) draftNotice(d *draft) {
	at := sample{time: p.uplink.reception(), clock: event.ClockGateway}
	if !p.uplink.Time.IsZero() {
		at.clock = event.ClockNetwork
	}
	e := p.event(event.TypeNotice, "random:"+rand.Text(), &at)
	e.Notice = p.uplink.Notice
	d.append(buffer.Urgent, p.normaliser.pack(&e, p.sensor.Token))
}

func (p *Prepared) event(eventType, identity string, s *sample) event.Event {
	e := p.normaliser.envelope(p.source, eventType, identity, p.uplink.Received)
	e.Subject, e.Service, e.Sensor = p.sensor.Event.ID, p.sensor.Service, &p.sensor.Event
	e.Time, e.Clock = s.time, s.clock
	return e
}

// envelope returns an event about nothing yet, at the time it was received.
func (n *Normaliser) envelope(source, eventType, identity string, received time.Time) event.Event {
	path := "/belfry/" + n.Gateway
	if source != "" {
		path += "/" + source
	}
	return event.Event{
		ID: n.ids.ID(identity), Source: path, Type: eventType, Owner: n.Town.Owner, Commune: n.Town.Commune,
		Time: received, Received: received, Clock: event.ClockGateway,
	}
}

// pack returns the event as the buffer keeps it.
func (n *Normaliser) pack(e *event.Event, token string) []byte {
	record := event.Record{ID: e.ID, Subject: event.Subject(n.Prefix, n.Town.Commune, e.Service, e.Type, token)}
	return e.AppendJSON(record.Append(make([]byte, 0, 1024)))
}

// reception is the best that transport and box know of when the uplink was sent.
func (u *Uplink) reception() time.Time {
	if u.Time.IsZero() {
		return u.Received
	}
	return u.Time
}
