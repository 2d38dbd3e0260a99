package codechost

import (
	"os/exec"
	"syscall"
)

// isolate lets the child die with the thread's process group rather than outlive the gateway: its standard input ends, and it
// is in a group of its own so that a signal from the terminal is ours to handle.
func isolate(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
