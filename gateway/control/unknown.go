package control

import (
	"cmp"
	"context"
	"slices"
	"time"

	"belfry/buffer"
	"belfry/gateway/event"
	"belfry/gateway/lorawan"
)

// Unknown is who was heard and is no sensor of the inventory.
type Unknown struct {
	Live bool `json:"live"` // a gateway runs, so that Radio is known
	// Radio are devices whose radio frames were heard since the gateway started and were not taken.
	Radio []lorawan.Stranger `json:"radio"`
	// Quarantined are devices whose messages wait in quarantine for a line in the inventory, the most frequent first.
	Quarantined []UnknownDevice `json:"quarantined"`
}

// UnknownDevice is a device without a sensor.
type UnknownDevice struct {
	Source string    `json:"source"`
	Device string    `json:"device"`
	Count  uint64    `json:"count"` // messages in quarantine
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Radio knows what was heard on air.
type Radio interface {
	Strangers() []lorawan.Stranger
}

// Unknown implements Buffer.
func (f *Folder) Unknown(ctx context.Context) (Unknown, error) {
	type key struct{ source, device string }
	devices := map[key]*UnknownDevice{}
	err := f.eachQuarantined(ctx, func(record buffer.Record) {
		message, err := event.ParseQuarantined(record.Data)
		if err != nil || message.Stage != "inventory" {
			return
		}
		k := key{message.Source, message.Device}
		device := devices[k]
		if device == nil {
			if len(devices) >= maxCounted {
				return
			}
			device = &UnknownDevice{Source: message.Source, Device: message.Device, First: message.Received}
			devices[k] = device
		}
		device.Count++
		device.Last = message.Received
	})
	u := Unknown{Radio: []lorawan.Stranger{}, Quarantined: make([]UnknownDevice, 0, len(devices))}
	for _, device := range devices {
		u.Quarantined = append(u.Quarantined, *device)
	}
	slices.SortFunc(u.Quarantined, func(a, b UnknownDevice) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Device, b.Device))
	})
	return u, err
}

func (s *Server) unknown(ctx context.Context) (Unknown, error) {
	u, err := s.folder.Unknown(ctx)
	u.Live = true
	if s.radio != nil {
		u.Radio = append(u.Radio, s.radio.Strangers()...)
	}
	return u, err
}

// Unknown implements Buffer.
func (c *Client) Unknown(ctx context.Context) (u Unknown, err error) {
	return u, c.ask(ctx, "unknown", struct{}{}, &u)
}
