package event

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"belfry/configs"
)

// Services are the silos an event may belong to.
var services = []string{"lighting", "water", "waste", "transport", "sanitation", "energy", "environment"}

// Services lists the silos an event may belong to.
func Services() []string { return slices.Clone(services) }

// Term is one name of the vocabulary.
type Term struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"` // gauge, counter, delta or state
	Unit  string   `json:"unit,omitempty"`
	Min   *float64 `json:"min,omitempty"`
	Max   *float64 `json:"max,omitempty"`
	Label struct {
		English string `json:"en"`
		French  string `json:"fr"`
	} `json:"label"`
	Mapping string `json:"mapping,omitempty"` // NGSI-LD or Smart Data Models property
}

// Vocabulary is every name and alarm code that an event may use.
type Vocabulary struct {
	terms  map[string]*Term
	alarms map[string]bool
}

// Terms returns the vocabulary that is built in (configs/schema/vocabulary.json).
var Terms = sync.OnceValue(func() *Vocabulary {
	file, err := configs.Files.ReadFile("schema/vocabulary.json")
	if err != nil {
		panic("event: " + err.Error())
	}
	vocabulary, err := parseVocabulary(file)
	if err != nil {
		panic("event: " + err.Error())
	}
	return vocabulary
})

func parseVocabulary(file []byte) (*Vocabulary, error) {
	var form struct {
		Measurements []Term `json:"measurements"`
		Alarms       []struct {
			Code string `json:"code"`
		} `json:"alarms"`
	}
	if err := json.Unmarshal(file, &form); err != nil {
		return nil, fmt.Errorf("parse vocabulary: %w", err)
	}
	vocabulary := &Vocabulary{terms: map[string]*Term{}, alarms: map[string]bool{}}
	for i := range form.Measurements {
		term := &form.Measurements[i]
		if vocabulary.terms[term.Name] != nil {
			return nil, fmt.Errorf("parse vocabulary: %s stands twice", term.Name)
		}
		vocabulary.terms[term.Name] = term
	}
	for _, alarm := range form.Alarms {
		vocabulary.alarms[alarm.Code] = true
	}
	return vocabulary, nil
}

// Term returns the entry of a name, nil if there is none.
func (v *Vocabulary) Term(name string) *Term { return v.terms[name] }

// Names lists the measurement names in alphabetical order.
func (v *Vocabulary) Names() []string { return slices.Sorted(maps.Keys(v.terms)) }

// AlarmCodes lists the alarm codes in alphabetical order.
func (v *Vocabulary) AlarmCodes() []string { return slices.Sorted(maps.Keys(v.alarms)) }

// HasAlarm says whether code is an alarm code.
func (v *Vocabulary) HasAlarm(code string) bool { return v.alarms[code] }

// Nearest returns the choice that is most like what was written, "" when none is near.
func Nearest(written string, choices []string) string {
	best, bestDistance := "", len(written)/3+2
	for _, choice := range choices {
		if d := distance(strings.ToLower(written), choice); d < bestDistance {
			best, bestDistance = choice, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, previous+1)
		}
	}
	return row[len(b)]
}
