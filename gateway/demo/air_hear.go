package demo

import (
	"time"
)

// transmit puts a device's frame on the air. settled is called by the loop for each gateway that has an acknowledgement of
// it; it is not called at all for a gateway that did not hear it.
func (a *Air) transmit(d *device, phy []byte, frequency uint32, settled func()) (end time.Time) {
	end = time.Now().Add(airtime(d.rate, len(phy)))
	first := true
	for i, number := range d.coverage {
		if i > 0 && d.random.IntN(5) < 2 {
			continue // only the nearest gateway hears everything
		}
		rssi := d.rssi - 9*i - d.random.IntN(6)
		gateway := a.gateways[number]
		gateway.hear(&heard{
			phy: phy, end: end, due: end.Add(time.Duration(d.random.Int64N(int64(spread)))), frequency: frequency, rate: d.rate,
			rssi: rssi, snr: min(float64(rssi+115)/4, 11), landed: func(late bool) {
				a.post(func() {
					a.count(func(r *Radio) {
						if first {
							r.Frames++
							first = false
						} else {
							r.Copies++
						}
						if late {
							r.Late++
						}
					})
					a.attacker.record(phy)
					settled()
				})
			},
		})
	}
	return end
}

// loseBackhaul cuts one gateway off for some seconds, now and then.
func (a *Air) loseBackhaul() {
	if a.finished {
		return
	}
	number, lasts := a.random.IntN(gatewayCount), a.between(2*time.Second, 5*time.Second)
	a.gateways[number].loseBackhaul(time.Now().Add(lasts))
	a.Say("  radio gateway %016x has no backhaul for %s: what only it hears comes late", gatewayEUI(number), lasts.Round(100*time.Millisecond))
	a.after(lasts+a.between(6*time.Second, 14*time.Second), a.loseBackhaul)
}

// replay lets the attacker send a frame again, now and then: on air, or from a gateway of its own.
func (a *Air) replay() {
	if a.finished {
		return
	}
	a.after(a.between(time.Second, 4*time.Second), a.replay)
	phy := a.attacker.choose()
	if phy == nil {
		return
	}
	a.count(func(r *Radio) { r.Replays++ })
	if a.random.IntN(2) == 0 {
		a.attacker.push(phy)
		return
	}
	end := time.Now()
	for _, f := range a.gateways {
		f.hear(&heard{phy: phy, end: end, due: end, frequency: euChannels[0], rate: 5, rssi: -60, snr: 9, landed: func(bool) {}})
	}
}
