package config

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	tokenForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	communeForm = regexp.MustCompile(`^([0-9]{2}|2[AB])[0-9]{3}$`)
)

func (l *loader) checkTown(d *document, written *form) {
	l.config.Gateway = d.name("gateway", written.Gateway)
	l.config.Prefix = d.name("subject_prefix", written.SubjectPrefix)
	l.config.Town = Town(written.Town)
	if strings.TrimSpace(written.Town.Name) == "" {
		d.at("town.name", "missing", "name: Ville d'Exemple")
	}
	if !communeForm.MatchString(written.Town.Commune) {
		d.at("town.commune", notA("commune's INSEE code", written.Town.Commune),
			"5 characters: 01004, 2A004; not the postal code")
	}
	if !isSIREN(written.Town.Owner) {
		d.at("town.owner", notA("SIREN", written.Town.Owner),
			"the 9 digits that the town is registered under, the last one checks the others")
	}
}

// name checks a name that becomes a token of NATS subjects and a part of addresses as it is.
func (d *document) name(path, name string) string {
	if !tokenForm.MatchString(name) {
		d.at(path, notA("name", name), "1 to 64 of A-Z, a-z, 0-9, _ and -")
	}
	return name
}

// notA says that a text is missing or not what it should be.
func notA(what, text string) string {
	if text == "" {
		return "missing"
	}
	return fmt.Sprintf("%q is not a %s", text, what)
}

// isSIREN checks the 9 digits of a French public body, the last of which is a check digit (Luhn).
func isSIREN(number string) bool {
	if len(number) != 9 {
		return false
	}
	sum := 0
	for i := range len(number) {
		digit := int(number[i] - '0')
		if number[i] < '0' || digit > 9 {
			return false
		}
		if i%2 == 1 {
			digit *= 2
		}
		sum += digit/10 + digit%10
	}
	return sum%10 == 0 && number != "000000000"
}
