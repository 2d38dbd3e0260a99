package source_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	packet "github.com/eclipse/paho.mqtt.golang/packets"

	"belfry/gateway"
	"belfry/gateway/gatewaytest"
	"belfry/gateway/source"
)

const mosquittoWide = "max_inflight_messages 1000\nmax_queued_messages 0"

// BenchmarkReceive compares a source with a bare subscriber of the same library, QoS 1, from a real broker. The publisher
// and the broker are in the time too.
func BenchmarkReceive(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		broker := gatewaytest.StartMosquitto(b, mosquittoWide)
		var got atomic.Int64
		options := mqtt.NewClientOptions().AddBroker(broker.Address()).SetProtocolVersion(4).SetClientID("bare")
		options.SetDefaultPublishHandler(func(mqtt.Client, mqtt.Message) { got.Add(1) })
		client := mqtt.NewClient(options)
		if token := client.Connect(); token.Wait() && token.Error() != nil {
			b.Fatal(token.Error())
		}
		defer client.Disconnect(1000)
		if token := client.Subscribe("application/+/device/+/event/+", 1, nil); token.Wait() && token.Error() != nil {
			b.Fatal(token.Error())
		}
		measureReceive(b, broker, &got)
	})
	for _, kind := range []string{"mqtt", "chirpstack"} {
		b.Run(kind, func(b *testing.B) {
			broker := gatewaytest.StartMosquitto(b, mosquittoWide)
			made := benchSource(b, kind, broker.Address())
			var got, calls atomic.Int64
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ready, ended := make(chan error, 1), make(chan error, 1)
			emit := func(_ context.Context, uplinks []gateway.Uplink, done func(error)) error {
				got.Add(int64(len(uplinks)))
				calls.Add(1)
				done(nil)
				return nil
			}
			go func() { ended <- made.Run(ctx, emit, func(err error) { ready <- err }) }()
			if err := <-ready; err != nil {
				b.Fatal(err)
			}
			measureReceive(b, broker, &got)
			b.ReportMetric(float64(got.Load())/float64(calls.Load()), "uplinks/emit")
			cancel()
			<-ended
		})
	}
}

func benchSource(b *testing.B, kind, server string) gateway.Source {
	if kind == "mqtt" {
		return newSource(b, kind, func(o *source.MQTTOptions) {
			o.Server, o.Topics = server, []source.TopicOptions{{Topic: "application/+/device/{sensor}/event/+"}}
		})
	}
	return newSource(b, kind, func(o *source.ChirpStackOptions) { o.Server = server })
}

// measureReceive publishes b.N messages and waits until all are through.
func measureReceive(b *testing.B, broker *gatewaytest.Mosquitto, got *atomic.Int64) {
	connection := dialRaw(b, broker.Address())
	defer connection.Close()
	const burst = 100
	var packets bytes.Buffer
	for i := range burst {
		publish := packet.NewControlPacket(packet.Publish).(*packet.PublishPacket)
		publish.Qos, publish.MessageID = 1, uint16(i+1)
		publish.TopicName = "application/1/device/70b3d5e75e00a1f2/event/up"
		publish.Payload = []byte(source.UplinkJSON(fmt.Sprintf("%012d", i)))
		if err := publish.Write(&packets); err != nil {
			b.Fatal(err)
		}
	}
	size := packets.Len() / burst
	b.ReportAllocs()
	began := processorTime()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += burst {
		if _, err := connection.Write(packets.Bytes()[:size*min(burst, b.N-sent)]); err != nil {
			b.Fatal(err)
		}
		gatewaytest.WaitFor(b, time.Minute, "messages", func() bool { return got.Load() >= int64(sent-2000) })
	}
	gatewaytest.WaitFor(b, time.Minute, "all messages", func() bool { return got.Load() >= int64(b.N) })
	b.StopTimer()
	b.ReportMetric(float64((processorTime()-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// dialRaw connects a client that costs this process next to nothing: it writes what it is given and reads nothing.
func dialRaw(b *testing.B, server string) net.Conn {
	connection, err := net.Dial("tcp", strings.TrimPrefix(server, "tcp://"))
	if err != nil {
		b.Fatal(err)
	}
	connect := packet.NewControlPacket(packet.Connect).(*packet.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.CleanSession, connect.ClientIdentifier = "MQTT", 4, true, "raw"
	if err := connect.Write(connection); err != nil {
		b.Fatal(err)
	}
	go io.Copy(io.Discard, connection) // ends with the connection
	return connection
}
