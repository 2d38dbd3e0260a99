package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// bin is a waste container: it fills up, is emptied, and on a bad day burns or falls over.
type bin struct {
	fill        float64 // percent
	pace        float64 // percent an hour
	temperature float64 // Celsius
	voltage     float64 // of its battery
	emptied     time.Time
	fire, tilt  time.Time // until when, in town time; zero: all is well
	angle       uint8
}

const (
	binDepth   = 1500 // millimetres from the sensor to the floor
	fullAbove  = 80   // percent; the sensor's threshold of 30 cm
	meanToFire = 100 * 24 * time.Hour
	meanToTilt = 60 * 24 * time.Hour
)

func newBin(random *rand.Rand) *bin {
	return &bin{
		fill: 5 + random.Float64()*90, pace: 0.5 + random.Float64()*2.5, temperature: 12, voltage: 3.4 + random.Float64()*0.25,
	}
}

// pass lets the bin's time pass.
func (b *bin) pass(m moment) {
	b.fill = min(b.fill+b.pace*m.passed.Hours()*2*m.random.Float64(), 100)
	if b.full() && b.emptied.IsZero() {
		b.emptied = m.town.Add(m.between(2*time.Hour, 6*time.Hour))
	}
	if !b.emptied.IsZero() && !m.town.Before(b.emptied) {
		b.fill, b.emptied = 2+6*m.random.Float64(), time.Time{}
	}
	b.voltage = max(b.voltage-m.passed.Hours()*2e-6, 2.9)
	b.misfortune(m)
	b.temperature = 12 + 6*math.Sin((solarHour(m.town)-9)*math.Pi/12) + m.random.Float64()
	if !b.fire.IsZero() {
		b.temperature = 85 + 30*m.random.Float64()
	}
}

func (b *bin) misfortune(m moment) {
	end := func(until *time.Time, mean, least, most time.Duration) {
		switch {
		case until.IsZero() && m.chance(mean):
			*until = m.town.Add(m.between(least, most))
		case !until.IsZero() && !m.town.Before(*until):
			*until = time.Time{}
		}
	}
	end(&b.fire, meanToFire, time.Hour, 2*time.Hour)
	end(&b.tilt, meanToTilt, 2*time.Hour, 5*time.Hour)
	b.angle = uint8(m.random.IntN(3))
	if !b.tilt.IsZero() {
		b.angle = uint8(70 + m.random.IntN(20))
	}
}

func (b *bin) full() bool { return b.fill > fullAbove }

// distance is from the sensor to the waste, in millimetres.
func (b *bin) distance() uint16 { return uint16(binDepth * (100 - b.fill) / 100) }
