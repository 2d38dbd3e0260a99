package demo

import (
	"math/rand/v2"
	"time"
)

// meter is a household's water meter: it counts along the day's habits, keeps an hourly log, and now and then leaks.
type meter struct {
	volume float64   // litres
	daily  float64   // litres a day
	hour   time.Time // the newest hour in the log, by the meter's clock
	log    [logged]float64
	fault  uint8     // waterFine, waterLeak or waterBurst
	repair time.Time // town time
}

// logged is how many hourly volumes the meter sends along.
const logged = 16

// The states of a meter as its status byte codes them.
const (
	waterFine  = 0x00
	waterLeak  = 0x30
	waterBurst = 0xb0
)

const (
	meanTimeToLeak  = 20 * 24 * time.Hour
	meanTimeToBurst = 120 * 24 * time.Hour
)

func newMeter(random *rand.Rand, now time.Time) *meter {
	m := &meter{daily: 120 + random.Float64()*480, hour: now.Truncate(time.Hour)}
	m.volume = 20000 + random.Float64()*900000
	first := m.hour.Add(-(logged - 1) * time.Hour)
	for i := range m.log {
		m.volume += m.daily * habit(first.Add(time.Duration(i)*time.Hour)) * (0.6 + 0.8*random.Float64())
		m.log[i] = m.volume
	}
	m.volume += m.daily * habit(now) * now.Sub(m.hour).Hours()
	return m
}

func (w *meter) onBattery() {}

// live reports the volumes; a leak or burst that begins or ends is reported at once, before them.
func (w *meter) live(m moment) []report {
	w.flow(m)
	changed := w.age(m)
	w.keepLog(m.now)
	state := w.state(m)
	levels := map[string]bool{"water_leak": w.fault == waterLeak, "water_burst": w.fault == waterBurst}
	var reports []report
	if changed {
		reports = append(reports, report{
			port: 103, payload: state.alarm(), levels: levels, observations: []Observation{{Time: state.time}},
		})
	}
	return append(reports, report{port: 100, payload: state.volumes(), levels: levels, observations: state.observations()})
}

// flow counts the water of the time that passed.
func (w *meter) flow(m moment) {
	litres := 0.0
	const most, step = 1000, 15 * time.Minute
	from := m.town.Add(-m.passed)
	for range most {
		rest := m.town.Sub(from)
		if rest <= 0 {
			break
		}
		part := min(rest, step)
		litres += w.daily * habit(from) * part.Hours()
		from = from.Add(part)
	}
	switch w.fault {
	case waterLeak:
		litres += 60 * m.passed.Hours()
	case waterBurst:
		litres += 900 * min(m.passed, 12*time.Hour).Hours()
	}
	w.volume += litres * (0.8 + 0.4*m.random.Float64())
}

// age lets a pipe leak or burst and be repaired; it says whether anything changed.
func (w *meter) age(m moment) bool {
	switch {
	case w.fault != waterFine && !m.town.Before(w.repair):
		w.fault = waterFine
	case w.fault == waterFine && m.chance(meanTimeToLeak):
		w.fault, w.repair = waterLeak, m.town.Add(m.between(3*time.Hour, 8*time.Hour))
	case w.fault == waterFine && m.chance(meanTimeToBurst):
		w.fault, w.repair = waterBurst, m.town.Add(m.between(time.Hour, 3*time.Hour))
	default:
		return false
	}
	return true
}

// keepLog writes down the volume at each full hour of the meter's clock.
func (w *meter) keepLog(now time.Time) {
	for next := w.hour.Add(time.Hour); !next.After(now); next = next.Add(time.Hour) {
		copy(w.log[:], w.log[1:])
		w.log[logged-1], w.hour = w.volume, next
	}
}

func (w *meter) state(m moment) *meterState {
	s := &meterState{time: m.now.Truncate(time.Second), volume: uint32(w.volume), status: w.fault, hour: w.hour}
	for i, volume := range w.log {
		s.log[i] = uint32(volume)
	}
	return s
}

// habit is the share of a day's water that is drawn in an hour: mornings and evenings above all.
func habit(t time.Time) float64 {
	shares := [24]float64{1, 0.5, 0.4, 0.4, 0.6, 2, 6, 9, 7, 5, 4, 4, 5, 4, 3, 3, 3.5, 5, 7, 8, 7, 6, 5, 3}
	return shares[int(solarHour(t))%24] / 99.4
}
