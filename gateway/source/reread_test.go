package source

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"belfry/gateway"
	"belfry/gateway/event"
)

// kept is what quarantine has of an uplink.
func kept(stage string, u gateway.Uplink) *event.Quarantined {
	packed := event.Quarantined{Stage: stage, Reason: "r", Topic: u.Topic, Raw: u.Raw, Received: u.Received, Time: u.Time}.Append(nil)
	q, err := event.ParseQuarantined(packed)
	if err != nil {
		panic(err)
	}
	return &q
}

func TestChirpStackReadsAMessageAgainAsItDidTheFirstTime(t *testing.T) {
	s := testChirpStack(t)
	at := time.Date(2026, 1, 14, 17, 2, 11, 123456789, time.UTC)
	message := &arrival{Message: &delivered{topic: testTopic + "up", payload: []byte(UplinkJSON("0a1b2c3d4e5f"))}, received: at}
	first := gateway.Uplink{Topic: message.Topic(), Raw: message.Payload(), Received: at}
	if !s.read(message, &first) {
		t.Fatal("not taken")
	}
	counted := s.Counters()
	again, ok := s.Reread(kept("inventory", first))
	if !ok {
		t.Fatal("not read again")
	}
	if diff := cmp.Diff(first, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(counted, s.Counters()); diff != "" {
		t.Errorf("the counters of the broker changed:\n%s", diff)
	}
	first.Topic = "other/topic"
	if _, ok := s.Reread(kept("inventory", first)); ok {
		t.Error("a message of a topic that the source does not take was read")
	}
}

func testMQTT(t *testing.T, topics ...TopicOptions) *mqttSource {
	t.Helper()
	made, err := newMQTT(Env{Name: "bins", Gateway: "box", Log: slog.New(slog.DiscardHandler)}, func(options any) error {
		o := options.(*MQTTOptions)
		o.Server, o.Topics = "tcp://127.0.0.1:1883", topics
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.(*mqttSource)
}

func TestMQTTReadsAMessageAgainWithTheOptionsOfToday(t *testing.T) {
	at := time.Date(2026, 1, 14, 17, 2, 11, 0, time.UTC)
	u := gateway.Uplink{Topic: "bins/b7/state", Raw: []byte("0aff"), Received: at, Fault: errors.New("unreadable")}
	if again, ok := testMQTT(t, TopicOptions{Topic: "bins/{sensor}/state", Payload: "base64"}).Reread(kept("source", u)); !ok || again.Device != "b7" {
		t.Errorf("got %+v, %v", again, ok)
	}
	again, ok := testMQTT(t, TopicOptions{Topic: "bins/{sensor}/state", Payload: "hex", Port: 4}).Reread(kept("source", u))
	if !ok || string(again.Payload) != "\x0a\xff" || again.Port != 4 || !again.Received.Equal(at) || again.Fault != nil {
		t.Errorf("got %+v, %v", again, ok)
	}
}

func TestBeginningOfAMessageIsNotReadAsTheWhole(t *testing.T) {
	s := testMQTT(t, TopicOptions{Topic: "bins/#", Device: "d", Payload: "raw"}, TopicOptions{Topic: "{sensor}/#"})
	long := gateway.Uplink{Topic: "bins/b7", Raw: []byte(`{"d":"b7"}` + strings.Repeat(" ", maxExcerpt-10))}
	if _, ok := s.Reread(kept("source", long)); ok {
		t.Error("a message that was cut short was read again")
	}
	if _, ok := s.Reread(kept("inventory", long)); !ok {
		t.Error("a whole message of that size was not read again")
	}
	topic := gateway.Uplink{Topic: "b/" + strings.Repeat("x", maxTopic-2), Raw: []byte("1")}
	if _, ok := s.Reread(kept("source", topic)); ok {
		t.Error("a message whose topic was cut short was read again")
	}
}
