package demo

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write configs/demo/sensors anew")

const committed = "../../configs/demo"

// stepping is a clock that goes on by a step each time it is read.
func stepping(step time.Duration) func() time.Time {
	now := time.Date(2026, 11, 23, 15, 40, 0, 123456789, time.UTC)
	return func() time.Time {
		now = now.Add(step)
		return now
	}
}

func testTown(seed uint64) *Town {
	return NewTown(TownOptions{Seed: seed, Clock: stepping(20 * time.Millisecond)})
}

func TestSameSeedAndClockGiveTheSameMessages(t *testing.T) {
	const count = 1000
	first, second, other := testTown(7).Batch(count), testTown(7).Batch(count), testTown(8).Batch(count)
	same := 0
	for i := range first {
		if !reflect.DeepEqual(first[i], second[i]) {
			t.Fatalf("message %d of the second town differs:\n%s", i, cmp.Diff(first[i], second[i]))
		}
		if bytes.Equal(first[i].Payload, other[i].Payload) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("another seed gives %d of the same messages", same)
	}
}

func TestCommittedInventoryIsTheDefaultTown(t *testing.T) {
	dir := t.TempDir()
	if *update {
		dir = committed
	}
	if err := NewTown(TownOptions{Radio: radioShare}).WriteInventory(dir); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"lighting", "water", "waste"} {
		name := filepath.Join("sensors", service+".csv")
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(committed, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not the default town (go test ./gateway/demo -run Inventory -update writes it):\n%s", name, diff)
		}
	}
}

func TestAnotherRunHasTheSameSensorsAndOtherMessages(t *testing.T) {
	run := func(number uint64) *Town {
		return NewTown(TownOptions{Seed: 7, Run: number, Clock: stepping(20 * time.Millisecond)})
	}
	first, second := run(1), run(2)
	if diff := cmp.Diff(first.Sensors(), second.Sensors()); diff != "" {
		t.Errorf("other sensors:\n%s", diff)
	}
	seen := map[string]bool{}
	for _, message := range append(first.Batch(1000), second.Batch(1000)...) {
		if identity := message.Expect.Identity; !strings.HasPrefix(message.Topic, "bins/") && seen[identity] {
			t.Fatalf("identity %q of %s comes in both", identity, message.Sensor)
		}
		seen[message.Expect.Identity] = true
	}
}

func TestEverySensorReportsInEachRound(t *testing.T) {
	town := testTown(1)
	heard := map[string]int{}
	for len(heard) < len(town.Sensors()) {
		message := town.Next()
		if heard[message.Sensor]++; heard[message.Sensor] > 20 {
			t.Fatalf("%s reported 20 times and only %d of %d sensors at all", message.Sensor, len(heard), len(town.Sensors()))
		}
	}
}

func TestNoIdentityComesTwice(t *testing.T) {
	seen := map[string]bool{}
	for _, message := range testTown(2).Batch(10000) {
		if identity := message.Expect.Identity; identity == "" || seen[identity] {
			t.Fatalf("identity %q of %s comes twice", identity, message.Sensor)
		}
		seen[message.Expect.Identity] = true
	}
}

func TestTimesAreNearTheClock(t *testing.T) {
	clock := stepping(20 * time.Millisecond)
	town := NewTown(TownOptions{Clock: clock})
	for range 5000 {
		message := town.Next()
		now := clock()
		for _, o := range message.Expect.Observations {
			if age := now.Sub(o.Time); age < 0 || age > logged*time.Hour+time.Minute {
				t.Fatalf("%s says %s at %s", message.Sensor, o.Time, now)
			}
		}
	}
}

func TestAlarmsAreRaisedAndClearedByTurns(t *testing.T) {
	active, cleared := map[[2]string]bool{}, map[string]int{}
	town := NewTown(TownOptions{Seed: 3, Clock: stepping(100 * time.Millisecond)})
	for _, message := range town.Batch(12000) {
		for _, edge := range message.Expect.Alarms {
			key := [2]string{message.Sensor, edge.Code}
			if active[key] == edge.Active {
				t.Fatalf("%s: %s twice in a row", message.Sensor, edge)
			}
			active[key] = edge.Active
			if !edge.Active {
				cleared[edge.Code]++
			}
		}
	}
	for _, code := range []string{"lamp_failure", "water_leak", "water_burst", "container_full", "container_fire", "container_tipped"} {
		if cleared[code] == 0 {
			t.Errorf("%s was never raised and cleared in 20 minutes", code)
		}
	}
}

func TestCountersNeverFall(t *testing.T) {
	last := map[[2]string]float64{}
	for _, message := range testTown(4).Batch(10000) {
		for _, name := range []string{"active_energy", "water_volume"} {
			observations := message.Expect.Observations
			if len(observations) == 0 {
				continue
			}
			value, ok := observations[len(observations)-1].Values[name]
			key := [2]string{message.Sensor, name}
			if ok && value < last[key] {
				t.Fatalf("%s: %s fell from %v to %v", message.Sensor, name, last[key], value)
			}
			if ok {
				last[key] = value
			}
		}
	}
}

func TestLightsBurnAtNightOnly(t *testing.T) {
	for month := time.January; month <= time.December; month++ {
		if level, _ := dimming(time.Date(2026, month, 15, 12, 0, 0, 0, time.UTC)); level != 0 {
			t.Errorf("level %d at noon in %s", level, month)
		}
		if level, _ := dimming(time.Date(2026, month, 15, 0, 0, 0, 0, time.UTC)); level == 0 {
			t.Errorf("dark at midnight in %s", month)
		}
	}
}

func TestStrangerIsNotInTheInventory(t *testing.T) {
	town := testTown(1)
	stranger := town.Stranger()
	known := slices.ContainsFunc(town.Sensors(), func(s Sensor) bool { return s.Device == StrangerDevice })
	if known || !stranger.Expect.Quarantined || stranger.Sensor != "" {
		t.Errorf("the stranger is known: %+v", stranger)
	}
}
