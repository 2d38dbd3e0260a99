//go:build !linux

package source

import "net"

// prepareDatagrams asks for a receive buffer; how large it is then is not known here.
func prepareDatagrams(socket *net.UDPConn, receiveBuffer int) (granted int, err error) {
	return receiveBuffer, socket.SetReadBuffer(receiveBuffer)
}

// kernelDrops knows nothing: only Linux tells.
func kernelDrops([]byte) (uint32, bool) { return 0, false }
