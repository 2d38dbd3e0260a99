package source

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitSendTime ends a connection whose far side has gone without a word; MQTT acknowledgements are written without a
// deadline.
func limitSendTime(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(sendTimeout/time.Millisecond))
	})
	if err != nil {
		return err
	}
	return failed
}
