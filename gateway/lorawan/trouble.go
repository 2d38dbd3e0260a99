package lorawan

import (
	"fmt"
	"sync"
	"time"

	"belfry/gateway"
	"belfry/gateway/event"
)

// troubles counts what goes wrong with a device, until there is enough of it for a notice.
type troubles struct {
	mu   sync.Mutex
	kind map[string]*trouble // guarded by mu; there are few kinds
}

type trouble struct {
	since time.Time // of the present hour
	count int       // in it
	noted bool      // in it
}

// What a notice can be about, and how often in an hour it must have happened.
const (
	troubleUnsigned = "mic_failures"
	troubleReplayed = countReplayed
)

var troubleAfter = map[string]int{troubleUnsigned: 10, troubleReplayed: 3}

var troubleReason = map[string]string{
	troubleUnsigned: "%d frames within an hour use the sensor's address and are signed with other keys (were its keys changed, or did it join elsewhere?)",
	troubleReplayed: "%d frames within an hour were refused because their counter was used by others (did the device start anew? then set counter to relaxed, or let it join)",
}

// enough counts one more and says whether it is time for a notice: once in an hour.
func (t *troubles) enough(kind string, now time.Time) (count int, enough bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kind == nil {
		t.kind = map[string]*trouble{}
	}
	one := t.kind[kind]
	if one == nil || now.Sub(one.since) > time.Hour {
		one = &trouble{since: now}
		t.kind[kind] = one
	}
	one.count++
	if one.noted || one.count < troubleAfter[kind] {
		return 0, false
	}
	one.noted = true
	return one.count, true
}

// trouble returns the notices that a frame of devices leads to. Only one device can be meant, or it is not known which.
func (f *Feed) trouble(devices []*device, kind string, g *group) []*resolved {
	if len(devices) != 1 {
		return nil
	}
	d := devices[0]
	count, enough := d.troubles.enough(kind, time.Now())
	if !enough {
		return nil
	}
	best := g.best()
	return []*resolved{{uplink: gateway.Uplink{
		Device: d.DevEUI, Vouched: true, Received: earliest(g),
		Notice: &event.Notice{
			Code: kind, Reason: fmt.Sprintf(troubleReason[kind], count),
			Details: map[string]any{"count": count, "rssi": best[0].RSSI, "snr": best[0].SNR},
		},
	}}}
}
