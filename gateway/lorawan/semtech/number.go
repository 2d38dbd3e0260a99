package semtech

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

const (
	maxLevel   = 1000  // dB and dBm, either way
	maxChannel = 65535 // of a concentrator
	maxGPS     = 1e13  // ms, in the year 2296
)

var gpsEpoch = time.Date(1980, time.January, 6, 0, 0, 0, 0, time.UTC)

// leap is what GPS time is ahead of UTC since 2017; no further one is announced.
const leap = 18 * time.Second

// gpsTime is UTC at a number of milliseconds of GPS time. They are too many for a time.Duration in the far future.
func gpsTime(ms int64) time.Time {
	return time.UnixMilli(gpsEpoch.UnixMilli() + ms).Add(-leap).UTC()
}

// hertz is exact: a frequency is written in MHz with six places.
func hertz(megahertz float64) (uint32, error) {
	hz := math.Round(megahertz * 1e6)
	if !(hz >= 1e6 && hz <= 4e9) {
		return 0, fmt.Errorf("%g is not a frequency in MHz", megahertz)
	}
	return uint32(hz), nil
}

// setTime reads the time of a frame. One that cannot be read is none: the frame is worth more.
func setTime(to *time.Time, value gjson.Result) error {
	var text string
	if err := strictjson.Text(&text, value); err != nil {
		return err
	}
	if parsed, err := time.Parse(time.RFC3339, text); err == nil {
		*to = parsed.UTC()
	}
	return nil
}

// setBetween sets to from a number with bounds.
func setBetween(to *float64, value gjson.Result, lowest, highest float64) error {
	number := *to
	if err := strictjson.Number(&number, value); err != nil {
		return err
	}
	if value.Type != gjson.Null && (number < lowest || number > highest) {
		return fmt.Errorf("want a number between %g and %g", lowest, highest)
	}
	*to = number
	return nil
}

func setLevel(to *float64, value gjson.Result) error {
	return setBetween(to, value, -maxLevel, maxLevel)
}

// checkIndex is for what is read only to find what is not of this protocol.
func checkIndex(value gjson.Result) error {
	var index int
	if strictjson.Integer(&index, value, 0, maxChannel) != nil {
		return errors.New("want the number of a channel")
	}
	return nil
}
