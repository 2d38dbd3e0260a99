package demo

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chirpstack/chirpstack/api/go/v4/integration"
	"google.golang.org/protobuf/proto"

	"belfry/decoders"
)

// uplinkOf takes a message of the town apart as ChirpStack documents its events; false for what is no uplink.
func uplinkOf(t *testing.T, m *Message) (decoders.Uplink, bool) {
	t.Helper()
	if !strings.HasSuffix(m.Topic, "/event/up") {
		return decoders.Uplink{}, false
	}
	if m.Payload[0] != '{' {
		var event integration.UplinkEvent
		if err := proto.Unmarshal(m.Payload, &event); err != nil {
			t.Fatal(err)
		}
		return decoders.Uplink{Port: uint8(event.FPort), Payload: event.Data, Received: event.Time.AsTime()}, true
	}
	var event struct {
		FPort uint8
		Data  string
		Time  time.Time
	}
	if err := json.Unmarshal(m.Payload, &event); err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(event.Data)
	if err != nil {
		t.Fatal(err)
	}
	return decoders.Uplink{Port: event.FPort, Payload: data, Received: event.Time}, true
}

// fieldOf is the decoder's name for what the town publishes.
var fieldOf = map[string]string{
	"dim_level": "dimming_level", "lamp_on": "lamp_on", "active_energy": "active_energy", "active_power": "active_power",
	"water_volume": "volume", "fill_distance": "level", "container_temperature": "temperature", "tilt": "inclination",
}

// alarmField is the decoder's flag behind an alarm.
var alarmField = map[string]string{
	"lamp_failure": "lamp_failure", "water_leak": "leakage", "water_burst": "burst",
	"container_full": "full", "container_fire": "fire", "container_tipped": "tilt", "battery_low": "battery",
}

func TestDecodersReadWhatTheTownMeant(t *testing.T) {
	town := testTown(5)
	models := map[string]string{}
	for _, s := range town.Sensors() {
		models[s.ID] = s.Model
	}
	raised, decoded := map[[2]string]bool{}, map[string]int{}
	for range 6000 {
		message := town.Next()
		uplink, ok := uplinkOf(t, &message)
		if !ok {
			continue
		}
		model := models[message.Sensor]
		output, err := decoders.Run(decoders.Native(model), uplink)
		if err != nil {
			t.Fatalf("%s, port %d, %x: %v", model, uplink.Port, uplink.Payload, err)
		}
		if len(output.Warnings) > 0 {
			t.Fatalf("%s, port %d, %x: %q", model, uplink.Port, uplink.Payload, output.Warnings)
		}
		decoded[model+" "+output.Kind]++
		compareSamples(t, &message, output.Samples, uplink.Received)
		for _, edge := range message.Expect.Alarms {
			raised[[2]string{message.Sensor, edge.Code}] = edge.Active
		}
		compareFlags(t, &message, output.Samples, raised)
	}
	for _, kind := range []string{
		"nas-ul20xx status", "nas-ul20xx usage", "nas-ul20xx driver_alert", "axioma-qalcosonic-w1 log",
		"axioma-qalcosonic-w1 alarm", "dingtek-df702 heartbeat", "dingtek-df702 alarm",
	} {
		if decoded[kind] == 0 {
			t.Errorf("the town never sent %s: %v", kind, decoded)
		}
	}
}

func compareSamples(t *testing.T, m *Message, samples []decoders.Sample, heard time.Time) {
	t.Helper()
	if len(samples) != len(m.Expect.Observations) {
		t.Fatalf("%s: %d samples, want %d", m.Sensor, len(samples), len(m.Expect.Observations))
	}
	for i, want := range m.Expect.Observations {
		at := samples[i].Time
		if at.IsZero() {
			at = heard
		}
		if !at.Equal(want.Time) {
			t.Fatalf("%s: sample %d is of %s, want %s", m.Sensor, i, at, want.Time)
		}
		for name, value := range want.Values {
			if got := field(samples[i], fieldOf[name]).Number(); math.Abs(got-value) > 1e-9 {
				t.Fatalf("%s: %s is %v, want %v", m.Sensor, name, got, value)
			}
		}
	}
}

func compareFlags(t *testing.T, m *Message, samples []decoders.Sample, raised map[[2]string]bool) {
	t.Helper()
	newest := samples[len(samples)-1]
	for code, name := range alarmField {
		if flag := field(newest, name); flag.Kind() != decoders.KindNone && flag.Bool() != raised[[2]string{m.Sensor, code}] {
			t.Fatalf("%s: flag %s is %v, the town says %v", m.Sensor, name, flag, !flag.Bool())
		}
	}
}

func field(sample decoders.Sample, name string) decoders.Value {
	for _, f := range sample.Fields {
		if f.Name == name && f.Channel <= 1 {
			return f.Value
		}
	}
	return decoders.Value{}
}

// The frames of the makers' own documentation, made from the values that they are documented with.
func TestFramesAreTheMakers(t *testing.T) {
	check := func(name string, got []byte, want string) {
		t.Helper()
		if hex.EncodeToString(got) != want {
			t.Errorf("%s: got %x, want %s", name, got, want)
		}
	}
	check("DF702 at 2000 mm and 25 degrees", (&dingtekBin{bin: &bin{fill: -100. / 3, temperature: 25, voltage: 3.6}}).frame(),
		"800001011107d000190000000000000081")

	at := func(clock string) time.Time {
		parsed, err := time.Parse(time.DateTime, clock)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	meter := meterState{
		time: at("2021-07-09 03:51:27"), volume: 103720, hour: at("2021-07-09 03:00:00"),
		log: [logged]uint32{103415, 103445, 103449, 103464, 103475, 103507, 103512, 103541, 103625, 103670, 103685, 103695,
			103705, 103705, 103708, 103711},
	}
	check("W1 log", meter.volumes(), "bfc7e7600028950100c0e8e660f79301001e0004000f000b00200005001d0054002d000f000a000a00000003000300")
	alarm := meterState{time: at("2021-05-26 13:10:53"), status: 0x10}
	check("W1 empty pipe", alarm.alarm(), "dd48ae6010")

	light := lightState{
		epoch: uint32(at("2020-01-16 15:23:31").Unix()), rssi: 50, snr: 9, temperature: 22, lux: 299.9, level: 25, reason: reasonDuskStep,
	}
	check("UL20xx status", light.status(), "01f37f205e80003209160003029455fe501900")
	check("UL20xx lamp failure", (&lightState{failed: true}).alert(), "8320fe02")
}
