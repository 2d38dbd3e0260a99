package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

const MaxDepth = 32 // of objects and arrays in each other

// Limits are what a JSON text may have at most.
type Limits struct {
	Depth int // of objects and arrays in each other
	Text  int // bytes of one text or name as it is written; 0: any
}

// Check says what is wrong with a JSON text before gjson, which trusts what it reads and follows any depth, sees it.
func Check(text string) error { return Limits{Depth: MaxDepth}.Check(text) }

// Check is the function of that name with other limits.
func (l Limits) Check(text string) error {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			begin := i + 1
			i = endOfString(text, begin)
			if l.Text > 0 && i-begin > l.Text {
				return fmt.Errorf("JSON has a text of %d bytes at offset %d, more than %d", i-begin, begin, l.Text)
			}
		case '{', '[':
			if depth++; depth > l.Depth {
				return fmt.Errorf("JSON is nested deeper than %d at offset %d", l.Depth, i)
			}
		case '}', ']':
			depth--
		}
	}
	if gjson.Valid(text) {
		return nil
	}
	return syntaxError(text)
}

// endOfString returns where the string that goes on at i has its closing quote, or the end of the text.
func endOfString(text string, i int) int {
	for {
		n := strings.IndexByte(text[i:], '"')
		if n < 0 {
			return len(text)
		}
		end, escapes := i+n, 0
		for end-escapes > i && text[end-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return end
		}
		i = end + 1
	}
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
