package forward_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace returns a listener in a network namespace of its own that is reached from here through a token bucket.
func inNamespace(t *testing.T, rate string) net.Listener {
	t.Helper()
	name := fmt.Sprintf("belfry%d", os.Getpid())
	here, there := "bfh"+fmt.Sprint(os.Getpid()), "bft"+fmt.Sprint(os.Getpid())
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", here).Run()
		_ = exec.Command("ip", "netns", "del", name).Run()
	})
	for _, command := range [][]string{
		{"ip", "netns", "add", name},
		{"ip", "link", "add", here, "type", "veth", "peer", "name", there},
		{"ip", "link", "set", there, "netns", name},
		{"ip", "address", "add", "198.18.77.1/30", "dev", here},
		{"ip", "link", "set", here, "up"},
		{"ip", "-n", name, "address", "add", "198.18.77.2/30", "dev", there},
		{"ip", "-n", name, "link", "set", there, "up"},
		{"tc", "qdisc", "add", "dev", here, "root", "tbf", "rate", rate, "burst", "2kb", "latency", "60s"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v: %s", command, err, out)
		}
	}
	type result struct {
		listener net.Listener
		err      error
	}
	results := make(chan result)
	go func() { // on a thread that ends with it, since it does not come back from the namespace
		runtime.LockOSThread()
		namespace, err := os.Open("/var/run/netns/" + name)
		if err != nil {
			results <- result{nil, err}
			return
		}
		defer namespace.Close()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			results <- result{nil, err}
			return
		}
		listener, err := net.Listen("tcp", "198.18.77.2:0")
		results <- result{listener, err}
	}()
	r := <-results
	if r.err != nil {
		t.Skip("no listener in a network namespace: ", r.err)
	}
	return r.listener
}
