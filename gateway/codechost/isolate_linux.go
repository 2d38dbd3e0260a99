package codechost

import (
	"os/exec"
	"syscall"
)

// isolate puts the child into a process group of its own, so that a signal from the terminal is the gateway's to handle. When
// the gateway is gone the child's standard input ends, and so does the child.
func isolate(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
