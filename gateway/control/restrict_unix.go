//go:build unix

package control

import "syscall"

// restrict gives a socket its mode. Where that does not work, the mode is set once it is bound.
func restrict(fd uintptr) { _ = syscall.Fchmod(int(fd), socketMode) }
