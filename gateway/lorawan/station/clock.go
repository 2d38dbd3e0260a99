package station

import "time"

// GPS time has no leap seconds. 18 were put into UTC from its epoch to 2017, and none since.
const leaps = 18 * time.Second

var gpsEpoch = time.Date(1980, time.January, 6, 0, 0, 0, 0, time.UTC)

// ToGPS returns microseconds since the GPS epoch.
func ToGPS(t time.Time) int64 { return t.Add(leaps).UnixMicro() - gpsEpoch.UnixMicro() }

// FromGPS is the reverse; a time far beyond the life of this program becomes the zero time.
func FromGPS(microseconds int64) time.Time {
	const most = 300 * 365 * 24 * int64(time.Hour/time.Microsecond)
	if microseconds < 0 || microseconds > most {
		return time.Time{}
	}
	return time.UnixMicro(gpsEpoch.UnixMicro() + microseconds).Add(-leaps).UTC()
}

// seconds returns a time as stations take it, with microseconds as the fraction.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// Plausible says whether a clock can be right: one that was never set shows a time before this program was written.
func Plausible(t time.Time) bool { return t.Year() >= 2025 && t.Year() < 2100 }
