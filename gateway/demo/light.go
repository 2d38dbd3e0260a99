package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// light is a street light: it follows the dusk, is dimmed in the dead of night, counts its energy, and sometimes fails.
type light struct {
	rated     float64 // watts at full level
	voltage   float64
	energy    float64 // watt hours
	burning   float64 // seconds
	operating float64 // seconds
	failed    bool
	repair    time.Time // town time
	reports   int
}

const meanTimeToLampFailure = 30 * 24 * time.Hour

func newLight(random *rand.Rand) *light {
	hours := 2000 + random.Float64()*18000
	rated := []float64{24, 36, 42, 58, 75}[random.IntN(5)]
	return &light{
		rated: rated, voltage: 226 + random.Float64()*9, energy: math.Floor(rated * hours * 0.7),
		burning: math.Floor(hours * 3600), operating: math.Floor(hours * 1.05 * 3600),
	}
}

// live reports status and usage by turns; a lamp failure is reported at once.
func (l *light) live(m moment) []report {
	l.burn(m)
	changed := l.wear(m)
	l.reports++
	state := l.state(m)
	reports := make([]report, 0, 2)
	if changed {
		reports = append(reports, report{
			port: 61, payload: state.alert(), levels: map[string]bool{"lamp_failure": l.failed},
			observations: []Observation{{Values: map[string]float64{"lamp_on": truth(state.on)}}},
		})
	}
	if l.reports%3 != 0 {
		return append(reports, report{
			port: 23, payload: state.status(), levels: map[string]bool{"lamp_failure": l.failed},
			observations: []Observation{{Time: m.now.Truncate(time.Second), Values: map[string]float64{
				"dim_level": float64(state.level), "lamp_on": truth(state.on),
			}}},
		})
	}
	return append(reports, report{
		port: 26, payload: state.usage(),
		observations: []Observation{{Values: map[string]float64{
			"active_energy": float64(state.energy), "active_power": float64(state.power),
		}}},
	})
}

// burn counts the energy of the time that passed, in steps of a quarter of an hour.
func (l *light) burn(m moment) {
	const most, step = 1000, 15 * time.Minute
	from := m.town.Add(-m.passed)
	for range most {
		rest := m.town.Sub(from)
		if rest <= 0 {
			return
		}
		part := min(rest, step)
		if level, _ := dimming(from); level > 0 && !l.failed {
			l.energy += l.watts(level) * part.Hours()
			l.burning += part.Seconds()
		}
		l.operating += part.Seconds()
		from = from.Add(part)
	}
}

// wear lets a burning lamp fail, and a failed one be repaired; it says whether either happened.
func (l *light) wear(m moment) bool {
	level, _ := dimming(m.town)
	switch {
	case l.failed && !m.town.Before(l.repair):
		l.failed = false
	case !l.failed && level > 0 && m.chance(meanTimeToLampFailure):
		l.failed, l.repair = true, m.town.Add(m.between(2*time.Hour, 6*time.Hour))
	default:
		return false
	}
	return true
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (l *light) watts(level uint8) float64 { return l.rated * (0.08 + 0.92*float64(level)/100) }

func (l *light) state(m moment) *lightState {
	level, reason := dimming(m.town)
	s := &lightState{
		epoch: uint32(m.now.Unix()), lux: illuminance(m.town), level: level, reason: reason, failed: l.failed,
		on: level > 0 && !l.failed, energy: uint32(l.energy), voltage: uint8(l.voltage + m.random.Float64()*3),
		operating: uint32(l.operating), burning: uint32(l.burning), temperature: 14, powerFactor: 52,
		rssi: uint8(60 + m.random.IntN(50)), snr: int8(m.random.IntN(12) - 2),
	}
	if s.on {
		s.power = uint16(math.Round(l.watts(level)))
		s.temperature, s.powerFactor = int8(24+level/8), 97
	}
	return s
}

// The reasons for a dimming level, as the controller codes them.
const (
	reasonDay      = 0x21
	reasonDuskStep = 0x50
)

// dimming is the calendar of the town's lights: on from dusk to dawn, half way down from 23 to 5.
func dimming(town time.Time) (level, reason uint8) {
	hour := solarHour(town)
	switch elevation := sunElevation(town); {
	case elevation > -2:
		return 0, reasonDay
	case elevation > -5:
		return 70, reasonDuskStep
	case hour >= 23 || hour < 5:
		return 50, reasonDuskStep + 2
	default:
		return 100, reasonDuskStep + 1
	}
}
