package source

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// prepareDatagrams asks for a receive buffer and for the number of datagrams that the kernel drops. It returns how large
// the buffer is.
func prepareDatagrams(socket *net.UDPConn, receiveBuffer int) (granted int, err error) {
	if err := socket.SetReadBuffer(receiveBuffer); err != nil {
		return 0, err
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if granted, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF); failed == nil {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
		}
	})
	if err == nil {
		err = failed
	}
	return granted / 2, err // the kernel doubles what is asked, for its own needs
}

// kernelDrops finds how many datagrams the kernel had dropped on the socket when it took the one that came with these
// control messages.
func kernelDrops(control []byte) (uint32, bool) {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return 0, false
		}
		if header.Level == unix.SOL_SOCKET && header.Type == unix.SO_RXQ_OVFL && len(data) >= 4 {
			return binary.NativeEndian.Uint32(data), true
		}
		control = rest
	}
	return 0, false
}
