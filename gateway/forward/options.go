package forward

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"belfry/gateway/loopback"
	"belfry/gateway/secret"
)

// Options say which server, account and stream to forward to.
type Options struct {
	Servers      []string      `yaml:"servers"`       // nats://host:4222 or tls://host:4222
	Stream       string        `yaml:"stream"`        // the one stream that takes all events
	Create       bool          `yaml:"create"`        // make the stream when it is missing
	Credentials  string        `yaml:"credentials"`   // .creds file (JWT and key)
	NkeySeed     string        `yaml:"nkey_seed"`     // file with an nkey seed
	User         string        `yaml:"user"`          // goes with PasswordFile
	PasswordFile string        `yaml:"password_file"` // file with the user's password
	TokenFile    string        `yaml:"token_file"`    // file with a token
	TLS          secret.TLS    `yaml:"tls"`           // needed for tls:// with an authority or client certificate of our own
	Plaintext    bool          `yaml:"plaintext"`     // allow nats:// to other machines
	Window       int           `yaml:"window"`        // messages in flight; 512
	Rate         int64         `yaml:"rate"`          // bytes a second for observations, headers included; 0 for no limit
	Strict       bool          `yaml:"strict"`        // publish nothing to a stream whose settings can lose or double events
	Storage      string        `yaml:"storage"`       // of a stream that Create makes: file (default) or memory
	Replicas     int           `yaml:"replicas"`      // of a stream that Create makes; 1
	MaxAge       time.Duration `yaml:"max_age"`       // of a stream that Create makes; 0 for no limit
	MaxSize      int64         `yaml:"max_size"`      // of a stream that Create makes, bytes; 0 for no limit

	ClientName string       `yaml:"-"` // how the server and the numbering of records know this gateway
	Prefix     string       `yaml:"-"` // first tokens of all subjects
	Dir        string       `yaml:"-"` // the configuration folder, to which files are relative
	Log        *slog.Logger `yaml:"-"` // nil for slog.Default
}

const (
	maxWindow = 4096
	leastRate = 100 // below, a single event would take minutes
)

// Defaults returns the options that hold where a configuration names no others.
func Defaults() Options { return Options{Window: 512, Storage: "file", Replicas: 1} }

// OptionError is a mistake in one option. Check joins all of them.
type OptionError struct {
	Key string // path below nats: "servers[1]"
	Err error  // what is wrong and what would be right
}

func (e *OptionError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// Check returns all mistakes, each an *OptionError, joined. It does no I/O.
func (o Options) Check() error {
	mistakes := slices.Concat(o.checkServers(), o.checkAuth(), o.checkStream())
	if o.Window < 0 || o.Window > maxWindow {
		mistakes = append(mistakes, mistake("window", "%d messages in flight (choose 1 to %d, or leave it out for %d)", o.Window, maxWindow, Defaults().Window))
	}
	if o.Rate < 0 || o.Rate > 0 && o.Rate < leastRate {
		mistakes = append(mistakes, mistake("rate", "%d bytes a second (choose at least %dB, or 0B for no limit)", o.Rate, leastRate))
	}
	return errors.Join(mistakes...)
}

func mistake(key, format string, args ...any) error {
	return &OptionError{Key: key, Err: fmt.Errorf(format, args...)}
}

func (o Options) checkServers() []error {
	if len(o.Servers) == 0 {
		return []error{mistake("servers", "no server (for example nats://127.0.0.1:4222)")}
	}
	var mistakes []error
	for i, server := range o.Servers {
		if err := o.checkServer(server); err != nil {
			mistakes = append(mistakes, &OptionError{Key: fmt.Sprintf("servers[%d]", i), Err: err})
		}
	}
	return mistakes
}

// checkServer never repeats the address in an error before it is known to hold no password.
func (o Options) checkServer(server string) error {
	address, err := url.Parse(server)
	switch {
	case err != nil || address.Host == "":
		return errors.New("not an address such as nats://127.0.0.1:4222 or tls://nats.example.org:4222")
	case address.User != nil:
		return errors.New("a user or password in the address (use user with password_file, or token_file)")
	case address.Scheme != "nats" && address.Scheme != "tls":
		return fmt.Errorf("no scheme %q (there are nats and tls)", address.Scheme)
	case strings.Trim(address.Path, "/") != "" || address.RawQuery != "":
		return fmt.Errorf("%s: more than a host and a port", server)
	case address.Scheme == "nats" && !o.Plaintext && !loopback.Is(address.Hostname()):
		return fmt.Errorf("%s would send everything in the clear to another machine (use tls://%s, or allow it with plaintext: true)", server, address.Host)
	}
	return nil
}

func (o Options) checkAuth() []error {
	var mistakes []error
	ways := 0
	for _, set := range []bool{o.Credentials != "", o.NkeySeed != "", o.User != "" || o.PasswordFile != "", o.TokenFile != ""} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		mistakes = append(mistakes, mistake("credentials", "more than one way to log in (choose one of credentials, nkey_seed, user with password_file, token_file)"))
	}
	if o.User != "" && o.PasswordFile == "" {
		mistakes = append(mistakes, mistake("password_file", "missing: it goes with user"))
	}
	if o.User == "" && o.PasswordFile != "" {
		mistakes = append(mistakes, mistake("user", "missing: it goes with password_file"))
	}
	if (o.TLS.Cert == "") != (o.TLS.Key == "") {
		mistakes = append(mistakes, mistake("tls", "cert and key go together"))
	}
	return mistakes
}

func (o Options) checkStream() []error {
	var mistakes []error
	switch {
	case o.Stream == "":
		mistakes = append(mistakes, mistake("stream", "no stream (for example TOWN)"))
	case strings.ContainsFunc(o.Stream, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`.*>/\`, r) }):
		mistakes = append(mistakes, mistake("stream", "%q is no name of a stream (no spaces, dots, wildcards or slashes)", o.Stream))
	}
	if o.Prefix != "" && checkSubject(o.Prefix) != nil {
		mistakes = append(mistakes, mistake("subject", "%q is no prefix of a subject (for example town)", o.Prefix))
	}
	if o.Storage != "" && o.Storage != "file" && o.Storage != "memory" {
		mistakes = append(mistakes, mistake("storage", "no storage %q (there are file and memory)", o.Storage))
	}
	if o.Replicas < 0 || o.Replicas > 5 {
		mistakes = append(mistakes, mistake("replicas", "%d replicas (choose 1, 3 or 5)", o.Replicas))
	}
	if o.Strict && o.Create && o.Replicas < 2 {
		mistakes = append(mistakes, mistake("replicas", "strict refuses the stream with %d replica that create would make (choose 3, in a cluster)", max(o.Replicas, 1)))
	}
	if o.MaxAge < 0 {
		mistakes = append(mistakes, mistake("max_age", "negative"))
	}
	if o.MaxSize < 0 {
		mistakes = append(mistakes, mistake("max_size", "negative"))
	}
	return mistakes
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	defaults := Defaults()
	o.Window = cmp.Or(o.Window, defaults.Window)
	o.Storage = cmp.Or(o.Storage, defaults.Storage)
	o.Replicas = cmp.Or(o.Replicas, defaults.Replicas)
	o.Prefix = cmp.Or(o.Prefix, "town")
	o.ClientName = cmp.Or(o.ClientName, "belfry")
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}
