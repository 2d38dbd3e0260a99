package source

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// stream is a connection that reads from a text and keeps what is written, call by call.
type stream struct {
	net.Conn
	io.Reader
	writes []string
}

func (s *stream) Read(p []byte) (int, error) { return s.Reader.Read(p) }

func (s *stream) Write(p []byte) (int, error) {
	s.writes = append(s.writes, string(p))
	return len(p), nil
}

func (s *stream) SetWriteDeadline(time.Time) error { return nil }

const (
	connack  = "\x20\x02\x00\x00"
	testSize = 1 << 10
)

func guarded(text string) *guard { return newGuard(&stream{Reader: strings.NewReader(text)}, testSize) }

// publish returns the packet of a message with QoS 1 and id 7.
func publish(topic, payload string) string {
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos, p.MessageID = topic, []byte(payload), 1, 7
	if err := p.Write(&b); err != nil {
		panic(err)
	}
	return b.String()
}

func TestGuardRefusesWhatTheLibraryWouldNotSurvive(t *testing.T) {
	for _, c := range []struct{ name, stream, want string }{
		{"message before CONNACK", publish("t", "x"), "before its CONNACK"},
		{"second CONNACK", connack + connack, "second CONNACK"},
		{"CONNACK code that does not exist", "\x20\x02\x00\x06", "code 6"},
		{"CONNACK too long", "\x20\x03\x00\x00\x00", "3 bytes instead of 2"},
		{"SUBACK with more codes than topics", connack + "\x90\x04\x00\x01\x01\x01", "4 bytes instead of 3"},
		{"SUBACK without a code", connack + "\x90\x02\x00\x01", "2 bytes instead of 3"},
		{"length of five bytes", connack + "\x30\xff\xff\xff\xff\x01", "more than four bytes"},
		{"QoS 3", connack + "\x36\x05\x00\x01t\x00\x01", "QoS 3"},
		{"topic longer than its packet", connack + "\x30\x03\x00\x09t", "topic needs 11"},
		{"message without a topic", connack + "\x30\x00\x00\x00", "topic needs 2"},
		{"PINGRESP of 256 MiB", connack + "\xd0\xff\xff\xff\x7f", "instead of 0"},
		{"UNSUBACK of 256 MiB", connack + "\xb0\xff\xff\xff\x7f", "never gets"},
		{"packet of a client", connack + "\x10\x00", "never gets"},
		{"type 0", connack + "\x00\x00", "never gets"},
		{"farewell", connack + "\xe0\x00", "ended the session"},
		{"cut off in a length", connack + "\x30\x80", "unexpected EOF"},
		{"cut off in a message", connack + publish("t", "x")[:5], "unexpected EOF"},
		{"end", connack, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := guarded(c.stream)
			var err error
			for err == nil {
				_, err = g.Read(make([]byte, 16))
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if !errors.Is(g.failure(), err) {
				t.Errorf("failure is %v, want %v", g.failure(), err)
			}
			if _, again := g.Read(make([]byte, 1)); !errors.Is(again, err) {
				t.Errorf("next read gives %v, want %v again", again, err)
			}
		})
	}
}

func TestGuardLetsThroughWhatFitsAndCutsWhatDoesNot(t *testing.T) {
	atLimit := testSize - len(publish("bins/1", "")) - 1 // one more byte of length from 128 on
	for _, c := range []struct {
		name          string
		size, kept    int
		wantCutPacket int
	}{
		{"empty", 0, 0, 0},
		{"at the limit", atLimit, atLimit, 0},
		{"one byte over", atLimit + 1, atLimit + 1, testSize + 1},
		{"far over", 10 << 20, maxExcerpt, 10<<20 + 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := guarded(connack + publish("bins/1", strings.Repeat("x", c.size)) + publish("bins/2", "next"))
			if _, err := packets.ReadPacket(g); err != nil {
				t.Fatal(err)
			}
			first, err := packets.ReadPacket(g)
			if err != nil {
				t.Fatal(err)
			}
			message := first.(*packets.PublishPacket)
			if len(message.Payload) != c.kept || message.TopicName != "bins/1" || message.MessageID != 7 || message.Qos != 1 {
				t.Errorf("got %d bytes of %s, id %d, QoS %d", len(message.Payload), message.TopicName, message.MessageID, message.Qos)
			}
			if got := g.size(1); got != c.wantCutPacket {
				t.Errorf("size of the message cut short is %d, want %d", got, c.wantCutPacket)
			}
			second, err := packets.ReadPacket(g)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(second.(*packets.PublishPacket).Payload); got != "next" {
				t.Errorf("next message is %q", got)
			}
			if got := g.size(2); got != 0 {
				t.Errorf("next message counts as cut short, of %d bytes", got)
			}
		})
	}
}

func TestAcknowledgementsOfABatchLeaveTogether(t *testing.T) {
	connection := &stream{Reader: strings.NewReader("")}
	g := newGuard(connection, testSize)
	g.expect(3)
	for _, packet := range []string{"\x40\x02\x00\x01", "\x50\x02\x00\x02"} {
		if _, err := g.Write([]byte(packet)); err != nil {
			t.Fatal(err)
		}
	}
	if len(connection.writes) != 0 {
		t.Errorf("wrote %q before the batch was complete", connection.writes)
	}
	if _, err := g.Write([]byte("\x40\x02\x00\x03")); err != nil {
		t.Fatal(err)
	}
	if want := "\x40\x02\x00\x01\x50\x02\x00\x02\x40\x02\x00\x03"; len(connection.writes) != 1 || connection.writes[0] != want {
		t.Errorf("wrote %q, want %q at once", connection.writes, want)
	}
}

func TestAnyOtherPacketTakesTheAcknowledgementsAlong(t *testing.T) {
	connection := &stream{Reader: strings.NewReader("")}
	g := newGuard(connection, testSize)
	g.expect(2)
	for _, packet := range []string{"\x40\x02\x00\x01", "\xc0\x00"} {
		if _, err := g.Write([]byte(packet)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(connection.writes, ""); got != "\x40\x02\x00\x01\xc0\x00" {
		t.Errorf("wrote %q", got)
	}
}

// FuzzGuard feeds what a hostile broker could send through the guard to the library's reader.
func FuzzGuard(f *testing.F) {
	f.Add([]byte(connack + publish("a/b", "payload") + "\x90\x03\x00\x01\x01\xd0\x00\x62\x02\x00\x07"))
	f.Add([]byte(connack + publish("a", strings.Repeat("y", 2*testSize)) + publish("b", "")))
	f.Add([]byte(connack + "\x90\x04\x00\x01\x01\x01"))
	f.Add([]byte("\x20\x02\x00\x00\x30\xff\xff\xff\x7f\x00\x01t"))
	f.Fuzz(func(t *testing.T, text []byte) {
		g := newGuard(&stream{Reader: bytes.NewReader(text)}, testSize)
		for range len(text) + 1 {
			packet, err := packets.ReadPacket(g)
			if err != nil {
				if g.failure() == nil {
					t.Fatalf("the library failed with %v on what the guard let through", err)
				}
				return
			}
			switch p := packet.(type) {
			case *packets.PublishPacket:
				if len(p.TopicName)+len(p.Payload) > max(testSize, 65535+maxExcerpt) || p.Qos > 2 {
					t.Fatalf("let through a message of %d bytes with QoS %d", len(p.Payload), p.Qos)
				}
			case *packets.SubackPacket:
				if len(p.ReturnCodes) != 1 {
					t.Fatalf("let through %d codes", len(p.ReturnCodes))
				}
			case *packets.ConnackPacket, *packets.PubrelPacket, *packets.PingrespPacket:
			default:
				t.Fatalf("let through %T", p)
			}
		}
		t.Fatal("more packets than bytes")
	})
}
