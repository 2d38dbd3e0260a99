package source

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"belfry/gateway/secret"
)

func TestEveryMistakeInTheOptionsIsNamed(t *testing.T) {
	good := func(change func(*MQTTOptions)) func(*MQTTOptions) {
		return func(o *MQTTOptions) {
			o.Server = "tcp://127.0.0.1:1883"
			o.Topics = []TopicOptions{{Topic: "bins/{sensor}"}}
			change(o)
		}
	}
	server := func(address string) func(*MQTTOptions) {
		return good(func(o *MQTTOptions) { o.Server = address })
	}
	for _, c := range []struct {
		name string
		set  func(*MQTTOptions)
		want []string // keys
	}{
		{"nothing wrong", good(func(*MQTTOptions) {}), nil},
		{"loopback name", server("mqtt://localhost"), nil},
		{"loopback IPv6", server("tcp://[::1]:1883"), nil},
		{"secure", server("ssl://broker.example"), nil},
		{"secure WebSocket with a path", server("wss://broker.example/mqtt"), nil},
		{"allowed clear text", good(func(o *MQTTOptions) { o.Server, o.Plaintext = "tcp://broker.example:1883", true }), nil},
		{"clear text", server("tcp://broker.example:1883"), []string{"server"}},
		{"clear text that begins like loopback", server("tcp://127.0.0.1.example:1883"), []string{"server"}},
		{"clear WebSocket", server("ws://broker.example"), []string{"server"}},
		{"no server", server(""), []string{"server"}},
		{"no scheme", server("broker.example:1883"), []string{"server"}},
		{"other scheme", server("http://127.0.0.1"), []string{"server"}},
		{"password in the address", server("ssl://user:pass@broker.example"), []string{"server"}},
		{"path", server("tcp://127.0.0.1:1883/mqtt"), []string{"server"}},
		{"no host", server("tcp://:1883"), []string{"server"}},
		{"nothing but mistakes", func(o *MQTTOptions) {
			o.ClientID, o.QoS, o.KeepAlive, o.MaxPacket, o.Queue = "", 3, time.Second, 10, 5
			o.Username, o.UsernameFile = "a", "b"
		}, []string{"server", "client_id", "username_file", "qos", "keep_alive", "max_packet", "queue", "topics"}},
		{"password without a user", good(func(o *MQTTOptions) { o.PasswordFile = "p" }), []string{"password_file"}},
		{"certificate without key", good(func(o *MQTTOptions) {
			o.Server, o.TLS = "ssl://b.example", secret.TLS{Cert: "c"}
		}), []string{"tls"}},
		{"TLS options without TLS", good(func(o *MQTTOptions) { o.TLS = secret.TLS{CA: "ca"} }), []string{"tls"}},
		{"topics", good(func(o *MQTTOptions) {
			o.Topics = []TopicOptions{
				{Topic: "a/{sensor}", Port: 256, Payload: "octal"},
				{Topic: "$share/x"},
				{Topic: "a/b"},
				{Topic: "a/{sensor}", Device: "id"},
				{Topic: "c/#", Device: "id"},
			}
		}), []string{"topics[0].payload", "topics[0].port", "topics[1].topic", "topics[2].topic", "topics[3].device"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newMQTT(Env{Name: "bins", Gateway: "box", Log: slog.New(slog.DiscardHandler)}, func(options any) error {
				c.set(options.(*MQTTOptions))
				return nil
			})
			if got := keys(err); !slices.Equal(got, c.want) {
				t.Errorf("got mistakes in %v, want %v (%v)", got, c.want, err)
			}
		})
	}
}

// keys lists the keys of joined option errors.
func keys(err error) []string {
	var list []string
	var option *OptionError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			list = append(list, keys(err)...)
		}
	} else if errors.As(err, &option) {
		list = append(list, option.Key)
	}
	return list
}

func TestDefaultsKeepTheSession(t *testing.T) {
	var options MQTTOptions
	_, err := newMQTT(Env{Name: "bins", Gateway: "box"}, func(o any) error {
		options = *o.(*MQTTOptions)
		return errors.New("enough")
	})
	if err == nil || err.Error() != "enough" {
		t.Errorf("constructor returns %v, want what decode returned", err)
	}
	want := Connection{ClientID: "belfry-box-bins", QoS: 1, KeepAlive: 30 * time.Second, MaxPacket: 256 << 10, Queue: 8 << 20}
	if options.Connection != want || !options.IgnoreRetained {
		t.Errorf("defaults are %+v", options)
	}
}
