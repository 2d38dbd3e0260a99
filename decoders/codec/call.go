package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// Call is one call of a codec's function.
type Call struct {
	Function  string            `json:"function"`
	Port      uint8             `json:"fport"`
	Bytes     []byte            `json:"bytes"`
	Received  time.Time         `json:"recv_time,omitzero"` // input.recvTime; zero: the codec gets none
	Variables map[string]string `json:"variables,omitempty"`
	Data      json.RawMessage   `json:"data,omitempty"` // for encoders and normalizeUplink; its keys keep their order
}

// Limits bound one call.
type Limits struct {
	Time   time.Duration // the codec is interrupted then, at the next moment at which it can be
	Output int           // bytes of the result as JSON
}

var (
	// ErrThrown says that the codec threw; its words follow.
	ErrThrown = errors.New("the codec threw")
	// ErrNoFunction says that the codec does not have the function.
	ErrNoFunction = errors.New("the codec has no such function")
	// ErrTime says that the codec took too long.
	ErrTime = errors.New("the codec took too long")
	// ErrOutput says that the result cannot be written as JSON, or is too large.
	ErrOutput = errors.New("the codec's result is not usable")
)

const (
	maxCalls   = 512 // calls of functions in each other
	maxMessage = 300 // bytes of what a codec throws
)

// Run calls a function in a realm of its own and returns its result as JSON. What is undefined in it is null, as is what is not
// a finite number.
func (s *Script) Run(c *Call, limits Limits) (result []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil { // the engine's own, over what a codec made it do
			result, err = nil, fmt.Errorf("%w: %.100v", ErrThrown, cause)
		}
	}()
	vm := goja.New()
	vm.SetMaxCallStackSize(maxCalls)
	vm.SetTimeSource(time.Now().UTC)
	timer := time.AfterFunc(limits.Time, func() { vm.Interrupt(ErrTime) })
	defer timer.Stop()
	r, err := newRealm(vm)
	if err != nil {
		return nil, err
	}
	if _, err := vm.RunProgram(s.program); err != nil {
		return nil, thrown(err)
	}
	finder, ok := finders[c.Function]
	if !ok {
		return nil, fmt.Errorf("%w: %.40q", ErrNoFunction, c.Function)
	}
	found, err := vm.RunProgram(finder)
	if err != nil {
		return nil, thrown(err)
	}
	function, ok := goja.AssertFunction(found)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoFunction, c.Function)
	}
	arguments, err := r.arguments(c)
	if err != nil {
		return nil, err
	}
	value, err := function(goja.Undefined(), arguments...)
	if err != nil {
		return nil, thrown(err)
	}
	return r.stringify(value, limits.Output)
}

// thrown turns what the engine says into one of our errors, with the codec's words and without its stack.
func thrown(err error) error {
	var interrupted *goja.InterruptedError
	var overflow *goja.StackOverflowError
	var exception *goja.Exception
	switch {
	case errors.As(err, &interrupted):
		return ErrTime
	case errors.As(err, &overflow):
		return fmt.Errorf("%w: calls itself too deep", ErrThrown)
	case errors.As(err, &exception):
		text := exception.Error()
		if value := exception.Value(); value != nil {
			text = value.String()
		}
		return fmt.Errorf("%w: %s", ErrThrown, shorten(text))
	}
	return fmt.Errorf("%w: %s", ErrThrown, shorten(err.Error()))
}

func shorten(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "..."
	}
	return text
}

// arguments makes what the function is called with, as values of the realm.
func (r *realm) arguments(c *Call) ([]goja.Value, error) {
	vm := r.vm
	bytes := make([]any, len(c.Bytes))
	for i, b := range c.Bytes {
		bytes[i] = int64(b)
	}
	variables := vm.NewObject()
	for name, value := range c.Variables {
		_ = variables.Set(name, value)
	}
	switch c.Function {
	case Decoder:
		return []goja.Value{vm.NewArray(bytes...), vm.ToValue(int64(c.Port)), variables}, nil
	case Decode:
		return []goja.Value{vm.ToValue(int64(c.Port)), vm.NewArray(bytes...), variables}, nil
	}
	input := vm.NewObject()
	switch c.Function {
	case EncodeDownlink, NormalizeUplink:
		data, err := r.parse(c.Data)
		if err != nil {
			return nil, err
		}
		_ = input.Set("data", data)
	default:
		_ = input.Set("bytes", vm.NewArray(bytes...))
	}
	_ = input.Set("fPort", int64(c.Port))
	if !c.Received.IsZero() {
		date, err := vm.New(vm.Get("Date"), vm.ToValue(c.Received.UnixMilli()))
		if err != nil {
			return nil, thrown(err)
		}
		_ = input.Set("recvTime", date)
	}
	_ = input.Set("variables", variables)
	return []goja.Value{input}, nil
}

// Functions lists which functions the codec has. Its statements are run for that.
func (s *Script) Functions(within time.Duration) (names []string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			names, err = nil, fmt.Errorf("%w: %.100v", ErrThrown, cause)
		}
	}()
	vm := goja.New()
	vm.SetMaxCallStackSize(maxCalls)
	timer := time.AfterFunc(within, func() { vm.Interrupt(ErrTime) })
	defer timer.Stop()
	if _, err := newRealm(vm); err != nil {
		return nil, err
	}
	if _, err := vm.RunProgram(s.program); err != nil {
		return nil, thrown(err)
	}
	for _, name := range Functions() {
		found, err := vm.RunProgram(finders[name])
		if err != nil {
			return nil, thrown(err)
		}
		if _, ok := goja.AssertFunction(found); ok {
			names = append(names, name)
		}
	}
	return names, nil
}
