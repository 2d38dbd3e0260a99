package demo

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// MQTTOptions say how the embedded broker behaves. The zero value lets everyone in.
type MQTTOptions struct {
	Port     int         // on the loopback interface; 0 for a free one, kept over Stop and Start
	InFlight int         // unacknowledged messages kept for one client, the broker drops more; 0 for its own 8192
	Username string      // who may connect; "" for everyone
	Password string      // of Username
	TLS      *tls.Config // nil for clear text
}

// MQTT is an embedded broker on the loopback interface. Sessions and retained messages live as long as it does; Stop
// and Start only take the network away.
type MQTT struct {
	broker  *mochi.Server
	keeper  *gatekeeper
	address string // host:port
	tls     *tls.Config

	mu      sync.Mutex
	running bool // guarded by mu
	closed  bool // guarded by mu
}

const mqttListener = "mqtt"

// StartMQTT starts a broker. Close stops it for good.
func StartMQTT(options MQTTOptions) (*MQTT, error) {
	capabilities := mochi.NewDefaultServerCapabilities()
	if options.InFlight > 0 {
		capabilities.MaximumInflight = uint16(min(options.InFlight, 65535))
	}
	broker := mochi.New(&mochi.Options{Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)})
	keeper := &gatekeeper{username: options.Username, password: options.Password}
	if err := broker.AddHook(keeper, nil); err != nil {
		return nil, fmt.Errorf("start MQTT broker: %w", err)
	}
	if err := broker.Serve(); err != nil {
		return nil, fmt.Errorf("start MQTT broker: %w", err)
	}
	m := &MQTT{broker: broker, keeper: keeper, address: net.JoinHostPort("127.0.0.1", strconv.Itoa(options.Port)), tls: options.TLS}
	if err := m.Start(); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Address returns the URL that clients connect to: "tcp://127.0.0.1:1883", or "ssl://" with TLS.
func (m *MQTT) Address() string {
	if m.tls != nil {
		return "ssl://" + m.address
	}
	return "tcp://" + m.address
}

// Refused returns how many clients were turned away because of their password.
func (m *MQTT) Refused() int { return int(m.keeper.refused.Load()) }

// Start listens again after Stop, on the same port.
func (m *MQTT) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errors.New("start MQTT broker: it is closed")
	}
	if m.running {
		return nil
	}
	listener := &loopback{address: m.address, tls: m.tls, connections: map[net.Conn]bool{}}
	if err := m.broker.AddListener(listener); err != nil {
		return fmt.Errorf("start MQTT broker on %s: %w", m.address, err)
	}
	m.address = listener.Address()
	m.broker.Listeners.Serve(mqttListener, m.broker.EstablishConnection)
	m.running = true
	return nil
}

// Stop ends all connections and listens no more. What clients have not acknowledged is kept for them.
func (m *MQTT) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopLocked()
}

func (m *MQTT) stopLocked() {
	if !m.running {
		return
	}
	m.broker.Listeners.Close(mqttListener, nil)
	m.broker.Listeners.Delete(mqttListener)
	m.running = false
}

// Close stops the broker for good and forgets all sessions.
func (m *MQTT) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.closed = true
	m.stopLocked()
	_ = m.broker.Close() // it always returns nil
}

// loopback listens for clients. Unlike the broker's own listener it ends connections that have not said who they are.
type loopback struct {
	address  string
	tls      *tls.Config
	listener net.Listener
	serving  sync.WaitGroup

	mu          sync.Mutex
	connections map[net.Conn]bool // guarded by mu; nil once closed
}

var _ listeners.Listener = (*loopback)(nil)

// Init implements listeners.Listener.
func (l *loopback) Init(*slog.Logger) (err error) {
	l.listener, err = net.Listen("tcp", l.address)
	if err == nil && l.tls != nil {
		l.listener = tls.NewListener(l.listener, l.tls)
	}
	return err
}

// ID implements listeners.Listener.
func (l *loopback) ID() string { return mqttListener }

// Address implements listeners.Listener.
func (l *loopback) Address() string { return l.listener.Addr().String() }

// Protocol implements listeners.Listener.
func (l *loopback) Protocol() string { return "tcp" }

// Serve implements listeners.Listener.
func (l *loopback) Serve(establish listeners.EstablishFn) {
	for {
		connection, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		if !l.add(connection) {
			connection.Close()
			return
		}
		go func() { // Close waits for it
			defer l.remove(connection)
			_ = establish(mqttListener, connection) // how a client's connection ended is the client's business
		}()
	}
}

func (l *loopback) add(connection net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.connections == nil {
		return false
	}
	l.connections[connection] = true
	l.serving.Add(1)
	return true
}

func (l *loopback) remove(connection net.Conn) {
	connection.Close()
	l.mu.Lock()
	delete(l.connections, connection)
	l.mu.Unlock()
	l.serving.Done()
}

// Close implements listeners.Listener. It returns when all connections are done with.
func (l *loopback) Close(listeners.CloseFn) {
	l.listener.Close()
	l.mu.Lock()
	for connection := range l.connections {
		connection.Close()
	}
	l.connections = nil
	l.mu.Unlock()
	l.serving.Wait()
}

// gatekeeper lets in who knows the password, to every topic.
type gatekeeper struct {
	mochi.HookBase
	username, password string
	refused            atomic.Int64
}

// ID implements mochi.Hook.
func (g *gatekeeper) ID() string { return "gatekeeper" }

// Provides implements mochi.Hook.
func (g *gatekeeper) Provides(event byte) bool {
	return event == mochi.OnConnectAuthenticate || event == mochi.OnACLCheck
}

// OnConnectAuthenticate implements mochi.Hook.
func (g *gatekeeper) OnConnectAuthenticate(_ *mochi.Client, packet packets.Packet) bool {
	admitted := g.username == "" ||
		string(packet.Connect.Username) == g.username && string(packet.Connect.Password) == g.password
	if !admitted {
		g.refused.Add(1)
	}
	return admitted
}

// OnACLCheck implements mochi.Hook.
func (g *gatekeeper) OnACLCheck(*mochi.Client, string, bool) bool { return true }
