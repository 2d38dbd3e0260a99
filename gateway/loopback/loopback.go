// Package loopback tells this machine from others: what may go in the clear, and what others may not reach.
package loopback

import "net"

// Is says whether a host, a name or an address without a port, is this machine.
func Is(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
