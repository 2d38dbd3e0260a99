package source_test

import (
	"net"
	"strings"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"belfry/gateway/gatewaytest"
)

// hostileBroker answers CONNECT, and then SUBSCRIBE with the bytes given.
func hostileBroker(t *testing.T, connack, suback string) (server string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() { // ends with the listener
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := packets.ReadPacket(connection); err == nil {
				_, _ = connection.Write([]byte(connack))
			}
			if subscribe, err := packets.ReadPacket(connection); err == nil {
				id := subscribe.Details().MessageID
				_, _ = connection.Write([]byte(strings.NewReplacer("ID", string([]byte{byte(id >> 8), byte(id)})).Replace(suback)))
			}
			_, _ = packets.ReadPacket(connection) // until the source leaves
			connection.Close()
		}
	}()
	return "tcp://" + listener.Addr().String()
}

func TestABrokenBrokerEndsTheRunAndNothingElse(t *testing.T) {
	const accepted = "\x20\x02\x00\x00"
	for _, c := range []struct{ name, connack, suback, want string }{
		{"SUBACK with too many codes", accepted, "\x90\x05ID\x01\x01\x01", "5 bytes instead of 3"},
		{"SUBACK without a code", accepted, "\x90\x02ID", "2 bytes instead of 3"},
		{"refused topic", accepted, "\x90\x03ID\x80", "refused the subscription to bins/+/state with code 128"},
		{"huge packet", accepted, "\xd0\xff\xff\xff\x7f", "instead of 0"},
		{"CONNACK that does not exist", "\x20\x02\x00\x63", "", "code 99"},
		{"unavailable", "\x20\x02\x00\x03", "", "server Unavailable"},
		{"client id refused", "\x20\x02\x00\x02", "", "sources.test.client_id"},
		{"no MQTT", "HTTP/1.1 400 Bad Request\r\n\r\n", "", "before its CONNACK"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := bins(t, hostileBroker(t, c.connack, c.suback), nil)
			wantRefusal(t, s, "sources.test.", c.want)
		})
	}
}

func TestSubscribeIsTriedAgainWhileItsPacketIDIsTaken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() { // ends with the connection
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		_, _ = packets.ReadPacket(connection)
		_, _ = connection.Write([]byte("\x20\x02\x00\x00"))
		for code := byte(0x91); ; code = 1 {
			packet, err := packets.ReadPacket(connection)
			if err != nil {
				return
			}
			id := packet.Details().MessageID
			_, _ = connection.Write([]byte{0x90, 3, byte(id >> 8), byte(id), code})
		}
	}()
	gatewaytest.Run(t, bins(t, "tcp://"+listener.Addr().String(), nil), gatewaytest.NewReceiver(false)).Stop(t)
}
