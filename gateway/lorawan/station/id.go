package station

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// ID is an EUI: of a radio gateway, a device or a join server.
type ID uint64

const (
	idGroups = 4 // of 16 bits
	idPrefix = "router-"
)

// ParseID reads an EUI (16 hexadecimal digits, also in pairs with dashes or colons between them) or an ID6: four groups of
// up to four hexadecimal digits with colons between them, where :: stands for the groups of zeros that are left out.
func ParseID(text string) (ID, error) {
	wrong := fmt.Errorf("%.40q is neither an EUI such as 0016C001FF10A2B3 nor an ID6 such as 16:c001:ff10:a2b3", text)
	if digits, ok := pairs(text); ok {
		number, err := strconv.ParseUint(digits, 16, 64)
		if err != nil {
			return 0, wrong
		}
		return ID(number), nil
	}
	text = strings.TrimPrefix(text, idPrefix)
	before, after, short := strings.Cut(text, "::")
	high, err := groups(before)
	low, err2 := groups(after)
	count := len(high) + len(low)
	if err != nil || err2 != nil || short && count >= idGroups || !short && count != idGroups {
		return 0, wrong
	}
	var id ID
	for i, group := range high {
		id |= group << (16 * (idGroups - 1 - i))
	}
	for i, group := range low {
		id |= group << (16 * (len(low) - 1 - i))
	}
	return id, nil
}

// pairs returns the 16 digits of an EUI, when the text has the form of one.
func pairs(text string) (digits string, ok bool) {
	if len(text) == 16 {
		return text, isHex(text)
	}
	if len(text) != 23 || text[2] != '-' && text[2] != ':' {
		return "", false
	}
	parts := strings.Split(text, text[2:3])
	for _, part := range parts {
		if len(part) != 2 || !isHex(part) {
			return "", false
		}
	}
	return strings.Join(parts, ""), true
}

func isHex(text string) bool {
	return strings.Trim(text, "0123456789abcdefABCDEF") == ""
}

func groups(text string) ([]ID, error) {
	if text == "" {
		return nil, nil
	}
	var list []ID
	for part := range strings.SplitSeq(text, ":") {
		if len(part) < 1 || len(part) > 4 || !isHex(part) || len(list) == idGroups {
			return nil, errors.New("not an ID6")
		}
		number, err := strconv.ParseUint(part, 16, 16)
		if err != nil {
			return nil, err
		}
		list = append(list, ID(number))
	}
	return list, nil
}

// String prints the ID6 as stations do: :: stands only for zeros at an end or for both groups in the middle.
func (id ID) String() string {
	a, b, c, d := uint16(id>>48), uint16(id>>32), uint16(id>>16), uint16(id)
	switch {
	case a == 0 && b == 0 && c == 0:
		return fmt.Sprintf("::%x", d)
	case a == 0 && b == 0:
		return fmt.Sprintf("::%x:%x", c, d)
	case b == 0 && c == 0 && d == 0:
		return fmt.Sprintf("%x::", a)
	case c == 0 && d == 0:
		return fmt.Sprintf("%x:%x::", a, b)
	case b == 0 && c == 0:
		return fmt.Sprintf("%x::%x", a, d)
	default:
		return fmt.Sprintf("%x:%x:%x:%x", a, b, c, d)
	}
}

// Hex prints 16 hexadecimal digits in lower case.
func (id ID) Hex() string { return fmt.Sprintf("%016x", uint64(id)) }

// EUI prints pairs of digits in upper case with dashes between them, "AA-BB-...".
func (id ID) EUI() string {
	digits := strings.ToUpper(id.Hex())
	parts := make([]string, 0, 8)
	for i := 0; i < len(digits); i += 2 {
		parts = append(parts, digits[i:i+2])
	}
	return strings.Join(parts, "-")
}

// parseHex is hex.DecodeString with an error that does not repeat what it read.
func parseHex(text string, most int) ([]byte, error) {
	if len(text) > 2*most {
		return nil, fmt.Errorf("%d hexadecimal digits, more than %d", len(text), 2*most)
	}
	decoded, err := hex.DecodeString(text)
	if err != nil {
		return nil, errors.New("want pairs of hexadecimal digits")
	}
	return decoded, nil
}

// setID reads an identity in any form: a text, or a number, which may be the negative one of the same 64 bits.
func setID(to *ID, value gjson.Result) error {
	switch value.Type {
	case gjson.String:
		id, err := ParseID(value.Str)
		if err != nil {
			return err
		}
		*to = id
	case gjson.Number:
		if number, err := strconv.ParseUint(value.Raw, 10, 64); err == nil {
			*to = ID(number)
			return nil
		}
		number, err := strconv.ParseInt(value.Raw, 10, 64)
		if err != nil {
			return errors.New("want an integer of 64 bits")
		}
		*to = ID(number)
	default:
		return errors.New("want an EUI, an ID6 or an integer")
	}
	return nil
}
