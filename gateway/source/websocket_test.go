package source_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"belfry/gateway/demo"
	"belfry/gateway/gatewaytest"
	"belfry/gateway/source"
)

// bridge is an HTTP handler that carries WebSocket messages to a broker's port and back, in pieces of odd sizes.
func bridge(t *testing.T, server string) http.Handler {
	upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/mqtt" {
			http.NotFound(w, r)
			return
		}
		client, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		defer client.Close()
		broker, err := net.Dial("tcp", strings.TrimPrefix(server, "tcp://"))
		if err != nil {
			t.Errorf("dial broker: %v", err)
			return
		}
		defer broker.Close()
		go func() { // ends with the broker's connection
			piece := make([]byte, 777)
			for {
				n, err := broker.Read(piece)
				if err != nil || client.WriteMessage(websocket.BinaryMessage, piece[:n]) != nil {
					return
				}
			}
		}()
		for {
			_, message, err := client.NextReader()
			if err != nil {
				return
			}
			if _, err := io.Copy(broker, message); err != nil {
				return
			}
		}
	})
}

func TestWebSocketsCarryTheSame(t *testing.T) {
	broker := startBroker(t, demo.MQTTOptions{})
	plain := httptest.NewServer(bridge(t, broker.Address()))
	t.Cleanup(plain.Close)
	authority := gatewaytest.NewAuthority(t, "ca")
	secure := httptest.NewUnstartedServer(bridge(t, broker.Address()))
	secure.TLS = serverTLS(authority.Issue(gatewaytest.Certificate{}))
	secure.StartTLS()
	t.Cleanup(secure.Close)

	for _, server := range []string{"ws" + strings.TrimPrefix(plain.URL, "http"), "wss" + strings.TrimPrefix(secure.URL, "https")} {
		t.Run(server[:3], func(t *testing.T) {
			s := bins(t, server+"/mqtt", func(o *source.MQTTOptions) {
				if strings.HasPrefix(server, "wss") {
					o.TLS.CA = authority.WriteCA(t.TempDir())
				}
			})
			receiver := gatewaytest.NewReceiver(false)
			running := gatewaytest.Run(t, s, receiver)
			publisher := gatewaytest.NewPublisher(t, broker.Address())
			payload := bytes.Repeat([]byte("x"), 100_000)
			publisher.Publish("bins/b1/state", 1, false, payload)
			publisher.Publish("bins/b1/state", 1, false, []byte("next"))
			if uplinks := receiver.WaitFor(t, 2); !bytes.Equal(uplinks[0].Raw, payload) || string(uplinks[1].Raw) != "next" {
				t.Errorf("got %d and %d bytes", len(uplinks[0].Raw), len(uplinks[1].Raw))
			}
			waitCounter(t, s, "acked", 2)
			running.Stop(t)
		})
	}
	t.Run("wrong path", func(t *testing.T) {
		wantRefusal(t, bins(t, "ws"+strings.TrimPrefix(plain.URL, "http")+"/other", nil), `the server answered "404 Not Found"`)
	})
}
