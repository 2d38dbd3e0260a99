package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// MQTT 3.1.1 section 2.2.1: the packets that a server may send to a client that publishes nothing.
const (
	typeConnack  = 2
	typePublish  = 3
	typePubrel   = 6
	typeSuback   = 9
	typePingresp = 13
	typeClose    = 14
)

const (
	guardBuffer = 16 << 10 // bytes read from the network at once
	maxExcerpt  = 4 << 10  // bytes kept of the payload of a message that is over the limit
)

// guard stands between the network and the MQTT library. It lets through what a sound broker sends and ends the stream
// with its own error at anything else, for the library would panic, allocate what a header announces, or not notice. A
// message over the limit is cut short, not refused: the broker would send it again for ever. Short writes that belong
// together leave as one.
type guard struct {
	net.Conn
	limit int        // bytes of a whole packet
	admit func()     // called before each message; it may wait; nil when there is no need
	ids   *packetIDs // learns what the broker has of our acknowledgements; nil when nobody wants to know

	reader    *bufio.Reader
	pending   []byte // header of a message cut short, to be read before anything else
	left      int    // bytes of the current packet still to be read
	skip      int    // bytes to throw away after them
	connected bool   // CONNACK was seen
	err       error  // ends the stream
	published uint64 // messages that began so far

	closing atomic.Bool

	mu    sync.Mutex
	cut   map[uint64]int // size of messages cut short by their number, guarded by mu
	cause error          // err for other goroutines, guarded by mu
	asked []bool         // pings not answered yet: whether they are ours, not the library's; guarded by mu

	writing sync.Mutex
	acks    []byte    // acknowledgements not yet written, guarded by writing
	hold    int       // how many more are expected before they are written, guarded by writing
	pinged  time.Time // when we asked last whether they arrived, guarded by writing
}

var errGoodbye = errors.New("broker ended the session")

func newGuard(connection net.Conn, limit int) *guard {
	return &guard{Conn: connection, limit: limit, reader: bufio.NewReaderSize(connection, guardBuffer)}
}

// Read implements net.Conn.
func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if g.closing.Load() {
		_, err := io.Copy(io.Discard, g.reader)
		return 0, errors.Join(net.ErrClosed, err)
	}
	for len(g.pending) == 0 && g.left == 0 {
		if err := g.begin(); err != nil {
			return 0, err
		}
	}
	if len(g.pending) > 0 {
		n := copy(p, g.pending)
		g.pending = g.pending[n:]
		return n, nil
	}
	n, err := g.reader.Read(p[:min(len(p), g.left)])
	g.left -= n
	if err != nil {
		g.end(cutOff(err))
	}
	return n, g.err
}

func (g *guard) end(err error) {
	g.err = err
	if g.closing.Load() {
		return // this is no news
	}
	g.mu.Lock()
	g.cause = err
	g.mu.Unlock()
}

// begin looks at the next packet before the library does.
func (g *guard) begin() error {
	if g.err != nil {
		return g.err
	}
	if err := g.inspect(); err != nil {
		g.end(err)
	}
	return g.err
}

func (g *guard) inspect() error {
	for g.skip > 0 {
		n, err := g.reader.Discard(min(g.skip, guardBuffer))
		g.skip -= n
		if err != nil {
			return err
		}
	}
	first, err := g.reader.Peek(1)
	if err != nil {
		return err
	}
	kind, flags := first[0]>>4, first[0]&15
	header, body, err := g.peekLength()
	if err != nil {
		return err
	}
	if !g.connected && kind != typeConnack {
		return fmt.Errorf("broker sent packet type %d before its CONNACK", kind)
	}
	switch kind {
	case typeConnack:
		err = g.checkConnack(header, body)
	case typePublish:
		return g.beginPublish(flags, header, body)
	case typePubrel:
		err = g.checkSize(kind, body, 2)
	case typeSuback: // one topic per SUBSCRIBE, so one code; the library indexes its topics by what comes here
		err = g.checkSize(kind, body, 3)
	case typePingresp:
		if err = g.checkSize(kind, body, 0); err == nil && g.answered() {
			_, err = g.reader.Discard(header) // the library did not ask
			return err
		}
	case typeClose:
		err = errGoodbye
	default:
		err = fmt.Errorf("broker sent packet type %d, which a subscriber never gets", kind)
	}
	g.left = header + body
	return err
}

// peekLength returns the sizes of the fixed header and of what follows it, section 2.2.3.
func (g *guard) peekLength() (header, body int, err error) {
	for i := 1; i <= 4; i++ {
		b, err := g.reader.Peek(i + 1)
		if err != nil {
			return 0, 0, cutOff(err)
		}
		body |= int(b[i]&127) << (7 * (i - 1))
		if b[i]&128 == 0 {
			return i + 1, body, nil
		}
	}
	return 0, 0, errors.New("broker sent a packet length of more than four bytes")
}

func (g *guard) checkSize(kind byte, body, want int) error {
	if body != want {
		return fmt.Errorf("broker sent packet type %d with %d bytes instead of %d", kind, body, want)
	}
	return nil
}

// checkConnack also refuses codes that MQTT 3.1.1 does not have: the library takes them for success.
func (g *guard) checkConnack(header, body int) error {
	if g.connected {
		return errors.New("broker sent a second CONNACK")
	}
	if err := g.checkSize(typeConnack, body, 2); err != nil {
		return err
	}
	b, err := g.reader.Peek(header + body)
	if err != nil {
		return cutOff(err)
	}
	if code := b[header+1]; code > 5 {
		return fmt.Errorf("broker refused the connection with code %d, which MQTT 3.1.1 does not have", code)
	}
	g.connected = true
	if g.ids != nil && b[header+1] == 0 {
		g.ids.begin(b[header]&1 == 1)
	}
	return nil
}

func (g *guard) beginPublish(flags byte, header, body int) error {
	qos := flags >> 1 & 3
	if qos == 3 {
		return errors.New("broker sent a message with QoS 3")
	}
	b, err := g.reader.Peek(header + 2)
	if err != nil {
		return cutOff(err)
	}
	variable := 2 + int(binary.BigEndian.Uint16(b[header:])) // the topic, and the packet id
	if qos > 0 {
		variable += 2
	}
	if variable > body {
		return fmt.Errorf("broker sent a message of %d bytes whose topic needs %d", body, variable)
	}
	if g.admit != nil {
		g.admit()
	}
	g.published++
	g.left = header + body
	if g.left <= g.limit {
		return nil
	}
	kept := variable + min(body-variable, maxExcerpt)
	g.pending = binary.AppendUvarint([]byte{b[0]}, uint64(kept)) // the same variable-length form
	g.left, g.skip = kept, body-kept
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cut == nil {
		g.cut = map[uint64]int{}
	}
	g.cut[g.published] = header + body
	_, err = g.reader.Discard(header)
	return err
}

// cutOff tells a stream that ends inside a packet from one that ends after it.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// size returns the whole size of the n-th message if it was cut short, else 0. It forgets it.
func (g *guard) size(n uint64) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	size, ok := g.cut[n]
	if ok {
		delete(g.cut, n)
	}
	return size
}

// failure returns why the stream ended, nil if it did not.
func (g *guard) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

const (
	ackSize   = 4 // bytes of a PUBACK or PUBREC
	pingEvery = time.Second
)

// Close implements net.Conn. It leaves it to the broker to close first, for a little while: if bytes arrived here that
// nobody read, the broker's system would throw away our last acknowledgements, which it may not have read yet.
func (g *guard) Close() error {
	if g.closing.Swap(true) {
		return nil
	}
	return g.Conn.SetDeadline(time.Now().Add(closeTimeout))
}

// shut closes at once.
func (g *guard) shut() { g.Conn.Close() }

// expect says that n acknowledgements are about to be written; they leave together.
func (g *guard) expect(n int) {
	g.writing.Lock()
	g.hold += n
	g.writing.Unlock()
}

// Write implements net.Conn.
func (g *guard) Write(p []byte) (int, error) {
	g.writing.Lock()
	defer g.writing.Unlock()
	if isAck(p) {
		g.acks = append(g.acks, p...)
		if g.hold--; g.hold > 0 && len(g.acks) < guardBuffer {
			return len(p), nil
		}
		g.hold = max(g.hold, 0)
		return len(p), g.flushLocked()
	}
	if err := g.flushLocked(); err != nil {
		return 0, err
	}
	if isPing(p) {
		g.ask(false)
	}
	return g.send(p)
}

func isAck(p []byte) bool {
	const puback, pubrec = 0x40, 0x50
	return len(p) == ackSize && (p[0] == puback || p[0] == pubrec)
}

var pingRequest = []byte{0xc0, 0}

func isPing(p []byte) bool { return bytes.Equal(p, pingRequest) }

// flushLocked writes acknowledgements, and now and then a ping: its answer shows that they arrived.
func (g *guard) flushLocked() error {
	if len(g.acks) == 0 {
		return nil
	}
	if g.ids != nil {
		g.ids.acknowledge(g.acks)
		if now := time.Now(); now.Sub(g.pinged) >= pingEvery {
			g.pinged = now
			g.acks = append(g.acks, pingRequest...)
			g.ask(true)
		}
	}
	_, err := g.send(g.acks)
	g.acks = g.acks[:0]
	return err
}

// ask notes that a ping is about to be written, answered that its answer came, and says whether it was ours.
func (g *guard) ask(ours bool) {
	if g.ids == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, ours)
	g.ids.pings.Add(1)
}

func (g *guard) answered() (ours bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.asked) == 0 {
		return false
	}
	ours, g.asked = g.asked[0], g.asked[1:]
	g.ids.pongs.Add(1)
	return ours
}

// send writes with a deadline; the library sets none for what a subscriber sends.
func (g *guard) send(p []byte) (int, error) {
	if g.closing.Load() {
		return g.Conn.Write(p) // Close has set one
	}
	if err := g.Conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}
