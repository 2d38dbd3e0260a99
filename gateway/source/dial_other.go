//go:build !linux

package source

import "syscall"

// limitSendTime does nothing where there is no TCP_USER_TIMEOUT; the keep-alive finds a dead connection later.
func limitSendTime(_, _ string, _ syscall.RawConn) error { return nil }
