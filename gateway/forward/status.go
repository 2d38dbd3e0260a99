package forward

import "fmt"

// status tells the gateway how forwarding goes, each change once.
type status struct {
	ready func(error)
	read  error // why the store could not be read

	told bool
	last string
}

// report works out the one thing that is most in the way.
func (f *forwarder) report() {
	err := f.connection.problem
	if err == nil {
		err = f.stream.problem
	}
	if err == nil {
		err = f.pause.err
	}
	if err == nil && f.status.read != nil {
		err = fmt.Errorf("read the buffer: %w", f.status.read)
	}
	if err == nil {
		err = f.anyDenied()
	}
	if err == nil && !f.stream.prepared {
		return // on the way, nothing to tell yet
	}
	f.status.tell(err)
}

func (s *status) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if s.told && s.last == text {
		return
	}
	s.told, s.last = true, text
	s.ready(err)
}
