package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// sensorState is what the gateway must remember of a sensor over restarts; it commits with the records it belongs to.
type sensorState struct {
	Alarms map[string]time.Time `json:"alarms,omitempty"` // code to when it was raised
	Facts  map[string]string    `json:"facts,omitempty"`

	key string
}

// sensorKey is the key of a sensor's state in the buffer.
func sensorKey(id string) string { return "sensor/" + id }

// loadSensorState returns what is remembered of a sensor. A state that cannot be read starts anew and says so in a fact:
// it must not keep the sensor's readings from going on.
func loadSensorState(tx Transaction, id string) *sensorState {
	state := &sensorState{key: sensorKey(id)}
	packed := tx.State(state.key)
	if packed == nil {
		return state
	}
	if err := json.Unmarshal(packed, state); err != nil {
		return &sensorState{key: state.key, Facts: map[string]string{"state_reset": err.Error()}}
	}
	return state
}

func (s *sensorState) save(d *draft) error {
	packed, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("pack %s: %w", s.key, err)
	}
	d.key, d.value = s.key, packed
	return nil
}

func (s *sensorState) raise(code string, since time.Time) {
	if s.Alarms == nil {
		s.Alarms = map[string]time.Time{}
	}
	s.Alarms[code] = since.UTC()
}

// active lists the alarms that are up, sorted.
func (s *sensorState) active() []string {
	if len(s.Alarms) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(s.Alarms))
}

// learn remembers facts and says whether any of them is new.
func (s *sensorState) learn(facts map[string]string) bool {
	changed := false
	for name, value := range facts {
		if s.Facts[name] == value {
			continue
		}
		if s.Facts == nil {
			s.Facts = map[string]string{}
		}
		s.Facts[name] = value
		changed = true
	}
	return changed
}
