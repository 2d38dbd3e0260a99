package source_test

import (
	"fmt"
	"log/slog"
	"testing"

	"belfry/gateway"
	"belfry/gateway/demo"
	"belfry/gateway/gatewaytest"
	"belfry/gateway/source"
)

// brokers are those that every source is tested with.
var brokers = map[string]func(t *testing.T) gatewaytest.Broker{
	"mochi": func(t *testing.T) gatewaytest.Broker {
		broker, err := demo.StartMQTT(demo.MQTTOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(broker.Close)
		return broker
	},
	"mosquitto": func(t *testing.T) gatewaytest.Broker { return gatewaytest.StartMosquitto(t, "") },
}

// newSource makes a source whose options are set by configure, which gets a pointer to the defaults.
func newSource[Options any](t testing.TB, kind string, configure func(*Options)) gateway.Source {
	t.Helper()
	return newSourceIn(t, testEnv(t), kind, configure)
}

func newSourceIn[Options any](t testing.TB, env source.Env, kind string, configure func(*Options)) gateway.Source {
	t.Helper()
	made, err := source.New(kind, env, func(options any) error {
		configure(options.(*Options))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func testEnv(t testing.TB) source.Env {
	return source.Env{Name: "test", Gateway: "box", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
}

func TestMQTTKeepsThePromisesOfASource(t *testing.T) {
	for name, broker := range brokers {
		t.Run(name, func(t *testing.T) {
			gatewaytest.TestSource(t, gatewaytest.Subject{
				Broker: broker,
				New: func(t *testing.T, server string) gateway.Source {
					return newSource(t, "mqtt", func(o *source.MQTTOptions) {
						o.Server, o.Topics = server, []source.TopicOptions{{Topic: "bins/{sensor}/state"}}
					})
				},
				Message: func(n int) (string, []byte) {
					return fmt.Sprintf("bins/b%d/state", n%3), fmt.Appendf(nil, "reading %d", n)
				},
			})
		})
	}
}

func TestChirpStackKeepsThePromisesOfASource(t *testing.T) {
	for name, broker := range brokers {
		t.Run(name, func(t *testing.T) {
			gatewaytest.TestSource(t, gatewaytest.Subject{
				Broker: broker,
				New: func(t *testing.T, server string) gateway.Source {
					return newSource(t, "chirpstack", func(o *source.ChirpStackOptions) { o.Server = server })
				},
				Message: func(n int) (string, []byte) {
					return "application/town/device/70b3d5e75e00a1f2/event/up", fmt.Appendf(nil,
						`{"deduplicationId":"d-%d","deviceInfo":{"devEui":"70b3d5e75e00a1f2"},"fPort":24,"data":"AQI="}`, n)
				},
			})
		})
	}
}

func TestTTNKeepsThePromisesOfASource(t *testing.T) {
	for name, broker := range brokers {
		t.Run(name, func(t *testing.T) {
			gatewaytest.TestSource(t, gatewaytest.Subject{
				Broker: broker,
				New: func(t *testing.T, server string) gateway.Source {
					return newSource(t, "ttn", func(o *source.TTNOptions) { o.Server, o.Application = server, "lights@ttn" })
				},
				Message: func(n int) (string, []byte) {
					return "v3/lights@ttn/devices/lamp-1/up", fmt.Appendf(nil, `{"end_device_ids":{"device_id":"lamp-1",`+
						`"application_ids":{"application_id":"lights"},"dev_eui":"70B3D5E75E00A1F2"},`+
						`"uplink_message":{"f_port":24,"f_cnt":%d,"frm_payload":"AQI="}}`, n)
				},
			})
		})
	}
}

func TestGatewayBridgeKeepsThePromisesOfASource(t *testing.T) {
	for name, broker := range brokers {
		t.Run(name, func(t *testing.T) {
			gatewaytest.TestSource(t, gatewaytest.Subject{
				Broker: broker,
				New: func(t *testing.T, server string) gateway.Source {
					return newSourceIn(t, radioEnv(t), "gateway-bridge", func(o *source.BridgeOptions) { o.Server = server })
				},
				Message: func(n int) (string, []byte) {
					return "gateway/" + radioGateway + "/event/up", bridgeEvent(radioFrame(uint32(n), false, 1, 2))
				},
				Frame: func(n int) []byte { return radioFrame(uint32(n), false, 1, 2) },
			})
		})
	}
}
