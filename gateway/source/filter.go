package source

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// filter is a topic filter, MQTT 3.1.1 section 4.7, in which one level may name the device.
type filter struct {
	text   string   // as the broker gets it
	levels []string // without $share/<group>/
	shared bool
	sensor int // the level that names the device, -1 for none
}

const (
	sensorLevel = "{sensor}"
	maxLevels   = 16
)

func parseFilter(pattern string) (filter, error) {
	switch {
	case pattern == "":
		return filter{}, errors.New("missing (for example bins/{sensor}/state)")
	case len(pattern) > maxTopic:
		return filter{}, fmt.Errorf("%d bytes are more than %d", len(pattern), maxTopic)
	case !utf8.ValidString(pattern) || strings.ContainsRune(pattern, 0):
		return filter{}, errors.New("not UTF-8 text")
	}
	f := filter{levels: strings.Split(pattern, "/"), sensor: -1}
	if f.levels[0] == "$share" {
		if len(f.levels) < 3 || f.levels[1] == "" || strings.ContainsAny(f.levels[1], "+#{}") {
			return filter{}, fmt.Errorf("%s is not $share/<group>/<filter>", pattern)
		}
		f.shared, f.levels = true, f.levels[2:]
	}
	if len(f.levels) > maxLevels {
		return filter{}, fmt.Errorf("%d levels are more than %d", len(f.levels), maxLevels)
	}
	for i, level := range f.levels {
		switch {
		case level == sensorLevel && f.sensor >= 0:
			return filter{}, fmt.Errorf("%s stands twice (use + for the level that does not name the device)", sensorLevel)
		case level == sensorLevel:
			f.sensor = i
			f.levels[i] = "+"
		case level == "+" || level == "#" && i == len(f.levels)-1:
		case strings.ContainsAny(level, "+#"):
			return filter{}, fmt.Errorf("level %q: + stands for a whole level, # for all levels at the end", level)
		case strings.ContainsAny(level, "{}"):
			return filter{}, fmt.Errorf("level %q: only %s, as a whole level, has a meaning", level, sensorLevel)
		}
	}
	f.text = strings.Replace(pattern, sensorLevel, "+", 1)
	return f, nil
}

// match says whether a topic fits, and returns the level that names the device.
func (f *filter) match(topic string) (sensor string, ok bool) {
	if strings.HasPrefix(topic, "$") && (f.levels[0] == "+" || f.levels[0] == "#") {
		return "", false // section 4.7.2
	}
	rest, more := topic, true
	for i, level := range f.levels {
		if level == "#" {
			return sensor, true // also the level above, section 4.7.1.2
		}
		if !more {
			return "", false
		}
		var this string
		this, rest, more = strings.Cut(rest, "/")
		if level != "+" && level != this {
			return "", false
		}
		if i == f.sensor {
			sensor = this
		}
	}
	return sensor, !more
}

// covers says whether every topic that fits other fits f too.
func (f *filter) covers(other *filter) bool {
	if f.shared || other.shared {
		return f.text == other.text
	}
	for i, level := range f.levels {
		if level == "#" {
			return i > 0 || !strings.HasPrefix(other.levels[0], "$")
		}
		if i >= len(other.levels) || other.levels[i] == "#" {
			return false
		}
		if level != "+" && level != other.levels[i] || level == "+" && i == 0 && strings.HasPrefix(other.levels[0], "$") {
			return false
		}
	}
	return len(f.levels) == len(other.levels)
}

// subscriptions returns what to ask the broker for: each filter that no other covers, once. A broker may send a message
// once for every filter it fits.
func subscriptions(filters []filter) []string {
	var texts []string
	for i := range filters {
		needed := true
		for j := range filters {
			if i != j && filters[j].covers(&filters[i]) && (j < i || !filters[i].covers(&filters[j])) {
				needed = false
			}
		}
		if needed {
			texts = append(texts, filters[i].text)
		}
	}
	return texts
}
