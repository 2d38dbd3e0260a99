package source_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry/gateway"
	"belfry/gateway/demo"
	"belfry/gateway/gatewaytest"
	"belfry/gateway/source"
)

// wantRefusal runs a source that must not become ready, and looks for parts of its error.
func wantRefusal(t *testing.T, s gateway.Source, parts ...string) {
	t.Helper()
	err := gatewaytest.Begin(t, s, gatewaytest.NewReceiver(false)).Ended(t)
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("run ended with %v, want an error with %q", err, part)
		}
	}
}

func serverTLS(pair tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

func writeSecret(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// F24: expired, not valid yet (a clock in 1970), of an unknown authority, for another name.
func TestCertificatesThatAreNotInOrderAreRefused(t *testing.T) {
	authority, other := gatewaytest.NewAuthority(t, "ca"), gatewaytest.NewAuthority(t, "other")
	yesterday := time.Now().Add(-24 * time.Hour)
	for _, c := range []struct {
		name        string
		certificate tls.Certificate
		ca          *gatewaytest.Authority
		want        string
	}{
		{"unknown authority", other.Issue(gatewaytest.Certificate{}), authority, "set tls.ca to the authority"},
		{"system's authorities only", authority.Issue(gatewaytest.Certificate{}), nil, "set tls.ca to the authority"},
		{"expired", authority.Issue(gatewaytest.Certificate{NotBefore: yesterday.Add(-time.Hour), NotAfter: yesterday}), authority, "set this machine's clock"},
		{"not yet valid", authority.Issue(gatewaytest.Certificate{NotBefore: time.Now().Add(time.Hour)}), authority, "set this machine's clock"},
		{"other name", authority.Issue(gatewaytest.Certificate{Names: []string{"broker.example"}}), authority, "set tls.server_name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			broker := startBroker(t, demo.MQTTOptions{TLS: serverTLS(c.certificate)})
			wantRefusal(t, bins(t, broker.Address(), func(o *source.MQTTOptions) {
				if c.ca != nil {
					o.TLS.CA = c.ca.WriteCA(t.TempDir())
				}
			}), "sources.test.server: ssl://127.0.0.1:", c.want)
		})
	}
}

func TestClientCertificate(t *testing.T) {
	authority, other := gatewaytest.NewAuthority(t, "ca"), gatewaytest.NewAuthority(t, "other")
	config := serverTLS(authority.Issue(gatewaytest.Certificate{}))
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, authority.Pool()
	broker := startBroker(t, demo.MQTTOptions{TLS: config})
	folder := t.TempDir()
	withPair := func(issuer *gatewaytest.Authority) gateway.Source {
		return bins(t, broker.Address(), func(o *source.MQTTOptions) {
			o.TLS.CA = authority.WriteCA(folder)
			if issuer != nil {
				o.TLS.Cert, o.TLS.Key = issuer.WritePair(folder, "client", issuer.Issue(gatewaytest.Certificate{}))
			}
		})
	}
	wantRefusal(t, withPair(nil), "sources.test.server", "certificate required")
	wantRefusal(t, withPair(other), "sources.test.server")

	renewed := withPair(other)
	withPair(authority) // replaces the files: they are read at each connect
	running := gatewaytest.Run(t, renewed, gatewaytest.NewReceiver(false))
	running.Stop(t)
}

func TestAServerNameMayBeConfigured(t *testing.T) {
	authority := gatewaytest.NewAuthority(t, "ca")
	broker := startBroker(t, demo.MQTTOptions{TLS: serverTLS(authority.Issue(gatewaytest.Certificate{Names: []string{"broker.example"}}))})
	gatewaytest.Run(t, bins(t, broker.Address(), func(o *source.MQTTOptions) {
		o.TLS.CA, o.TLS.ServerName = authority.WriteCA(t.TempDir()), "broker.example"
	}), gatewaytest.NewReceiver(false))
}

func TestAWrongPasswordIsNamed(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) gatewaytest.Broker{
		"mochi": func(t *testing.T) gatewaytest.Broker {
			return startBroker(t, demo.MQTTOptions{Username: "belfry", Password: "right"})
		},
		"mosquitto": func(t *testing.T) gatewaytest.Broker { return mosquittoWithPassword(t) },
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t).Address()
			file := writeSecret(t, "password", "wr0ng-canary\n")
			s := bins(t, server, func(o *source.MQTTOptions) { o.Username, o.PasswordFile = "belfry", file })
			err := gatewaytest.Begin(t, s, gatewaytest.NewReceiver(false)).Ended(t)
			if err == nil || !strings.Contains(err.Error(), `sources.test.password_file: `+server+` refused user "belfry" or its password`) {
				t.Errorf("wrong password: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the password: %v", err)
			}
			wantRefusal(t, bins(t, server, nil), "sources.test.username: "+server+" wants one")
			if err := os.WriteFile(file, []byte("right"), 0o600); err != nil {
				t.Fatal(err)
			}
			gatewaytest.Run(t, s, gatewaytest.NewReceiver(false)) // read again at each connect
		})
	}
}

// mosquittoWithPassword lets in belfry with the password "right".
func mosquittoWithPassword(t *testing.T) *gatewaytest.Mosquitto {
	const hash = "belfry:$7$101$MYdDCSECygYnOd+F$e7xKnqNCeYP4BzgoVbCwcVUC834NrzQ4e9eI/j1vG6DY5A3yKlKwOETdBGyPbBz4GeQVT6rQ2aM1eLyXMxQT5Q==\n" // mosquitto_passwd -b passwords belfry right
	return gatewaytest.StartMosquitto(t, "allow_anonymous false\npassword_file "+writeSecret(t, "passwords", hash))
}

func TestABrokerThatTakesAnyPasswordIsReported(t *testing.T) {
	for name, c := range map[string]struct {
		options demo.MQTTOptions
		want    int
	}{
		"takes any":    {demo.MQTTOptions{}, 1},
		"knows better": {demo.MQTTOptions{Username: "belfry", Password: "right"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			broker := startBroker(t, c.options)
			var log lockedBuffer
			env := testEnv(t)
			env.Log = slog.New(slog.NewTextHandler(&log, nil))
			file := writeSecret(t, "password", "right")
			s, err := source.New("mqtt", env, func(options any) error {
				o := options.(*source.MQTTOptions)
				o.Server, o.Username, o.PasswordFile = broker.Address(), "belfry", file
				o.Topics = []source.TopicOptions{{Topic: "bins/{sensor}"}}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // it is said once
				running := gatewaytest.Run(t, s, gatewaytest.NewReceiver(false))
				gatewaytest.WaitFor(t, deadline, "the probe", func() bool { return broker.Refused()+strings.Count(log.String(), "wrong password") > 0 })
				running.Stop(t)
			}
			if got := strings.Count(log.String(), "broker accepts a wrong password"); got != c.want {
				t.Errorf("%d warnings, want %d: %s", got, c.want, log.String())
			}
		})
	}
}

// lockedBuffer is a buffer that several goroutines may use.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestAProblemWithASecretFileNamesTheOption(t *testing.T) {
	exposed := writeSecret(t, "password", "x")
	if err := os.Chmod(exposed, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*source.MQTTOptions)
		want   string
	}{
		{func(o *source.MQTTOptions) { o.Username, o.PasswordFile = "belfry", exposed }, "sources.test.password_file: " + exposed + ": exposed secret"},
		{func(o *source.MQTTOptions) { o.UsernameFile = "none" }, "sources.test.username_file: open "},
		{func(o *source.MQTTOptions) { o.Server, o.TLS.CA = "ssl://localhost", "none" }, "sources.test.tls.ca: open "},
	} {
		wantRefusal(t, bins(t, "tcp://127.0.0.1:1", c.change), c.want)
	}
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := "tcp://" + listener.Addr().String()
	listener.Close()
	wantRefusal(t, bins(t, server, nil), "sources.test.server: "+server+": connection refused")
}

func TestATakenClientIDIsRecognised(t *testing.T) {
	broker := startBroker(t, demo.MQTTOptions{})
	s := bins(t, broker.Address(), nil)
	for i := range 3 {
		running := gatewaytest.Run(t, s, gatewaytest.NewReceiver(false))
		gatewaytest.Run(t, bins(t, broker.Address(), nil), gatewaytest.NewReceiver(false)) // with the same id
		err := running.Ended(t)
		if err == nil || strings.Contains(err.Error(), "another client") != (i == 2) {
			t.Errorf("connection %d ended with %v", i+1, err)
		}
		if i == 2 && !strings.Contains(err.Error(), `client_id "belfry-box-test"`) {
			t.Errorf("error does not name the client id: %v", err)
		}
	}
}
