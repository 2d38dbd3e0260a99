package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"belfry/gateway/lorawan"
	"belfry/gateway/lorawan/station"
)

const (
	stationWrite = time.Second           // that a message may take to leave; the answer to a device cannot wait longer
	stationAgain = 20 * time.Millisecond // how soon a feed that is full is asked again
	stationPart  = 100 * time.Millisecond
	maxShown     = 60 // bytes of what a station says of itself
)

// stationLink is the data connection of one radio gateway.
type stationLink struct {
	*stationRun
	connection *websocket.Conn
	router     station.ID
	from       string
	connected  time.Time
	ctx        context.Context         // ends with the run, or when another connection takes its place
	end        context.CancelCauseFunc // of ctx

	introduced bool // the station has said who it is; only the reader touches it

	writing sync.Mutex // held while a message is written
}

// run reads until the connection or ctx ends, and leaves nothing behind.
func (l *stationLink) run() {
	defer closeBelow(l.connection)
	defer whenDone(l.ctx, l.leaveOff)()
	pinging, stop := context.WithCancel(l.ctx)
	var running sync.WaitGroup
	running.Go(func() { l.keepAlive(pinging) })
	defer running.Wait()
	defer stop()
	err := l.read()
	if cause := context.Cause(l.ctx); cause != nil {
		err = cause
	}
	level := slog.LevelInfo
	if !l.introduced {
		level = slog.LevelWarn
	}
	if l.stationRun.ctx.Err() == nil {
		l.log.write(level, "end "+l.router.Hex(), "a station is gone", "gateway", l.router.Hex(), "err", err)
	}
}

// leaveOff closes the connection when ctx is done.
func (l *stationLink) leaveOff() {
	part(l.connection, websocket.CloseGoingAway, "", time.Now().Add(stationPart))
	closeBelow(l.connection)
}

// keepAlive asks for signs of life. The reader notices when there are none.
func (l *stationLink) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(l.ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := l.connection.WriteControl(websocket.PingMessage, nil, time.Now().Add(stationWrite)); err != nil {
			closeBelow(l.connection)
			return
		}
	}
}

func (l *stationLink) read() error {
	alive := func() error { return l.connection.SetReadDeadline(time.Now().Add(l.idle)) }
	l.connection.SetReadLimit(station.MaxMessage)
	l.connection.SetPongHandler(func(string) error { return alive() })
	answer := l.connection.PingHandler()
	l.connection.SetPingHandler(func(data string) error { return errors.Join(alive(), answer(data)) })
	for {
		if err := alive(); err != nil {
			return err
		}
		kind, message, err := l.connection.ReadMessage()
		if errors.Is(err, websocket.ErrReadLimit) {
			l.count("oversized")
			return fmt.Errorf("message of more than %d bytes", station.MaxMessage)
		}
		if err != nil {
			return err
		}
		l.count("messages")
		if kind != websocket.TextMessage {
			l.count("other_messages") // a remote shell
			continue
		}
		if err := l.take(message, time.Now()); err != nil {
			return err
		}
	}
}

// take does what a message wants. An error ends the connection.
func (l *stationLink) take(text []byte, received time.Time) error {
	message, err := station.Parse(text)
	switch {
	case err != nil:
		l.malformed(l.router.Hex(), err)
	case message.Version != nil:
		return l.introduce(message.Version)
	case !l.introduced:
		l.count("other_messages") // its radio is not set up
	case message.Uplink != nil:
		l.hear(message.Uplink, received)
	case message.TimeSync != nil:
		return l.tellTime(*message.TimeSync)
	default:
		l.count(stationCounter(message.Type))
	}
	return nil
}

// stationCounter is what messages without a consequence are counted as.
func stationCounter(kind string) string {
	switch kind {
	case "propdf":
		return "proprietary"
	case "rejoin":
		return "rejoins"
	case "dntxed":
		return "downlinks_sent"
	default:
		return "other_messages"
	}
}

// introduce sets up the radio of a station that has said who it is.
func (l *stationLink) introduce(version *station.Version) error {
	shown := func(text string) string { return text[:min(len(text), maxShown)] }
	if version.Protocol != station.Protocol {
		l.count("refused_protocol")
		err := fmt.Errorf("station speaks protocol %d, not %d", version.Protocol, station.Protocol)
		if l.write(station.ErrorMessage(err.Error())) == nil {
			part(l.connection, websocket.ClosePolicyViolation, "", time.Now().Add(stationPart))
		}
		return err
	}
	l.introduced = true
	l.log.write(slog.LevelInfo, "begin "+l.router.Hex(), "a station is connected", "gateway", l.router.Hex(), "from", l.from,
		"station", shown(version.Station), "firmware", shown(version.Firmware), "package", shown(version.Package),
		"model", shown(version.Model), "features", shown(version.Features))
	return l.write(l.config.Encode(time.Now()))
}

// tellTime answers at once or not at all: the station takes the time on the way into account, and a wrong clock would become
// that of all devices.
func (l *stationLink) tellTime(query station.TimeSync) error {
	now := time.Now()
	if !station.Plausible(now) {
		l.count("timesyncs_refused")
		return nil
	}
	l.count("timesyncs")
	return l.write(station.TimeSyncAnswer(query, now))
}

// hear gives a frame to the network. As long as that takes none nothing more is read: the protocol knows no acknowledgement,
// so what waits had better wait at the station.
func (l *stationLink) hear(uplink *station.Uplink, received time.Time) {
	rate, err := l.region.DataRate(uplink.DataRate)
	if err != nil {
		l.malformed(l.router.Hex(), err)
		return
	}
	reception := lorawan.Reception{
		Gateway: l.router.Hex(), PHY: uplink.PHY, Frequency: uplink.Frequency, DataRate: rate, RSSI: uplink.RSSI, SNR: uplink.SNR,
		Received: received, Time: uplink.Time, GPS: !uplink.Time.IsZero(),
	}
	if l.options.Downlink {
		reception.Transmit = func(down lorawan.Downlink) error { return l.transmit(down, uplink.Context) }
	}
	for first := true; !l.feed.Receive([]lorawan.Reception{reception}, func(error) {}); first = false {
		if first {
			l.count("pauses")
		}
		select {
		case <-l.stationRun.ctx.Done(): // not that of the link: what was read is not lost with it
			return
		case <-time.After(stationAgain):
		}
	}
}

func (l *stationLink) transmit(down lorawan.Downlink, context station.Context) error {
	message, err := station.Downlink(l.region, down, context, l.downlinks.Add(1), time.Now())
	if err == nil {
		err = l.write(message)
	}
	if err != nil {
		return fmt.Errorf("send through gateway %s: %w", l.router.Hex(), err)
	}
	l.count("downlinks")
	return nil
}

// write sends a message; it may be called by several goroutines. A connection on which that failed is of no more use.
func (l *stationLink) write(message []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	err := l.connection.SetWriteDeadline(time.Now().Add(stationWrite))
	if err == nil {
		err = l.connection.WriteMessage(websocket.TextMessage, message)
	}
	if err != nil {
		closeBelow(l.connection)
	}
	return err
}
