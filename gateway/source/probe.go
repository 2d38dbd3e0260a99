package source

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// probe offers the broker a wrong password, once, and warns when it is taken: then everyone gets in.
func (s *session) probe(ctx context.Context) {
	if s.probed || s.options.PasswordFile == "" {
		return
	}
	username, _, err := s.options.credentials(s.env.Dir)
	if err != nil {
		return // the next connect says so
	}
	s.probed = true
	if s.admits(ctx, username, rand.Text()) {
		s.env.Log.Warn("broker accepts a wrong password", "source", s.env.Name)
	}
}

// admits says whether the broker takes a client with these credentials. What goes wrong is no news: this is not the
// connection that counts.
func (s *session) admits(ctx context.Context, username, password string) bool {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	config, err := s.options.TLS.Config(s.env.Dir)
	if err != nil {
		return false
	}
	connection, err := dial(ctx, s.endpoint, config)
	if err != nil {
		return false
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { connection.Close() })()
	if err := connection.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return false
	}
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion = "MQTT", 4
	connect.ClientIdentifier, connect.CleanSession = "belfry-probe-"+rand.Text()[:8], true
	connect.UsernameFlag, connect.Username = true, username
	connect.PasswordFlag, connect.Password = true, []byte(password)
	if err := connect.Write(connection); err != nil {
		return false
	}
	answer, err := packets.ReadPacket(newGuard(connection, minPacket))
	if err != nil {
		return false
	}
	connack, ok := answer.(*packets.ConnackPacket)
	return ok && connack.ReturnCode == packets.Accepted
}
