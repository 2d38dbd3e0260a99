package source

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"belfry/gateway/loopback"
	"belfry/gateway/secret"
)

// Connection are the options that every source on an MQTT broker has.
type Connection struct {
	Server       string        `yaml:"server"`        // tcp://, mqtt://, ssl://, tls://, mqtts://, ws:// or wss://, host and port
	ClientID     string        `yaml:"client_id"`     // "belfry-<gateway>-<source>"; the broker keeps the session under it
	Username     string        `yaml:"username"`      // "" for none
	UsernameFile string        `yaml:"username_file"` // instead of username
	PasswordFile string        `yaml:"password_file"` // read at each connect, as are the user and the certificates
	TLS          secret.TLS    `yaml:"tls"`           // for ssl, tls, mqtts and wss
	Plaintext    bool          `yaml:"plaintext"`     // allows clear text to a host that is not this one
	QoS          int           `yaml:"qos"`           // 0, 1 or 2
	CleanSession bool          `yaml:"clean_session"` // the broker forgets what comes in while the gateway is away
	KeepAlive    time.Duration `yaml:"keep_alive"`    // a connection that is silent for longer is asked, and given up after 10 s more
	MaxPacket    int           `yaml:"max_packet"`    // bytes; of a larger message only the beginning is kept, in quarantine
	Queue        int           `yaml:"queue"`         // bytes of messages that may wait in memory to be stored
}

func defaultConnection(env Env) Connection {
	return Connection{
		ClientID:  "belfry-" + env.Gateway + "-" + env.Name,
		QoS:       1,
		KeepAlive: 30 * time.Second,
		MaxPacket: 256 << 10,
		Queue:     8 << 20,
	}
}

const (
	minPacket    = 1 << 10         // bytes
	mostPacket   = 2 << 20         // bytes; in quarantine a message is up to 2.7 times as large, and the smallest buffer takes 8 MiB at once
	maxKeepAlive = 65_535          // seconds, section 3.1.2.10
	maxClientID  = 65_535          // bytes, section 1.5.3
	minKeepAlive = 5 * time.Second // paho's ping needs some room
)

// endpoint is the checked address of a broker.
type endpoint struct {
	server    string // as configured, for messages
	url       *url.URL
	secure    bool
	websocket bool
}

// scheme says what the beginning of a server's address means.
type scheme struct {
	secure, websocket bool
	port              string
}

var schemes = map[string]scheme{
	"tcp":   {port: "1883"},
	"mqtt":  {port: "1883"},
	"ssl":   {port: "8883", secure: true},
	"tls":   {port: "8883", secure: true},
	"mqtts": {port: "8883", secure: true},
	"ws":    {port: "80", websocket: true},
	"wss":   {port: "443", secure: true, websocket: true},
}

// check returns the broker's address and every mistake in the options.
func (c *Connection) check() (endpoint, error) {
	server, err := c.checkServer()
	mistakes := []error{err}
	mistake := func(key, format string, args ...any) {
		mistakes = append(mistakes, &OptionError{Key: key, Err: fmt.Errorf(format, args...)})
	}
	if c.ClientID == "" && !c.CleanSession {
		mistake("client_id", "empty; the broker keeps the session under it")
	}
	if len(c.ClientID) > maxClientID || strings.ContainsAny(c.ClientID, "\x00\r\n") {
		mistake("client_id", "%.40q is not a client id", c.ClientID)
	}
	if c.Username != "" && c.UsernameFile != "" {
		mistake("username_file", "username is set too (keep one of them)")
	}
	if c.PasswordFile != "" && c.Username == "" && c.UsernameFile == "" {
		mistake("password_file", "a password needs a user (set username or username_file)")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		mistake("tls", "cert and key go together")
	}
	if err == nil && !server.secure && c.TLS != (secret.TLS{}) {
		mistake("tls", "has no effect with %s (use ssl:// or wss://)", server.server)
	}
	if c.QoS < 0 || c.QoS > 2 {
		mistake("qos", "%d is not 0, 1 or 2", c.QoS)
	}
	if c.KeepAlive < minKeepAlive || c.KeepAlive > maxKeepAlive*time.Second {
		mistake("keep_alive", "%s is not between %s and %s", c.KeepAlive, minKeepAlive, maxKeepAlive*time.Second)
	}
	if c.MaxPacket < minPacket || c.MaxPacket > mostPacket {
		mistake("max_packet", "%d is not between %d and %d bytes", c.MaxPacket, minPacket, mostPacket)
	}
	if least := c.MaxPacket + arrivalOverhead; c.Queue < least {
		mistake("queue", "%d bytes is less than one message of max_packet needs, %d", c.Queue, least)
	}
	return server, errors.Join(mistakes...)
}

func (c *Connection) checkServer() (endpoint, error) {
	mistake := func(format string, args ...any) (endpoint, error) {
		return endpoint{}, &OptionError{Key: "server", Err: fmt.Errorf(format, args...)}
	}
	if c.Server == "" {
		return mistake("missing (for example ssl://broker.town.example:8883)")
	}
	address, err := url.Parse(c.Server)
	if err != nil {
		return mistake("not an address (for example ssl://broker.town.example:8883)") // its error could show a password
	}
	kind, ok := schemes[address.Scheme]
	if !ok {
		return mistake("no scheme %q (use tcp, mqtt, ssl, tls, mqtts, ws or wss)", address.Scheme)
	}
	if address.User != nil {
		return mistake("user and password do not belong here (use username and password_file)")
	}
	if address.Hostname() == "" {
		return mistake("%s has no host", c.Server)
	}
	if !kind.websocket && strings.Trim(address.Path, "/") != "" || address.RawQuery != "" || address.Fragment != "" {
		return mistake("%s has more than host and port", c.Server)
	}
	if !kind.secure && !c.Plaintext && !loopback.Is(address.Hostname()) {
		return mistake("%s is clear text to another host (use ssl:// or wss://, or allow it with plaintext: true)", c.Server)
	}
	if address.Port() == "" {
		address.Host = net.JoinHostPort(address.Hostname(), kind.port)
	}
	return endpoint{server: c.Server, url: address, secure: kind.secure, websocket: kind.websocket}, nil
}

// credentials reads who the gateway is to the broker. The error names the option.
func (c *Connection) credentials(dir string) (username, password string, err error) {
	username = c.Username
	if c.UsernameFile != "" {
		content, err := secret.Read(secret.Path(dir, c.UsernameFile))
		if err != nil {
			return "", "", &OptionError{Key: "username_file", Err: err}
		}
		username = string(content)
	}
	if c.PasswordFile != "" {
		content, err := secret.Read(secret.Path(dir, c.PasswordFile))
		if err != nil {
			return "", "", &OptionError{Key: "password_file", Err: err}
		}
		password = string(content)
	}
	return username, password, nil
}
