package config

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"belfry/buffer"
	"belfry/gateway/loopback"
)

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
	} else if !loopback.Is(host) {
		d.at("status.listen", fmt.Sprintf("%q is reachable from other machines, and metrics and health have neither TLS nor a password", written.Listen),
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
