package main

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// Ports come from below those that the system gives to outgoing connections: a server that is away for a moment must find
// its own port free again.
const (
	firstPort = 20000
	portRange = 12000
)

var portsTried atomic.Int64

func freePort() (int, error) {
	for range 1000 {
		port := firstPort + int((int64(os.Getpid())*131+portsTried.Add(1))%portRange)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1 from %d", firstPort)
}
