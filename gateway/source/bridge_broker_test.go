package source_test

import (
	"fmt"
	"testing"
	"time"

	radio "github.com/brocaar/lorawan"
	"github.com/chirpstack/chirpstack/api/go/v4/gw"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"belfry/gateway"
	"belfry/gateway/demo"
	"belfry/gateway/gatewaytest"
	"belfry/gateway/source"
)

const radioTopic = "gateway/" + radioGateway + "/event/up"

// listen subscribes to what is sent to radio gateways.
func listen(t *testing.T, server string) *gatewaytest.Receiver {
	t.Helper()
	commands := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, newSource(t, "mqtt", func(o *source.MQTTOptions) {
		o.Server, o.ClientID = server, "radio-gateway"
		o.Topics = []source.TopicOptions{{Topic: "+/gateway/{sensor}/command/down"}, {Topic: "gateway/{sensor}/command/down"}}
	}), commands)
	return commands
}

func TestConfirmedUplinkIsAnsweredThroughTheBroker(t *testing.T) {
	for name, start := range brokers {
		t.Run(name, func(t *testing.T) {
			server := start(t).Address()
			commands := listen(t, server)
			store := new(memory)
			s := newSourceIn(t, radioEnvOn(t, store), "gateway-bridge", func(o *source.BridgeOptions) {
				o.Server, o.TopicPrefix, o.Downlink = server, "+", true
			})
			receiver := gatewaytest.NewReceiver(false)
			gatewaytest.Run(t, &claiming{Source: s, store: store}, receiver)
			publisher := gatewaytest.NewPublisher(t, server)
			now := time.Now().UTC().Format(time.RFC3339Nano) // what was heard long ago is not answered
			event := bridgeEventAt(radioFrame(7, true, 1), now)
			var message gw.UplinkFrame
			if err := protojson.Unmarshal(bridgeEventAt(radioFrame(8, true, 2), now), &message); err != nil {
				t.Fatal(err)
			}
			packed, err := proto.Marshal(&message)
			if err != nil {
				t.Fatal(err)
			}
			for i, payload := range [][]byte{event, packed} {
				publisher.Publish("eu868/"+radioTopic, 1, false, payload)
				answer := commands.WaitFor(t, i+1)[i]
				unmarshal := map[bool]func([]byte, proto.Message) error{false: protojson.Unmarshal, true: proto.Unmarshal}[i == 1]
				var command gw.DownlinkFrame
				if err := unmarshal(answer.Payload, &command); err != nil {
					t.Fatalf("%v in %q", err, answer.Payload)
				}
				if answer.Topic != "eu868/gateway/"+radioGateway+"/command/down" || command.GatewayId != radioGateway || len(command.Items) == 0 {
					t.Errorf("got %s: %s", answer.Topic, protojson.Format(&command))
				}
				var frame radio.PHYPayload
				if err := frame.UnmarshalBinary(command.Items[0].PhyPayload); err != nil {
					t.Fatal(err)
				}
				if mac, ok := frame.MACPayload.(*radio.MACPayload); !ok || !mac.FHDR.FCtrl.ACK {
					t.Errorf("the answer does not acknowledge: %+v", frame)
				}
			}
			waitCounter(t, s, "answers", 2)
		})
	}
}

// The same uplink by ChirpStack, by The Things Stack and by a radio gateway of ours is one event, with one identity.
func TestTheSameUplinkByThreeWaysIsOneEvent(t *testing.T) {
	broker := startBroker(t, demo.MQTTOptions{})
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	const counter, port, data = 40, 2, "AQI="
	phy := radioFrame(counter, false, 1, 2)
	ways := []struct {
		kind, topic string
		payload     []byte
	}{
		{"chirpstack", "application/1/device/" + radioEUI + "/event/up", fmt.Appendf(nil, `{"deduplicationId":"d","deviceInfo":{"devEui":"%s"},`+
			`"devAddr":"%s","fCnt":%d,"fPort":%d,"data":"%s"}`, radioEUI, radioAddr, counter, port, data)},
		{"ttn", "v3/lights/devices/lamp/up", fmt.Appendf(nil, `{"end_device_ids":{"device_id":"lamp","application_ids":{"application_id":"lights"},`+
			`"dev_eui":"%s","dev_addr":"%s"},"uplink_message":{"f_cnt":%d,"f_port":%d,"frm_payload":"%s"}}`, radioEUI, radioAddr, counter, port, data)},
		{"gateway-bridge", radioTopic, bridgeEvent(phy)},
	}
	identities := map[string]bool{}
	for first := range ways {
		store := new(memory)
		env := radioEnvOn(t, store)
		sources := make([]*claiming, len(ways))
		for i, way := range ways {
			made, err := source.New(way.kind, env, func(options any) error {
				switch o := options.(type) {
				case *source.ChirpStackOptions:
					o.Server, o.ClientID = broker.Address(), "chirpstack"
				case *source.TTNOptions:
					o.Server, o.ClientID, o.Application = broker.Address(), "ttn", "lights"
				case *source.BridgeOptions:
					o.Server, o.ClientID = broker.Address(), "bridge"
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			sources[i] = &claiming{Source: made, store: store}
		}
		running := make([]*gatewaytest.Running, len(ways))
		for i := range sources {
			running[i] = gatewaytest.Run(t, sources[i], gatewaytest.NewReceiver(false))
		}
		for n := range ways {
			i := (first + n) % len(ways)
			publisher.Publish(ways[i].topic, 1, false, ways[i].payload)
			switch {
			case n == 0:
				claimed := sources[i].wait(t, 1)
				if claimed.Discard != "" || claimed.Identity == "" {
					t.Errorf("first by %s: %+v", ways[i].kind, claimed)
				}
				identities[claimed.Identity] = true
			case ways[i].kind == "gateway-bridge": // refused before it costs a transaction
				waitCounter(t, sources[i], "repeated", 1)
			default:
				if claimed := sources[i].wait(t, 1); claimed.Discard == "" {
					t.Errorf("first by %s, then by %s: a second event %+v", ways[first].kind, ways[i].kind, claimed)
				}
			}
		}
		for i := range running {
			running[i].Stop(t)
		}
	}
	if len(identities) != 1 {
		t.Errorf("identities %v, want one", identities)
	}
}

func TestDamagedAndUnreadableFramesDoNotHoldUpTheOthers(t *testing.T) {
	broker := startBroker(t, demo.MQTTOptions{})
	s := newSourceIn(t, radioEnv(t), "gateway-bridge", func(o *source.BridgeOptions) { o.Server = broker.Address() })
	receiver := gatewaytest.NewReceiver(false)
	gatewaytest.Run(t, s, receiver)
	publisher := gatewaytest.NewPublisher(t, broker.Address())
	bad := radioFrame(3, false, 9)
	bad[len(bad)-1] ^= 1
	for _, payload := range [][]byte{[]byte("x"), bridgeEvent(bad), bridgeEvent([]byte{1}), bridgeEvent(radioFrame(4, false, 1))} {
		publisher.Publish(radioTopic, 1, false, payload)
	}
	uplinks := receiver.WaitFor(t, 2)
	gatewaytest.WaitFor(t, deadline, "acknowledgements", func() bool { return s.Counters()["acked"] == 4 })
	faults, readings := 0, 0
	for _, uplink := range uplinks {
		if uplink.Fault != nil {
			faults++
		} else if uplink.Device == radioEUI && uplink.Port == 2 && time.Since(uplink.Received) < deadline {
			readings++
		}
	}
	if counters := s.Counters(); faults != 1 || readings != 1 || counters["mic_failed"] != 1 || counters["malformed"] != 1 {
		t.Errorf("%d faults, %d readings, counters %v", faults, readings, counters)
	}
}

func TestBridgeWithoutARadioNetworkSaysSo(t *testing.T) {
	s := newSource(t, "gateway-bridge", func(o *source.BridgeOptions) { o.Server = "tcp://127.0.0.1:1" })
	if err := gatewaytest.Begin(t, s, gatewaytest.NewReceiver(false)).Ended(t); err == nil {
		t.Error("it runs")
	}
}

var _ gateway.Source = (*claiming)(nil)
