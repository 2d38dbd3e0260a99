package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"belfry/decoders"
	"belfry/decoders/codec"
	"belfry/gateway/codechost"
	"belfry/gateway/config"
)

// codecs runs the JavaScript of models, in children of this process. They end with it, and are started when there is
// something to run.
var codecs = sync.OnceValue(func() *codechost.Pool {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	return codechost.NewPool(codecHosts, program, codecHostName)
})

const (
	codecHostName = "codec-host"
	codecHosts    = 2
)

// loadConfig reads a configuration folder.
func loadConfig(dir string, log *slog.Logger) (*config.Config, config.Problems) {
	return config.Load(dir, config.Env{Log: log, Codecs: codecs()})
}

// codecHostCommand is what the children run.
type codecHostCommand struct{}

// Run answers on standard input and output until they are closed.
func (codecHostCommand) Run(program) error { return codechost.Serve(os.Stdin, os.Stdout) }

// runCodec runs a maker's JavaScript: on the lines of standard input, or on one payload.
func (c decodeCommand) runCodec(p program) error {
	if c.Lines {
		return c.lines(p, os.Stdin)
	}
	payload, err := c.payload()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.Codec)
	if err != nil {
		return err
	}
	loaded, err := codecs().Load(c.Codec, string(text))
	if err != nil {
		return err
	}
	decode, err := loaded.Decoder(codechost.Options{})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Codec, err)
	}
	if c.Received.IsZero() {
		c.Received = time.Now()
	}
	output, err := decoders.Run(decode, decoders.Uplink{Port: c.Port, Payload: payload, Received: c.Received})
	if err != nil {
		return fmt.Errorf("%s, port %d: %w", c.Codec, c.Port, err)
	}
	result := decoded{Kind: output.Kind, Warnings: output.Warnings}
	for _, sample := range output.Samples {
		result.Samples = append(result.Samples, newDecodedSample(sample, nil, nil))
	}
	return printJSON(p.stdout, result)
}

// codecLine is one line of what --lines reads.
type codecLine struct {
	ID        json.RawMessage   `json:"id"`
	Function  string            `json:"function"`
	Port      uint8             `json:"fport"`
	Bytes     string            `json:"bytes_hex"`
	Received  string            `json:"recv_time"`
	Variables map[string]string `json:"variables"`
	Data      json.RawMessage   `json:"data"`
}

// codecAnswer is one line of what --lines writes: one of Output and Error.
type codecAnswer struct {
	ID     json.RawMessage `json:"id"`
	Output json.RawMessage `json:"output,omitempty"`
	Error  string          `json:"error,omitempty"`
}

const (
	maxCodecLine = 4 << 20 // bytes
	lineTime     = 2 * time.Second
	lineOutput   = 4 << 20 // bytes
)

// lines runs a codec on each line of standard input. What one line does cannot stop the next.
func (c decodeCommand) lines(p program, in io.Reader) error {
	text, err := os.ReadFile(c.Codec)
	if err != nil {
		return err
	}
	loaded, loadErr := codecs().Load(c.Codec, string(text))
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 0, 64<<10), maxCodecLine)
	encoder := json.NewEncoder(p.stdout)
	encoder.SetEscapeHTML(false)
	for scanner.Scan() && p.ctx.Err() == nil {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		answer := codecAnswer{}
		result, err := json.RawMessage(nil), loadErr
		var line codecLine
		if parseErr := json.Unmarshal(scanner.Bytes(), &line); parseErr != nil {
			err = fmt.Errorf("not a line of JSON as it should be: %w", parseErr)
		}
		answer.ID = line.ID
		if err == nil {
			result, err = line.run(loaded)
		}
		if answer.Output = result; err != nil {
			answer.Output, answer.Error = nil, err.Error()
		}
		if err := encoder.Encode(answer); err != nil {
			return quiet(err)
		}
	}
	return scanner.Err()
}

func (l *codecLine) run(loaded *codechost.Codec) (json.RawMessage, error) {
	if !slices.Contains(codec.Functions(), l.Function) {
		return nil, fmt.Errorf("function %.40q: there are %v", l.Function, codec.Functions())
	}
	payload, err := hex.DecodeString(l.Bytes)
	if err != nil {
		return nil, fmt.Errorf("bytes_hex: %w", err)
	}
	call := codec.Call{Function: l.Function, Port: l.Port, Bytes: payload, Variables: l.Variables, Data: l.Data}
	if l.Received != "" {
		if call.Received, err = time.Parse(time.RFC3339, l.Received); err != nil {
			return nil, errors.New("recv_time: want a time as 2026-01-14T17:02:10Z")
		}
	}
	return loaded.CallAlways(call, codec.Limits{Time: lineTime, Output: lineOutput})
}
