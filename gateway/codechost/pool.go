package codechost

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"belfry/decoders/codec"
)

// Pool is a number of child processes that run codecs. They are started when they are needed.
type Pool struct {
	program []string
	slots   chan *host // nil: a child that is not started

	mu      sync.Mutex
	codecs  map[string]*source // by hash, guarded by mu
	strikes map[string]*record // by hash, guarded by mu
	kills   uint64             // guarded by mu
}

// source is a codec as its file has it.
type source struct{ name, text string }

// record is what a codec has done.
type record struct {
	last      [maxStrikes]time.Time // when it was killed
	suspended time.Time             // until then
}

const (
	maxStrikes  = 5
	strikeTime  = time.Minute
	suspendTime = 5 * time.Minute
	callTime    = 100 * time.Millisecond
	maxResult   = 16 << 10 // bytes
)

var gatewayLimits = codec.Limits{Time: callTime, Output: maxResult}

// ErrSuspended says that a codec was killed so often that it is not run for a while.
var ErrSuspended = errors.New("the codec is not run for a while")

// NewPool makes a pool of so many children. program is the command that calls Serve.
func NewPool(size int, program ...string) *Pool {
	p := &Pool{program: program, slots: make(chan *host, size), codecs: map[string]*source{}, strikes: map[string]*record{}}
	for range size {
		p.slots <- nil
	}
	return p
}

// Codec is a codec that was loaded.
type Codec struct {
	Hash      string   // SHA-256 of its text in hexadecimal
	Functions []string // that it has
	pool      *Pool
	name      string
}

// Load compiles a codec in a child. name is for messages.
func (p *Pool) Load(name, text string) (*Codec, error) {
	h := <-p.slots
	h, answer, err := p.load(h, &source{name, text})
	p.slots <- h
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.mu.Lock()
	p.codecs[answer.Hash] = &source{name, text}
	p.mu.Unlock()
	return &Codec{Hash: answer.Hash, Functions: answer.Functions, pool: p, name: name}, nil
}

// load brings a codec to a child, which is started if there is none. The host that it returns takes the place of h.
func (p *Pool) load(h *host, s *source) (*host, *response, error) {
	if h == nil {
		var err error
		if h, err = begin(p.program); err != nil {
			return nil, nil, err
		}
	}
	answer, err := h.ask(&request{Load: &load{s.name, s.text}}, startTime)
	if err != nil {
		return nil, nil, err
	}
	if err := answer.err(); err != nil {
		return h, nil, err
	}
	h.loaded[answer.Hash] = true
	return h, answer, nil
}

// Call runs a function with the limits of the gateway, 100 ms and 16 KiB. What runs longer or dies is an error; a codec that
// does so five times in a minute is suspended for five.
func (c *Codec) Call(what codec.Call) ([]byte, error) {
	return c.CallWithin(what, gatewayLimits)
}

// CallWithin is Call with other limits.
func (c *Codec) CallWithin(what codec.Call, limits codec.Limits) ([]byte, error) {
	p := c.pool
	if err := p.suspended(c.Hash); err != nil {
		return nil, err
	}
	result, err := c.CallAlways(what, limits)
	if errors.Is(err, codec.ErrTime) || errors.Is(err, ErrDied) { // ErrKilled is an ErrTime
		p.strike(c.Hash)
	}
	return result, err
}

// CallAlways is CallWithin for a codec that is tried out: it is never suspended.
func (c *Codec) CallAlways(what codec.Call, limits codec.Limits) ([]byte, error) {
	h := <-c.pool.slots
	h, result, err := c.pool.call(h, c.Hash, what, limits)
	c.pool.slots <- h
	return result, err
}

func (p *Pool) call(h *host, hash string, what codec.Call, limits codec.Limits) (*host, []byte, error) {
	if h == nil || !h.loaded[hash] {
		p.mu.Lock()
		s := p.codecs[hash]
		p.mu.Unlock()
		var err error
		if h, _, err = p.load(h, s); err != nil {
			return h, nil, err
		}
	}
	answer, err := h.ask(&request{Call: &call{Hash: hash, Limit: limits.Time, Output: limits.Output, Call: what}}, limits.Time+grace)
	if err != nil {
		return nil, nil, err
	}
	return h, answer.Result, answer.err()
}

// strike notes that a codec was killed.
func (p *Pool) strike(hash string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kills++
	r := p.strikes[hash]
	if r == nil {
		r = &record{}
		p.strikes[hash] = r
	}
	copy(r.last[:], r.last[1:])
	r.last[maxStrikes-1] = time.Now()
	if !r.last[0].IsZero() && time.Since(r.last[0]) < strikeTime {
		r.suspended = time.Now().Add(suspendTime)
		r.last = [maxStrikes]time.Time{}
	}
}

func (p *Pool) suspended(hash string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.strikes[hash]
	if r == nil || !time.Now().Before(r.suspended) {
		return nil
	}
	return fmt.Errorf("%w: it was killed %d times within %s (mend it; it is tried again in %s)", ErrSuspended, maxStrikes, strikeTime,
		time.Until(r.suspended).Round(time.Second))
}

// Kills is how often a child was killed or a call was interrupted.
func (p *Pool) Kills() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kills
}

// Close ends the children.
func (p *Pool) Close() {
	for range cap(p.slots) {
		if h := <-p.slots; h != nil {
			h.end()
		}
	}
	for range cap(p.slots) {
		p.slots <- nil
	}
}
