package source

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"belfry/gateway/lorawan/station"
)

const (
	discoveryPath = "/router-info"
	dataPath      = "/router/" // and the EUI

	maxDiscovery  = 4 << 10 // bytes
	maxHost       = 200     // bytes
	discoveryWait = time.Second

	hostCharacters = ".-:_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// ServeHTTP implements http.Handler.
func (r *stationRun) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.connections.Add(1)
	defer r.connections.Done()
	eui, data := strings.CutPrefix(request.URL.Path, dataPath)
	switch {
	case data:
		r.connect(w, request, eui)
	case request.URL.Path == discoveryPath:
		r.discover(w, request)
	default:
		r.count("refused_requests")
		http.NotFound(w, request)
	}
}

// upgrade makes a WebSocket of a request; nil when that was refused. A browser's page of another origin is.
func (r *stationRun) upgrade(w http.ResponseWriter, request *http.Request) *websocket.Conn {
	upgrader := websocket.Upgrader{HandshakeTimeout: stationHeaderTimeout, ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10}
	connection, err := upgrader.Upgrade(w, request, nil)
	if err != nil {
		r.count("refused_requests")
		return nil
	}
	return connection
}

// refuse counts and logs who is not admitted.
func (r *stationRun) refuse(router station.ID, from string, why error) {
	key := "file"
	switch {
	case errors.Is(why, errUnlisted):
		key = "refused_unlisted"
		r.count(key)
	case errors.Is(why, errToken):
		key = "refused_token"
		r.count(key)
	}
	r.log.write(slog.LevelWarn, key, "a station was refused", "gateway", router.Hex(), "from", from, "err", why)
}

// discover answers the one question where the data connection goes. A stranger does not learn why he has none.
func (r *stationRun) discover(w http.ResponseWriter, request *http.Request) {
	connection := r.upgrade(w, request)
	if connection == nil {
		return
	}
	defer closeBelow(connection)
	defer whenDone(r.ctx, func() { closeBelow(connection) })()
	late := time.Now().Add(stationHeaderTimeout)
	connection.SetReadLimit(maxDiscovery)
	if errors.Join(connection.SetReadDeadline(late), connection.SetWriteDeadline(late)) != nil {
		return
	}
	_, message, err := connection.ReadMessage()
	if err != nil {
		return // whoever asked is gone
	}
	router, err := station.ParseDiscovery(message)
	if err != nil {
		r.malformed("", err)
		return
	}
	answer := []byte(nil)
	if err := r.admit(router, request.Header.Get("Authorization")); err != nil {
		r.refuse(router, request.RemoteAddr, err)
		answer = station.Refused(router, "this station is not admitted here")
	} else {
		r.count("discoveries")
		answer = station.Discovered(router, r.address(request)+dataPath+router.Hex())
	}
	if connection.WriteMessage(websocket.TextMessage, answer) != nil {
		return
	}
	part(connection, websocket.CloseNormalClosure, "", late)
	for connection.SetReadDeadline(time.Now().Add(discoveryWait)) == nil { // a close at once could overtake the answer
		if _, _, err := connection.NextReader(); err != nil {
			return
		}
	}
}

// address is what stations can reach this source at. They want a port in it.
func (r *stationRun) address(request *http.Request) string {
	if r.base != "" {
		return r.base
	}
	local, _ := request.Context().Value(http.LocalAddrContextKey).(net.Addr)
	host := request.Host
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), ""
	}
	switch plain := strings.Trim(name, hostCharacters) == ""; {
	case local == nil:
	case name == "" || len(host) > maxHost || !plain:
		host = local.String()
	case port == "":
		_, port, _ = net.SplitHostPort(local.String())
		host = net.JoinHostPort(name, port)
	}
	if r.secure {
		return "wss://" + host
	}
	return "ws://" + host
}

// connect is the whole life of a data connection.
func (r *stationRun) connect(w http.ResponseWriter, request *http.Request, eui string) {
	router, err := station.ParseID(eui)
	if err != nil {
		r.count("refused_requests")
		http.NotFound(w, request)
		return
	}
	if err := r.admit(router, request.Header.Get("Authorization")); err != nil {
		r.refuse(router, request.RemoteAddr, err)
		http.Error(w, "not admitted", http.StatusUnauthorized)
		return
	}
	connection := r.upgrade(w, request)
	if connection == nil {
		return
	}
	ctx, end := context.WithCancelCause(r.ctx)
	defer end(nil)
	link := &stationLink{
		stationRun: r, connection: connection, router: router, from: request.RemoteAddr, connected: time.Now(), ctx: ctx, end: end,
	}
	r.enter(link)
	defer r.leave(link)
	link.run()
}

var errReplaced = errors.New("another connection of this radio gateway took its place")

// enter makes a link that of its radio gateway, and ends the one before.
func (r *stationRun) enter(link *stationLink) {
	r.count("connects")
	r.mu.Lock()
	before := r.links[link.router]
	r.links[link.router] = link
	often := before != nil && r.gateways[link.router].often(before.connected, link.connected)
	r.mu.Unlock()
	if before == nil {
		return
	}
	r.count("replaced")
	before.end(errReplaced)
	if often {
		r.log.write(slog.LevelError, "often "+link.router.Hex(), "two stations seem to have the same EUI: they end each other's connections",
			"gateway", link.router.Hex(), "from", link.from, "before", before.from)
	}
}

func (r *stationRun) leave(link *stationLink) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.links[link.router] == link {
		delete(r.links, link.router)
	}
}

// malformed counts and logs a message that cannot be read; gateway is "" before it is known.
func (r *stationRun) malformed(gateway string, err error) {
	r.count("malformed_messages")
	r.log.write(slog.LevelWarn, "malformed "+gateway, "a message of a station cannot be read", "gateway", gateway, "err", err)
}

// whenDone calls f on a goroutine of its own when ctx is done. The function that it returns sees to it that f is not called any
// more, or has returned.
func whenDone(ctx context.Context, f func()) func() {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		f()
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

// part says goodbye.
func part(connection *websocket.Conn, code int, why string, late time.Time) {
	_ = connection.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), late) // it is closed next
}

// closeBelow closes a connection without the farewell of TLS, which can wait for the other side.
func closeBelow(connection *websocket.Conn) {
	below := connection.NetConn()
	if encrypted, ok := below.(interface{ NetConn() net.Conn }); ok {
		below = encrypted.NetConn()
	}
	_ = below.Close() // its reader finds out
}
