package demo

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// jsonBin is a litter bin that speaks JSON over plain MQTT.
type jsonBin struct {
	*bin
	name string
	sent int
}

// jsonState is the message of model generic-bin-json.
type jsonState struct {
	Time        time.Time `json:"ts"`
	ID          string    `json:"id"`
	Level       int       `json:"level_pct"`
	Distance    uint16    `json:"distance_mm"`
	Temperature float64   `json:"temp_c"`
	Voltage     float64   `json:"battery_v"`
	Tilt        bool      `json:"tilt"`
	Fire        bool      `json:"fire"`
}

func (j *jsonBin) live(m moment) []report {
	j.pass(m)
	j.sent++
	state := jsonState{
		Time: m.now.UTC().Truncate(time.Millisecond), ID: fmt.Sprintf("%s-%d-%d", j.name, m.now.Unix(), j.sent),
		Level: int(j.fill), Distance: j.distance(), Temperature: math.Round(j.temperature*10) / 10,
		Voltage: math.Round(j.voltage*100) / 100, Tilt: !j.tilt.IsZero(), Fire: !j.fire.IsZero(),
	}
	payload, err := json.Marshal(state)
	if err != nil {
		panic(err) // the numbers are finite by construction
	}
	return []report{{
		payload: payload, identity: state.ID,
		levels: map[string]bool{
			"container_fire": state.Fire, "container_tipped": state.Tilt, "container_full": state.Level > 90, "battery_low": state.Voltage < 3.2,
		},
		observations: []Observation{{Time: state.Time, Values: map[string]float64{
			"fill_level": float64(state.Level), "fill_distance": float64(state.Distance),
			"container_temperature": state.Temperature, "battery_voltage": state.Voltage,
		}}},
	}}
}

// topicStation publishes a sensor's messages as they are.
type topicStation struct{ sensor Sensor }

func (s *topicStation) wrap(r *report, _ moment) Message {
	return Message{
		Topic: "bins/" + s.sensor.Device + "/state", Payload: r.payload,
		Expect: Expect{Identity: r.identity, Observations: r.observations},
	}
}
