package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const (
	euiDigits  = 16
	keyDigits  = 32
	addrDigits = 8
)

var (
	separators = strings.NewReplacer("-", "", ":", "", " ", "")
	hexPairs   = regexp.MustCompile(`^[0-9A-Fa-f]{2}([-: ][0-9A-Fa-f]{2}){5,}$`)
	// roundedForm is what is left of a DevEUI that a spreadsheet took for a number: 7,01235E+15, 7E+15.
	roundedForm = regexp.MustCompile(`(?i)^\d(([.,][0-9a-f]+)?E\+|[.,]\d+E)\d+$`)
)

// parseEUI returns a DevEUI as 16 hexadecimal digits in lower case.
func parseEUI(written string) (string, error) {
	eui := strings.ToLower(separators.Replace(written))
	for _, r := range eui {
		if !isHex(r) {
			return "", fmt.Errorf("DevEUI %q has a %q in it, want %d hexadecimal digits", written, r, euiDigits)
		}
	}
	if len(eui) == keyDigits {
		return "", fmt.Errorf("a DevEUI has %d digits; %d are those of a key, which must not stand here", euiDigits, keyDigits)
	}
	if len(eui) != euiDigits {
		return "", fmt.Errorf("DevEUI %q has %d digits, want %d", written, len(eui), euiDigits)
	}
	if strings.Count(eui, "0") == euiDigits {
		return "", errors.New("a DevEUI of zeros belongs to no device")
	}
	return eui, nil
}

func isHex(r rune) bool { return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F' }

// looksLikeEUI says whether a device's address is a DevEUI or was meant to be one: 16 characters with at most two wrong
// ones, fewest to most digits with a letter among them, or pairs of digits with separators. Fifteen decimal digits are not, they
// are the IMEI of a modem.
func looksLikeEUI(written string, fewest, most int) bool {
	if hexPairs.MatchString(written) {
		return true
	}
	plain := separators.Replace(written)
	digits, letters := 0, 0
	for _, r := range plain {
		if isHex(r) {
			digits++
		}
		if isHex(r) && r > '9' {
			letters++
		}
	}
	if len(plain) == euiDigits {
		return digits >= euiDigits-2
	}
	return len(plain) >= fewest && len(plain) <= most && digits == len(plain) && letters > 0
}
