package codechost

import (
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const (
	heapGoal  = 40 << 20 // bytes: the collector works harder above
	heapLimit = 64 << 20 // bytes beyond what the process has before it runs a codec: then it dies
)

// confine gives up files, sockets and memory: nothing more can be opened, nothing written to a file, and what a codec
// hoards ends the process. JavaScript has no way to any of these; this is for a fault of the engine.
func confine() error {
	debug.SetMemoryLimit(heapGoal)
	used, err := dataSize()
	if err != nil {
		return err
	}
	for _, limit := range []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_NOFILE, 0}, {unix.RLIMIT_FSIZE, 0}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_DATA, used + heapLimit},
	} {
		if err := unix.Setrlimit(limit.resource, &unix.Rlimit{Cur: limit.value, Max: limit.value}); err != nil {
			return fmt.Errorf("limit resource %d: %w", limit.resource, err)
		}
	}
	return nil
}

// dataSize is how much memory the process has that counts towards RLIMIT_DATA, in bytes.
func dataSize() (uint64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident, shared, code, library, data uint64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared, &code, &library, &data); err != nil {
		return 0, fmt.Errorf("/proc/self/statm: %w", err)
	}
	return data * uint64(os.Getpagesize()), nil
}
