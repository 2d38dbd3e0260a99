package gateway

import (
	"fmt"
	"path"
	"runtime"
	"strings"
)

// Fault is a panic of this program, with what may be told of it: the type of its value and the places, never the value,
// which may hold what a sensor sent.
type Fault struct {
	Kind string // type of the value
	At   string // file:line of the innermost calls, separated by blanks
}

// maxFrames is how many calls a fault names.
const maxFrames = 12

// NewFault describes what a deferred function recovered; it must be called by that function or from it.
func NewFault(cause any) *Fault {
	if fault, ok := cause.(*Fault); ok {
		return fault // it happened on another goroutine
	}
	return &Fault{Kind: fmt.Sprintf("%T", cause), At: innermostCalls()}
}

// Error implements error.
func (f *Fault) Error() string { return "fault in this program: " + f.Kind + " at " + f.At }

// innermostCalls lists the calls from where the panic was on.
func innermostCalls() string {
	var counters [64]uintptr
	frames := runtime.CallersFrames(counters[:runtime.Callers(2, counters[:])])
	var places []string
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if frame.Function == "runtime.gopanic" {
			places = places[:0] // up to here it was the handling
		} else if !strings.HasPrefix(frame.Function, "runtime.") && len(places) < maxFrames {
			places = append(places, place(frame))
		}
	}
	return strings.Join(places, " ")
}

// place names a call by its package and file, not by a path of the machine that built it.
func place(frame runtime.Frame) string {
	directory, name := path.Split(frame.Function)
	name, _, _ = strings.Cut(name, ".")
	return fmt.Sprintf("%s%s/%s:%d", directory, name, path.Base(frame.File), frame.Line)
}
