package codechost

import (
	"bufio"
	"errors"
	"io"
	"time"

	"belfry/decoders/codec"
)

const (
	loadTime = 2 * time.Second // for the statements of a codec that are not in functions
	maxKept  = 200             // codecs that a child keeps compiled
)

// Serve is the child: it answers requests until there are no more. It gives up what it does not need of the system first.
func Serve(in io.Reader, out io.Writer) error {
	reader := bufio.NewReader(in)
	if _, err := reader.Peek(1); err != nil { // what reading needs is open now
		return nil //nolint:nilerr // nobody asked for anything
	}
	if err := confine(); err != nil {
		return err
	}
	scripts := map[string]*codec.Script{}
	for {
		var r request
		if err := readMessage(reader, &r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := writeMessage(out, answer(scripts, &r)); err != nil {
			return err
		}
	}
}

func answer(scripts map[string]*codec.Script, r *request) *response {
	switch {
	case r.Load != nil:
		script, err := codec.Compile(r.Load.Name, r.Load.Source)
		if err != nil {
			return failed(err)
		}
		functions, err := script.Functions(loadTime)
		if err != nil {
			return failed(err)
		}
		if len(scripts) >= maxKept {
			clear(scripts)
		}
		scripts[script.Hash] = script
		return &response{Hash: script.Hash, Functions: functions}
	case r.Call != nil:
		script := scripts[r.Call.Hash]
		if script == nil {
			return failed(errors.New("the codec is not loaded"))
		}
		result, err := script.Run(&r.Call.Call, codec.Limits{Time: r.Call.Limit, Output: r.Call.Output})
		if err != nil {
			return failed(err)
		}
		return &response{Result: result}
	}
	return failed(errors.New("empty request"))
}
