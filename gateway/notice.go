package gateway

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"belfry/buffer"
	"belfry/gateway/event"
)

// maxNamed is how many sensors a notice names.
const maxNamed = 50

// Started is the notice that the gateway came up, packed for the urgent lane.
func (n *Normaliser) Started(version string, now time.Time) []byte {
	return n.notice(now, event.Notice{
		Code: "started", Reason: "the gateway started", Details: map[string]any{"version": version, "sensors": len(n.Inventory.Sensors())},
	})
}

// Expired is the notice that records were given up undelivered, packed for the urgent lane: a buffer.Options.Expired.
func (n *Normaliser) Expired(records []buffer.Record, reason string) [][]byte {
	if len(records) == 0 {
		return nil
	}
	sensors, services := map[string]int{}, map[string]int{}
	for i := range records {
		if record, err := event.ParseRecord(records[i].Data); err == nil {
			var body struct{ Subject, Service string }
			if json.Unmarshal(record.Body, &body) == nil {
				sensors[body.Subject]++
				services[body.Service]++
			}
		}
	}
	named := slices.Sorted(maps.Keys(sensors))
	details := map[string]any{
		"count": len(records), "first": uint64(records[0].Seq), "last": uint64(records[len(records)-1].Seq),
		"cause": reason, "services": slices.Sorted(maps.Keys(services)), "sensor_count": len(named),
		"sensors": named[:min(len(named), maxNamed)],
	}
	return [][]byte{n.notice(time.Now(), event.Notice{
		Code: "expired", Details: details,
		Reason: fmt.Sprintf("%d records were given up before they could be delivered (%s)", len(records), reason),
	})}
}

func (n *Normaliser) notice(now time.Time, notice event.Notice) []byte {
	e := n.envelope("", event.TypeNotice, "random:"+rand.Text(), now)
	e.Subject, e.Notice = n.Gateway, &notice
	return n.pack(&e, n.token)
}
