package source

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFilterFindsTheSensorInTheTopic(t *testing.T) {
	for _, c := range []struct {
		pattern, topic, want string
		ok                   bool
	}{
		{"bins/{sensor}/state", "bins/b1/state", "b1", true},
		{"bins/{sensor}/state", "bins/b1/states", "", false},
		{"bins/{sensor}/state", "bins/b1", "", false},
		{"bins/{sensor}/state", "bins/b1/state/x", "", false},
		{"bins/{sensor}/state", "bins//state", "", true},
		{"{sensor}", "b1", "b1", true},
		{"{sensor}", "$SYS", "", false},
		{"{sensor}/#", "b1", "b1", true},
		{"{sensor}/#", "b1/a/b", "b1", true},
		{"+/{sensor}/#", "x/b1", "b1", true},
		{"+/{sensor}/#", "x", "", false},
		{"$share/belfry/bins/{sensor}", "bins/b1", "b1", true},
		{"#", "a/b", "", true},
		{"#", "$SYS/x", "", false},
		{"/{sensor}", "/b1", "b1", true},
		{"$SYS/+", "$SYS/x", "", true},
	} {
		f, err := parseFilter(c.pattern)
		if err != nil {
			t.Fatalf("%s: %v", c.pattern, err)
		}
		if got, ok := f.match(c.topic); got != c.want && c.ok || ok != c.ok {
			t.Errorf("%s with %s: got %q, %t, want %q, %t", c.pattern, c.topic, got, ok, c.want, c.ok)
		}
	}
}

func TestParseFilterRefusesWhatABrokerWould(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                              "missing",
		"a/#/b":                         "+ stands for a whole level",
		"a/b+":                          "+ stands for a whole level",
		"a#":                            "+ stands for a whole level",
		"{sensor}/{sensor}":             "stands twice",
		"a/{device}/b":                  "only {sensor}",
		"a/x{sensor}":                   "only {sensor}",
		"$share":                        "$share/<group>/<filter>",
		"$share/":                       "$share/<group>/<filter>",
		"$share/group":                  "$share/<group>/<filter>",
		"$share//a":                     "$share/<group>/<filter>",
		"$share/a+/b":                   "$share/<group>/<filter>",
		"a\x00b":                        "not UTF-8",
		"a\xff":                         "not UTF-8",
		strings.Repeat("x", maxTopic+1): "more than 512",
		strings.Repeat("x/", maxLevels): "more than 16",
	} {
		if _, err := parseFilter(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want an error with %q", pattern, err, want)
		}
	}
	if _, err := parseFilter(strings.Repeat("x", maxTopic)); err != nil {
		t.Errorf("%d bytes: %v", maxTopic, err)
	}
	if _, err := parseFilter(strings.Repeat("x/", maxLevels-1) + "x"); err != nil {
		t.Errorf("%d levels: %v", maxLevels, err)
	}
}

func TestOnlyFiltersThatNoOtherCoversAreSubscribed(t *testing.T) {
	for _, c := range []struct{ patterns, want string }{
		{"a/b a/b", "a/b"},
		{"a/+ a/b", "a/+"},
		{"a/b a/#", "a/#"},
		{"a/{sensor}/x a/+/x", "a/+/x"},
		{"a/+ +/b", "a/+ +/b"},
		{"a/# b/#", "a/# b/#"},
		{"# $SYS/x", "# $SYS/x"},
		{"a/# $share/g/a/b", "a/# $share/g/a/b"},
		{"a/+ a/#", "a/#"},
		{"a a/#", "a/#"},
	} {
		var filters []filter
		for _, pattern := range strings.Fields(c.patterns) {
			f, err := parseFilter(pattern)
			if err != nil {
				t.Fatal(err)
			}
			filters = append(filters, f)
		}
		if got := subscriptions(filters); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: got %v, want %s", c.patterns, got, c.want)
		}
	}
}

func TestAFilterMatchesWhatTheFiltersItCoversMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topic := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "", "$x"}), 1, 4).Draw(t, "topic")
		if len(topic) == 1 && topic[0] == "" {
			topic[0] = "a" // no topic is empty
		}
		narrow := widen(t, "narrow", topic)
		wide := widen(t, "wide", narrow.levels)
		text := strings.Join(topic, "/")
		_, inNarrow := narrow.match(text)
		_, inWide := wide.match(text)
		if wide.covers(&narrow) && inNarrow && !inWide {
			t.Fatalf("%s covers %s but does not match %s", wide.text, narrow.text, text)
		}
		if narrow.text != wide.text && wide.covers(&narrow) && narrow.covers(&wide) {
			t.Fatalf("%s and %s cover each other", wide.text, narrow.text)
		}
	})
}

// widen returns a filter that has wildcards, or other levels, in some places.
func widen(t *rapid.T, label string, levels []string) filter {
	levels = slices.Clone(levels)
	for i := range levels {
		switch rapid.IntRange(0, 7).Draw(t, label) {
		case 0, 1:
			if levels[i] != "#" {
				levels[i] = "+"
			}
		case 2:
			levels = append(levels[:i:i], "#")
		case 3:
			if levels[i] != "#" {
				levels[i] = "b"
			}
		}
		if levels[i] == "#" {
			break
		}
	}
	f, err := parseFilter(strings.Join(levels, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
