package source

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

const maxDepth = 32 // of objects and arrays in each other

// checkJSON says what is wrong with a JSON text before gjson, which trusts what it reads, sees it.
func checkJSON(text string) error {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("JSON is nested deeper than %d at offset %d", maxDepth, i)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	if gjson.Valid(text) {
		return nil
	}
	return syntaxError(text)
}

// syntaxError finds where a text stops being JSON.
func syntaxError(text string) error {
	var value json.RawMessage
	err := json.Unmarshal([]byte(text), &value)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at offset %d: %w", syntax.Offset, err)
	case err != nil:
		return fmt.Errorf("not JSON: %w", err)
	default:
		return errors.New("not JSON")
	}
}
