package config

import (
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"belfry/buffer"
	"belfry/gateway/event"
	"belfry/gateway/secret"
)

const mainFile = "belfry.yaml"

// loadMain reads belfry.yaml.
func (l *loader) loadMain() {
	text, ok := readFile(l.folder, mainFile, l.report)
	if !ok {
		return
	}
	d := parseDocument(mainFile, text, l.report)
	if d == nil {
		return
	}
	written := defaults()
	d.fill("", d.root, &written)
	l.checkTown(d, &written)
	l.checkEventKey(d, written.EventKey)
	l.makeSources(d, &written)
	l.checkNATS(d, written.NATS)
	l.config.Buffer = bufferOptions(d, &written.Buffer)
	l.config.Buffer.Dir = secret.Path(l.dir, l.config.Buffer.Dir)
	l.config.Status = checkStatus(d, written.Status)
	l.config.Log = checkLog(d, written.Log)
}

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

// checkEventKey reads the key of event ids, without which no event could have the same id again.
func (l *loader) checkEventKey(d *document, name string) {
	if name == "" {
		return
	}
	l.config.EventKeyFile = secret.Path(l.dir, name)
	key, err := secret.Read(l.config.EventKeyFile)
	switch {
	case err != nil:
		d.at("event_key", err.Error(), "")
	case len(key) < event.MinEventKey:
		d.at("event_key", fmt.Sprintf("%s: %d bytes are too short for a key", name, len(key)),
			fmt.Sprintf("at least %d: head -c 32 /dev/urandom | base64 > %s", event.MinEventKey, name))
	}
}

const (
	minBuffer      = 128 << 20 // 4 segments
	maxCommitDelay = 10 * time.Second
	minMaxAge      = time.Hour
)

func bufferOptions(d *document, written *bufferForm) buffer.Options {
	if written.Dir == "" {
		d.at("buffer.dir", "missing", "/var/lib/belfry")
	}
	if written.MaxSize < minBuffer {
		d.at("buffer.max_size", "too small for the buffer's files", "at least 128MiB")
	}
	if written.MaxAge < minMaxAge {
		d.at("buffer.max_age", "too short: an outage of NATS would lose everything", "at least 1h")
	}
	if written.CommitDelay < time.Millisecond || written.CommitDelay > maxCommitDelay {
		d.at("buffer.commit_delay", "out of range", "1ms to 10s")
	}
	d.choice("buffer.when_full", written.WhenFull, "oldest", "refuse")
	options := buffer.Options{
		Dir: written.Dir, MaxSize: int64(written.MaxSize), MaxAge: written.MaxAge, Refuse: written.WhenFull == "refuse",
		Hold: written.Hold, CommitDelay: written.CommitDelay,
	}
	if written.Hold == 0 {
		options.Hold = -1 // the buffer takes 0 for its default
	}
	return options
}

// choice checks that a value is one of a few words.
func (d *document) choice(path, value string, words ...string) {
	if !slices.Contains(words, value) {
		d.at(path, fmt.Sprintf("got %q", value), "one of "+strings.Join(words, ", "))
	}
}

func checkStatus(d *document, written statusForm) Status {
	host, _, err := net.SplitHostPort(written.Listen)
	if err != nil {
		d.at("status.listen", notA("host with a port", written.Listen), "127.0.0.1:9469")
	} else if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		d.at("status.listen", fmt.Sprintf("%q is reachable from other machines, and the page has neither TLS nor a password", written.Listen),
			"listen on 127.0.0.1 and put a proxy or an ssh tunnel in front")
	}
	return Status(written)
}

func checkLog(d *document, written logForm) Log {
	d.choice("log.format", written.Format, "text", "json")
	d.choice("log.level", written.Level, "debug", "info", "warn", "error")
	var level slog.Level
	if err := level.UnmarshalText([]byte(written.Level)); err != nil {
		level = slog.LevelInfo // reported by choice
	}
	return Log{Format: written.Format, Level: level}
}

// blame reports what the owner of some options finds wrong in them. key returns the key of one of its errors, below path.
func (d *document) blame(path string, err error, key func(error) (string, error)) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, each := range joined.Unwrap() {
			d.blame(path, each, key)
		}
		return
	}
	below, cause := key(err)
	if below != "" && path != "" && below[0] != '[' {
		below = "." + below
	}
	d.at(path+below, cause.Error(), "")
}
