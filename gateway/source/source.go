// Package source has the ways uplinks come in, one file per kind. Each kind registers itself under its name.
package source

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"belfry/gateway"
	"belfry/gateway/lorawan"
)

// Env is what a source gets from the configuration beside its own options.
type Env struct {
	Name    string // of the source, unique in the configuration
	Gateway string // the gateway's name
	Dir     string // the configuration folder, to which secret and certificate files are relative
	Log     *slog.Logger
	Network *lorawan.Network // the radio network of all sources; nil where there is none, which knows no device
}

// OptionError is a mistake in one option. Constructors return several with errors.Join.
type OptionError struct {
	Key string // path below the source: "topics[1].topic"
	Err error  // what is wrong and what would be right
}

func (e *OptionError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// Constructor makes a source. decode fills a struct with yaml tags from the source's configuration, strictly; fields
// of the struct that the configuration does not name keep the values they have, which are the defaults. A constructor does
// no I/O. Its errors are *OptionError or what decode returned.
type Constructor func(env Env, decode func(options any) error) (gateway.Source, error)

var kinds = map[string]Constructor{} // written only in init

func register(kind string, constructor Constructor) {
	if _, ok := kinds[kind]; ok {
		panic("source: " + kind + " registered twice")
	}
	kinds[kind] = constructor
}

// Kinds lists the kinds of source in alphabetical order.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// New makes a source of the given kind.
func New(kind string, env Env, decode func(options any) error) (gateway.Source, error) {
	constructor, ok := kinds[kind]
	if !ok {
		return nil, &OptionError{Key: "kind", Err: fmt.Errorf("no source of kind %q (there are %v)", kind, Kinds())}
	}
	return constructor(env, decode)
}
