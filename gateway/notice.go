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

// lostCauses are the causes of buffer.Options.Lost in words.
var lostCauses = map[string]string{
	"damage":        "their place on the disk is damaged",
	"segment":       "a file of the buffer is missing or cannot be used",
	"newer_version": "a newer version of Belfry wrote them; they wait in their file, and are delivered once that version runs again",
	"end_unknown":   "the end of the newest file of the buffer is damaged; how many records were there cannot be known",
}

// Lost is the notice that damage has cost records, packed for the urgent lane: a buffer.Options.Lost.
func (n *Normaliser) Lost(lost []buffer.Range, cause string) [][]byte {
	if len(lost) == 0 {
		return nil
	}
	words := lostCauses[cause]
	if words == "" {
		words = cause
	}
	lanes := [...]string{buffer.Urgent: "alarms and notices", buffer.Normal: "observations", buffer.Quarantine: "quarantine"}
	var notices [][]byte
	for ranges := range slices.Chunk(lost, maxNamed) {
		var count uint64
		unknown := false // how many there were in one of the ranges
		named := make([]map[string]any, len(ranges))
		for i, r := range ranges {
			count += r.Records
			unknown = unknown || r.Records == 0
			named[i] = map[string]any{"lane": lanes[r.Lane], "first": uint64(r.First), "last": uint64(r.Last), "count": r.Records}
		}
		details := map[string]any{"count": count, "cause": cause, "ranges": named}
		if unknown {
			details["at_least"] = true
		}
		notices = append(notices, n.notice(time.Now(), event.Notice{
			Code: "lost", Reason: howMany(count, unknown) + " lost: " + words, Details: details,
		}))
	}
	return notices
}

func howMany(count uint64, unknown bool) string {
	switch {
	case unknown && count == 0:
		return "an unknown number of records is"
	case unknown:
		return fmt.Sprintf("at least %d records are", count)
	case count == 1:
		return "1 record is"
	}
	return fmt.Sprintf("%d records are", count)
}

func (n *Normaliser) notice(now time.Time, notice event.Notice) []byte {
	e := n.envelope("", event.TypeNotice, "random:"+rand.Text(), now)
	e.Subject, e.Notice = n.Gateway, &notice
	return n.pack(&e, n.token)
}
