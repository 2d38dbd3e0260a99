package decoders

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBrighterBinsHistoryIsDatedByItsAge(t *testing.T) {
	payload, err := hex.DecodeString("08a780fa3fef4f3cf0a259e1e79e0a0429000000073b3f")
	if err != nil {
		t.Fatal(err)
	}
	received := time.Date(2024, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	output, err := Run(Native("smartends-brighterbins"), Uplink{Port: 1, Payload: payload, Received: received})
	const want = `kind: history
sample: 2024-03-01T10:03:40Z
  temperature = 21 Cel
  distance_fault = true
  distance_error = "SENSOR_MODULE_NOT_RESPONDING"
sample: 2024-03-01T10:31:50Z
  temperature = 20 Cel
  distance = 150 cm
  distance_fault = false
sample: 2024-03-01T10:38:00Z
  motion_orientation = 90 deg
  motion_deviation = 30 deg
  motion_duration = 6 s
sample: 2024-03-01T11:00:00Z
  fire_alarm = true
  pickup_alert = "MOTION"
  battery_level = 78 %
  tamper_event = true
  downlink_validity = "DOWNLINK_SUCCSESFUL"
  tx_reason = "MOTION_EVENT_FIRE_ALARM"
`
	if diff := cmp.Diff(want, render(output, err)); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	checkOutput(t, output, err)
}
