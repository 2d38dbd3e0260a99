package event

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"belfry/configs"
	"belfry/decoders"
)

var noon = time.Date(2026, 1, 14, 17, 2, 10, 951e6, time.UTC)

func observation() Event {
	return Event{
		ID: "mcbmjrqw5pejueayi4hut4yz5q", Source: "/belfry/mairie-nord/chirpstack", Type: TypeObservation,
		Subject: "EP-0457-03", Time: noon.Add(-539 * time.Millisecond), Owner: "219900016", Commune: "99001", Service: "lighting",
		Sensor: &Sensor{
			ID: "EP-0457-03", Kind: "streetlight", Model: "nas-ul20xx", Device: "70b3d5e75e00a1f2",
			Location: &Point{Longitude: 2.3712, Latitude: 48.9105},
		},
		Received: noon, Clock: ClockNetwork,
		Measurements: []Measurement{
			{Name: "lamp_on", Value: decoders.Bool(true)},
			{Name: "dim_level", Value: decoders.Number(70), Unit: "%"},
			{Name: "active_power", Value: decoders.Number(38.4), Unit: "W"},
			{Name: "active_energy", Channel: 2, Value: decoders.Number(412873), Unit: "W.h", Suspect: true},
		},
		Alarms: []string{"driver_overheating"},
		Link:   &Link{RSSI: -97, SNR: 6.2, SpreadingFactor: 8, Gateways: 3},
	}
}

func alarm() Event {
	e := observation()
	e.Type, e.Measurements, e.Alarms, e.Link = TypeAlarm, nil, nil, nil
	e.Alarm = &AlarmEdge{Code: "lamp_failure", Active: true, Since: noon}
	return e
}

func notice() Event {
	e := observation()
	e.Type, e.Service, e.Sensor, e.Measurements, e.Alarms, e.Link = TypeNotice, "", nil, nil, nil, nil
	e.Notice = &Notice{Code: "expired", Reason: `3 records of "bins" were given up`, Details: map[string]any{"count": 3, "sensors": []string{"b 1"}}}
	return e
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, err := configs.Files.ReadFile("schema/event.v1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("event.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func validate(schema *jsonschema.Schema, packed []byte) error {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	return schema.Validate(document)
}

func TestObservationIsPrintedAsTheFormatSays(t *testing.T) {
	e := observation()
	const want = `{"specversion":"1.0","id":"mcbmjrqw5pejueayi4hut4yz5q","source":"/belfry/mairie-nord/chirpstack",` +
		`"type":"belfry.observation.v1","subject":"EP-0457-03","time":"2026-01-14T17:02:10.412Z",` +
		`"datacontenttype":"application/json","dataschema":"urn:belfry:event:v1","owner":"219900016","commune":"99001",` +
		`"service":"lighting","data":{"sensor":{"id":"EP-0457-03","kind":"streetlight","model":"nas-ul20xx",` +
		`"device":"70b3d5e75e00a1f2"},"location":{"type":"Point","coordinates":[2.3712,48.9105]},` +
		`"received":"2026-01-14T17:02:10.951Z","clock":"network","measurements":{"lamp_on":{"value":true},` +
		`"dim_level":{"value":70,"unit":"%"},"active_power":{"value":38.4,"unit":"W"},` +
		`"active_energy_2":{"value":412873,"unit":"W.h","quality":"suspect"}},"alarms":["driver_overheating"],` +
		`"link":{"rssi":-97,"snr":6.2,"spreading_factor":8,"gateways":3},"flags":[]}}`
	if diff := cmp.Diff(want, string(e.AppendJSON(nil))); diff != "" {
		t.Error(diff)
	}
}

func TestEveryTypeOfEventValidatesAgainstTheSchema(t *testing.T) {
	compiled := schema(t)
	bare := observation()
	bare.Sensor = &Sensor{ID: "a", Kind: "water_meter", Model: "m"}
	bare.Measurements, bare.Alarms, bare.Link = nil, nil, nil
	odd := observation()
	odd.Subject, odd.Sensor.ID = "école \"nord\" <1>", "école \"nord\" <1>\x01"
	odd.Flags = []string{FlagClockFault, FlagDecoderWarning}
	odd.Time = noon.Truncate(time.Second)
	for name, e := range map[string]Event{"observation": observation(), "alarm": alarm(), "notice": notice(), "bare": bare, "odd": odd} {
		packed := e.AppendJSON(nil)
		if err := validate(compiled, packed); err != nil {
			t.Errorf("%s: %v\n%s", name, err, packed)
		}
	}
}

func TestSchemaRefusesWhatTheFormatForbids(t *testing.T) {
	compiled := schema(t)
	spoil := func(name string, change func(e *Event)) {
		t.Helper()
		e := observation()
		change(&e)
		if err := validate(compiled, e.AppendJSON(nil)); err == nil {
			t.Errorf("%s validates, want it refused", name)
		}
	}
	spoil("an event of 1970", func(e *Event) { e.Time = time.Unix(0, 0) })
	spoil("a value that is not known", func(e *Event) { e.Measurements[0].Value = decoders.Value{} })
	spoil("an unknown service", func(e *Event) { e.Service = "parks" })
	spoil("an observation without a service", func(e *Event) { e.Service = "" })
	spoil("a short owner", func(e *Event) { e.Owner = "12" })
	spoil("a plain id", func(e *Event) { e.ID = "70b3d5e75e00a1f2" })
	spoil("a place off the earth", func(e *Event) { e.Sensor.Location = &Point{Longitude: 200} })
	spoil("an empty text", func(e *Event) { e.Measurements[0].Value = decoders.Text("") })
	spoil("an unknown flag", func(e *Event) { e.Flags = []string{"odd"} })
}

func TestVocabularyHasTheNamesOfTheFirstEdition(t *testing.T) {
	// name, kind, unit: the first edition. Names, units and kinds never change; names may be added.
	first := `lamp_on state -,dim_level gauge %,lamp_hours counter h,lamp_switches counter 1,driver_temperature gauge Cel,` +
		`illuminance gauge lx,active_power gauge W,voltage gauge V,current gauge A,power_factor gauge 1,frequency gauge Hz,` +
		`active_energy counter W.h,water_volume counter L,water_volume_reverse counter L,water_flow gauge L/h,` +
		`water_flow_min gauge L/h,water_flow_max gauge L/h,water_temperature gauge Cel,water_pressure gauge kPa,` +
		`pulses counter 1,fill_level gauge %,fill_distance gauge mm,container_weight gauge kg,` +
		`container_temperature gauge Cel,tilt gauge deg,lid_open state -,collections counter 1,parking_occupied state -,` +
		`vehicle_count delta 1,sewer_level gauge mm,air_temperature gauge Cel,air_humidity gauge %,air_pressure gauge hPa,` +
		`co2 gauge ppm,battery_level gauge %,battery_voltage gauge V`
	for _, line := range bytes.Split([]byte(first), []byte(",")) {
		want := bytes.Fields(line)
		term := Terms().Term(string(want[0]))
		if term == nil {
			t.Errorf("%s is not in the vocabulary", want[0])
			continue
		}
		unit := term.Unit
		if unit == "" {
			unit = "-"
		}
		if term.Kind != string(want[1]) || unit != string(want[2]) {
			t.Errorf("%s is a %s in %s, want %s in %s", want[0], term.Kind, unit, want[1], want[2])
		}
		if term.Label.English == "" || term.Label.French == "" {
			t.Errorf("%s lacks a label", want[0])
		}
	}
	if got := len(Terms().AlarmCodes()); got < 31 {
		t.Errorf("got %d alarm codes, want at least 31", got)
	}
}

func TestIDIsKeyedAndStable(t *testing.T) {
	one, err := NewIdentifier([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	// printf %s ns:1 | openssl dgst -sha256 -mac HMAC -macopt key:0123456789abcdef -binary | head -c16 | base32
	const want = "wbe7ftuabrltkdrgorg7cyszkq"
	if got := one.ID("ns:1"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	other, err := NewIdentifier([]byte("0123456789abcdeg"))
	if err != nil {
		t.Fatal(err)
	}
	if one.ID("ns:1") == other.ID("ns:1") {
		t.Error("two keys give one id")
	}
	if _, err := NewIdentifier([]byte("short")); err == nil {
		t.Error("a short key is taken")
	}
}

func TestRecordComesBackAsItWas(t *testing.T) {
	want := Record{ID: "mcbmjrqw5pejueayi4hut4yz5q", Subject: "town.99001.water.observation.x", Body: []byte(`{"a":1}`)}
	packed := want.Append(nil)
	got, err := ParseRecord(packed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for n := range len(packed) - len(want.Body) {
		if _, err := ParseRecord(packed[:n]); err == nil {
			t.Errorf("a record cut off after %d bytes is read", n)
		}
	}
}

func TestQuarantinedComesBackAsItWas(t *testing.T) {
	want := Quarantined{Stage: "decode", Reason: "too short", Raw: []byte{0, 255}, Received: noon}
	got, err := ParseQuarantined(want.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTokenEscapesWhatASubjectMayNotHold(t *testing.T) {
	for id, want := range map[string]string{
		"EP-0457_03": "EP-0457_03", "a.b": "a_2eb", "*": "_2a", ">": "_3e", "é": "_c3_a9", "a b": "a_20b",
	} {
		if got, err := Token(id); err != nil || got != want {
			t.Errorf("Token(%q) = %q, %v, want %q", id, got, err, want)
		}
	}
	for _, id := range []string{"", string(bytes.Repeat([]byte("x"), 65)), string(bytes.Repeat([]byte("."), 22))} {
		if got, err := Token(id); err == nil {
			t.Errorf("Token(%q) = %q, want an error", id, got)
		}
	}
}

func TestBestTimeTakesTheDeviceOnlyWhenItIsPlausible(t *testing.T) {
	network, received := noon.Add(-time.Second), noon
	check := func(name string, claim, network, want time.Time, clock Clock, fault bool) {
		t.Helper()
		best, gotClock, gotFault := BestTime(claim, network, received, 36*time.Hour)
		if !best.Equal(want) || gotClock != clock || gotFault != fault {
			t.Errorf("%s: got %v %s %v, want %v %s %v", name, best, gotClock, gotFault, want, clock, fault)
		}
	}
	check("no claim", time.Time{}, network, network, ClockNetwork, false)
	check("no claim, no network", time.Time{}, time.Time{}, received, ClockGateway, false)
	check("an hour ago", noon.Add(-time.Hour), network, noon.Add(-time.Hour), ClockDevice, false)
	check("two minutes ahead", noon.Add(2*time.Minute), network, noon.Add(2*time.Minute), ClockDevice, false)
	check("more than two minutes ahead", noon.Add(2*time.Minute+1), network, network, ClockNetwork, true)
	check("36 hours ago", noon.Add(-36*time.Hour), network, noon.Add(-36*time.Hour), ClockDevice, false)
	check("more than 36 hours before the network", network.Add(-36*time.Hour-1), network, network, ClockNetwork, true)
	check("three days ago, as the network says", noon.AddDate(0, 0, -3), noon.AddDate(0, 0, -3).Add(time.Second), noon.AddDate(0, 0, -3), ClockDevice, false)
	check("1970", time.Unix(0, 0), network, network, ClockNetwork, true)
	check("the network in 2099", time.Time{}, noon.AddDate(73, 0, 0), received, ClockGateway, true)
	check("the network in 1980", time.Time{}, time.Date(1980, 1, 6, 0, 0, 0, 0, time.UTC), received, ClockGateway, true)
	check("the network three days ago", time.Time{}, noon.AddDate(0, 0, -3), noon.AddDate(0, 0, -3), ClockNetwork, false)
}

func BenchmarkAppendJSON(b *testing.B) {
	e := observation()
	buffer := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		buffer = e.AppendJSON(buffer[:0])
	}
	if !json.Valid(buffer) {
		b.Fatalf("not JSON: %s", buffer)
	}
}

func BenchmarkIdentifier(b *testing.B) {
	ids, err := NewIdentifier([]byte("0123456789abcdef"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ids.ID("ns:3ac7e3c4-4401-4b8d-9386-a5c902f9202d")
	}
}
