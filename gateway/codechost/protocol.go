// Package codechost runs makers' codecs in child processes of this program, which can be killed without touching the gateway:
// a codec is foreign code, and may loop, hoard memory or worse.
package codechost

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"belfry/decoders/codec"
)

// What parent and child say to each other are JSON messages, each behind its length as four bytes, the highest first. The
// child answers each request before it reads the next.

// request is what the parent says: one of the two.
type request struct {
	Load *load `json:"load,omitempty"`
	Call *call `json:"call,omitempty"`
}

// load brings a codec. It is answered with the names of its functions.
type load struct {
	Name   string `json:"name"`
	Source string `json:"source"`
}

// call runs a function of a codec that was loaded.
type call struct {
	Hash   string        `json:"hash"`
	Limit  time.Duration `json:"limit"`
	Output int           `json:"output"`
	codec.Call
}

// response is the answer to both.
type response struct {
	Hash      string          `json:"hash,omitempty"`
	Functions []string        `json:"functions,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     string          `json:"error,omitempty"`
	Kind      string          `json:"kind,omitempty"` // of the error, a key of kinds
}

// kinds are the errors that the parent decides on.
var kinds = map[string]error{
	"script": codec.ErrScript, "thrown": codec.ErrThrown, "function": codec.ErrNoFunction, "time": codec.ErrTime, "output": codec.ErrOutput,
}

func failed(err error) *response {
	r := &response{Error: err.Error()}
	for kind, is := range kinds {
		if errors.Is(err, is) {
			r.Kind = kind
		}
	}
	return r
}

// err is the error of a response, nil when it has none.
func (r *response) err() error {
	if r.Error == "" {
		return nil
	}
	return &codecError{r.Error, kinds[r.Kind]}
}

// codecError is an error that happened in the child.
type codecError struct {
	text string
	is   error // nil when it is of no kind
}

func (e *codecError) Error() string { return e.text }
func (e *codecError) Unwrap() error { return e.is }

const maxMessage = 8 << 20 // bytes

func writeMessage(w io.Writer, message any) error {
	packed, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(packed) > maxMessage {
		return fmt.Errorf("message of %d bytes, at most %d", len(packed), maxMessage)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(packed)), uint32(len(packed))), packed...))
	return err
}

func readMessage(r io.Reader, message any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return fmt.Errorf("message of %d bytes, at most %d", size, maxMessage)
	}
	packed := make([]byte, size)
	if _, err := io.ReadFull(r, packed); err != nil {
		return err
	}
	return json.Unmarshal(packed, message)
}
