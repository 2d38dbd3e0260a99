package forward_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"belfry/gateway/forward"
)

func TestCheckNamesEveryMistakeByItsKey(t *testing.T) {
	good := forward.Options{Servers: []string{"nats://127.0.0.1:4222"}, Stream: "TOWN"}
	tests := []struct {
		name   string
		change func(*forward.Options)
		key    string // "" for none
		text   string
	}{
		{"smallest", func(*forward.Options) {}, "", ""},
		{"no server", func(o *forward.Options) { o.Servers = nil }, "servers", "nats://127.0.0.1:4222"},
		{"name without a scheme", func(o *forward.Options) { o.Servers = []string{"nats.example.org"} }, "servers[0]", "tls://"},
		{"another scheme", func(o *forward.Options) { o.Servers = []string{"ws://127.0.0.1:1"} }, "servers[0]", `"ws"`},
		{"password in the address", func(o *forward.Options) { o.Servers = []string{"tls://u:hush@nats.example.org"} }, "servers[0]", "password_file"},
		{"broken address with a password", func(o *forward.Options) { o.Servers = []string{"nats://u:hush@%zz"} }, "servers[0]", "not an address"},
		{"in the clear", func(o *forward.Options) { o.Servers = append(o.Servers, "nats://192.0.2.1:4222") }, "servers[1]", "plaintext: true"},
		{"in the clear, allowed", func(o *forward.Options) {
			o.Servers, o.Plaintext = []string{"nats://192.0.2.1:4222"}, true
		}, "", ""},
		{"TLS", func(o *forward.Options) { o.Servers = []string{"tls://nats.example.org:4222"} }, "", ""},
		{"loopback by name and by IPv6", func(o *forward.Options) { o.Servers = []string{"nats://localhost:4222", "nats://[::1]:4222"} }, "", ""},
		{"no stream", func(o *forward.Options) { o.Stream = "" }, "stream", "TOWN"},
		{"stream with a dot", func(o *forward.Options) { o.Stream = "A.B" }, "stream", `"A.B"`},
		{"two logins", func(o *forward.Options) { o.Credentials, o.TokenFile = "a", "b" }, "credentials", "choose one"},
		{"user alone", func(o *forward.Options) { o.User = "u" }, "password_file", "user"},
		{"password alone", func(o *forward.Options) { o.PasswordFile = "f" }, "user", "password_file"},
		{"certificate without key", func(o *forward.Options) { o.TLS.Cert = "c" }, "tls", "together"},
		{"window", func(o *forward.Options) { o.Window = -1 }, "window", "512"},
		{"rate", func(o *forward.Options) { o.Rate = -1 }, "rate", "100B"},
		{"rate that is next to nothing", func(o *forward.Options) { o.Rate = 99 }, "rate", "0B for no limit"},
		{"rate of a thin uplink", func(o *forward.Options) { o.Rate = 8000 }, "", ""},
		{"strict about a stream that create makes", func(o *forward.Options) { o.Strict, o.Create = true, true }, "replicas", "choose 3"},
		{"strict with three replicas", func(o *forward.Options) { o.Strict, o.Create, o.Replicas = true, true, 3 }, "", ""},
		{"storage", func(o *forward.Options) { o.Storage = "tape" }, "storage", "file and memory"},
		{"replicas", func(o *forward.Options) { o.Replicas = 9 }, "replicas", "3"},
		{"age", func(o *forward.Options) { o.MaxAge = -time.Second }, "max_age", ""},
		{"size", func(o *forward.Options) { o.MaxSize = -1 }, "max_size", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := good
			test.change(&o)
			err := o.Check()
			if _, newErr := forward.New(o); (newErr == nil) != (err == nil) {
				t.Errorf("New and Check do not agree: %v, %v", newErr, err)
			}
			if test.key == "" {
				if err != nil {
					t.Errorf("got %v, want no mistake", err)
				}
				return
			}
			mistake, ok := errors.AsType[*forward.OptionError](err)
			if !ok || mistake.Key != test.key || !strings.Contains(mistake.Err.Error(), test.text) {
				t.Fatalf("got %v, want %s with %q", err, test.key, test.text)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

func TestCheckReportsAllMistakesAtOnce(t *testing.T) {
	err := forward.Options{Servers: []string{"x", "y"}, Window: -1}.Check()
	for _, key := range []string{"servers[0]:", "servers[1]:", "stream:", "window:"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("got %v, want also %s", err, key)
		}
	}
}
