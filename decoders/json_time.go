package decoders

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones by name also on a box without zone files

	"github.com/tidwall/gjson"
)

// JSONTime says where a JSON message has its time and in which form.
type JSONTime struct {
	Path   string `yaml:"path"`
	Format string `yaml:"format"` // rfc3339, unix, unix_ms, or a Go layout such as "2006-01-02 15:04:05"; rfc3339 when empty
	Zone   string `yaml:"zone"`   // of a layout that has none: "Europe/Paris"; UTC when empty
}

// jsonClock reads the time of a message; nil reads none.
type jsonClock struct {
	path, format string
	zone         *time.Location // nil when every time comes with its own
}

func newJSONClock(options *JSONTime) (*jsonClock, error) {
	if options == nil {
		return nil, nil
	}
	if err := checkJSONPath(options.Path); err != nil {
		return nil, fmt.Errorf("time.path: %w", err)
	}
	clock := &jsonClock{path: options.Path, format: options.Format}
	ownsZone := true
	switch clock.format {
	case "":
		clock.format = "rfc3339"
	case "rfc3339", "unix", "unix_ms":
	default:
		if err := checkLayout(clock.format); err != nil {
			return nil, fmt.Errorf("time.format: %w", err)
		}
		ownsZone = strings.Contains(clock.format, "Z07") || strings.Contains(clock.format, "-07")
	}
	if ownsZone && options.Zone != "" {
		return nil, fmt.Errorf("time.zone: %s has a zone of its own", clock.format)
	}
	if options.Zone == "Local" {
		return nil, errors.New("time.zone: Local depends on the box; name the zone of the device")
	}
	zone, err := time.LoadLocation(options.Zone)
	if err != nil {
		return nil, fmt.Errorf("time.zone: %w", err)
	}
	if clock.zone = zone; ownsZone {
		clock.zone = nil
	}
	return clock, nil
}

// checkLayout refuses a layout that does not bring a moment back to the minute.
func checkLayout(layout string) error {
	if strings.Contains(layout, "MST") {
		return fmt.Errorf("%q: letters such as CET do not tell a zone; use -0700 or time.zone", layout)
	}
	moment := time.Date(2031, 11, 23, 22, 58, 0, 0, time.UTC)
	parsed, err := time.Parse(layout, moment.Format(layout))
	if err != nil {
		return fmt.Errorf("%q is neither rfc3339, unix, unix_ms nor a Go layout: %w", layout, err)
	}
	if !parsed.Equal(moment) {
		return fmt.Errorf("%q is neither rfc3339, unix, unix_ms nor a Go layout from the year to the minute (2006-01-02 15:04:05)", layout)
	}
	return nil
}

// read returns the time of a message; the zero time when it has none.
func (c *jsonClock) read(message gjson.Result, received time.Time) (time.Time, error) {
	if c == nil {
		return time.Time{}, nil
	}
	result := message.Get(c.path)
	if result.Type == gjson.Null {
		return time.Time{}, nil
	}
	moment, err := c.parse(result, received)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s: %.60s is not a time in the form %s", ErrMalformed, c.path, result.Raw, c.format)
	}
	return moment.UTC(), nil
}

var errNoTime = errors.New("no time")

func (c *jsonClock) parse(result gjson.Result, received time.Time) (time.Time, error) {
	switch c.format {
	case "unix", "unix_ms":
		return parseEpoch(result, c.format == "unix_ms")
	case "rfc3339":
		if result.Type != gjson.String {
			return time.Time{}, errNoTime
		}
		return time.Parse(time.RFC3339, result.Str)
	default:
		if result.Type != gjson.String && result.Type != gjson.Number {
			return time.Time{}, errNoTime
		}
		return c.parseLocal(result.String(), received)
	}
}

// parseEpoch reads seconds or milliseconds since 1970, as a number or a text.
func parseEpoch(result gjson.Result, milliseconds bool) (time.Time, error) {
	text := result.Raw
	if result.Type == gjson.String {
		text = strings.TrimSpace(result.Str)
	} else if result.Type != gjson.Number {
		return time.Time{}, errNoTime
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return time.Time{}, err
	}
	if !milliseconds {
		number *= 1000
	}
	const year10000 = 253402300800000
	if !(number >= 0 && number < year10000) {
		return time.Time{}, errNoTime
	}
	return time.UnixMilli(int64(number + 0.5)), nil
}

// parseLocal reads a layout. In the night when clocks go back an hour comes twice: the one nearer to the receipt is meant.
func (c *jsonClock) parseLocal(text string, received time.Time) (time.Time, error) {
	if c.zone == nil {
		return time.Parse(c.format, text)
	}
	moment, err := time.ParseInLocation(c.format, text, c.zone)
	if err != nil || received.IsZero() {
		return moment, err
	}
	nearest := moment
	for _, shift := range [...]time.Duration{-time.Hour, time.Hour} {
		other := moment.Add(shift)
		if sameWallClock(other, moment) && other.Sub(received).Abs() < nearest.Sub(received).Abs() {
			nearest = other
		}
	}
	return nearest, nil
}

func sameWallClock(a, b time.Time) bool {
	const layout = "2006-01-02 15:04:05"
	return a.Format(layout) == b.Format(layout)
}
