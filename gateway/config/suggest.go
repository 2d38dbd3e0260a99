package config

import (
	"fmt"
	"strings"

	"belfry/gateway/event"
)

// suggest returns the known word that was probably meant, "" if none is near.
func suggest(written string, known []string) string {
	if written == "" {
		return ""
	}
	for _, word := range known { // password: password_file
		if strings.HasPrefix(word, strings.ToLower(written)+"_") {
			return word
		}
	}
	return event.Nearest(written, known)
}

const maxChoices = 14 // listed in a hint

// choices makes a hint: the nearest of the known words, or all of them when none is near.
func choices(written string, known []string) string {
	if near := suggest(written, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	switch {
	case len(known) == 0:
		return "there are none"
	case len(known) > maxChoices:
		return "have " + strings.Join(known[:maxChoices], ", ") + fmt.Sprintf(" and %d more", len(known)-maxChoices)
	}
	return "have " + strings.Join(known, ", ")
}

// modelChoices is choices for models, of which often only the maker or the product is written.
func modelChoices(written string, known []string) string {
	var partly []string
	for _, name := range known {
		if strings.Contains(name, strings.ToLower(written)) {
			partly = append(partly, name)
		}
	}
	switch len(partly) {
	case 0:
		return choices(written, known)
	case 1:
		return fmt.Sprintf("did you mean %q?", partly[0])
	}
	return choices("", partly)
}
