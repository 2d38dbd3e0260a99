package demo

import (
	"math"
	"time"
)

const (
	townLatitude  = 48.91
	townLongitude = 2.37
)

// illuminance is how bright a clear day is in the town, in lux.
func illuminance(t time.Time) float64 {
	elevation := sunElevation(t)
	switch {
	case elevation > 0:
		return 400 + 100000*math.Pow(math.Sin(elevation*math.Pi/180), 1.2)
	case elevation > -18:
		return 400 * math.Exp(elevation*0.85) // from sunset to the end of astronomical twilight
	default:
		return 0.001
	}
}

// sunElevation is the height of the sun over the town's horizon in degrees, to about one degree.
func sunElevation(t time.Time) float64 {
	radians := math.Pi / 180
	declination := -23.44 * math.Cos(2*math.Pi*float64(t.UTC().YearDay()+10)/365)
	angle := 15 * (solarHour(t) - 12)
	sine := math.Sin(townLatitude*radians)*math.Sin(declination*radians) +
		math.Cos(townLatitude*radians)*math.Cos(declination*radians)*math.Cos(angle*radians)
	return math.Asin(sine) / radians
}

// solarHour is the time of day by the sun, 0..24.
func solarHour(t time.Time) float64 {
	t = t.UTC()
	hour := float64(t.Hour()) + float64(t.Minute())/60 + float64(t.Second())/3600
	return math.Mod(hour+townLongitude/15+24, 24)
}
