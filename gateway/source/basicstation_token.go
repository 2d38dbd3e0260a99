package source

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"belfry/gateway/lorawan/station"
	"belfry/gateway/secret"
)

var (
	errUnlisted = errors.New("not in gateways")
	errToken    = errors.New("wrong token, or none")
)

// admit says whether a station with an Authorization header may be a radio gateway. The token file is read anew, so that a
// new token needs no restart.
func (s *basicStation) admit(router station.ID, authorization string) error {
	if s.gateways[router] == nil {
		return errUnlisted
	}
	if s.options.TokenFile == "" {
		return nil
	}
	wanted, err := s.tokens()
	if err != nil {
		return err
	}
	given := strings.TrimSpace(authorization)
	if kind, token, ok := strings.Cut(given, " "); ok && strings.EqualFold(kind, "Bearer") {
		given = strings.TrimSpace(token)
	}
	token := wanted.of(router)
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token)) // of one length, which tells nothing
	if subtle.ConstantTimeCompare(a[:], b[:]) != 1 || token == "" {
		return errToken
	}
	return nil
}

// tokens are what a token file has.
type tokens struct {
	all string
	own map[station.ID]string
}

func (t tokens) of(router station.ID) string {
	if t.all != "" {
		return t.all
	}
	return t.own[router]
}

func (s *basicStation) tokens() (tokens, error) {
	content, err := secret.Read(secret.Path(s.env.Dir, s.options.TokenFile))
	if err != nil {
		return tokens{}, s.optionError("token_file", err)
	}
	parsed, err := parseTokens(string(content))
	if err != nil {
		return tokens{}, s.optionError("token_file", fmt.Errorf("%s: %w", s.options.TokenFile, err))
	}
	return parsed, nil
}

// parseTokens reads one token, or lines of an EUI and its token. Its errors show nothing of them.
func parseTokens(content string) (tokens, error) {
	if fields := strings.Fields(content); len(fields) == 1 {
		return tokens{all: fields[0]}, nil
	}
	list := tokens{own: map[station.ID]string{}}
	number := 0
	for line := range strings.Lines(content) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return tokens{}, fmt.Errorf("line %d: want an EUI and its token", number)
		}
		id, err := station.ParseID(fields[0])
		if err != nil {
			return tokens{}, fmt.Errorf("line %d: it does not begin with an EUI", number)
		}
		if _, ok := list.own[id]; ok {
			return tokens{}, fmt.Errorf("line %d: a second token of one EUI", number)
		}
		list.own[id] = fields[1]
	}
	return list, nil
}
