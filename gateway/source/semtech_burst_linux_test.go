package source_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"belfry/gateway"
	"belfry/gateway/gatewaytest"
	"belfry/gateway/source"
)

// stuck is a source whose uplinks nobody takes.
type stuck struct{ gateway.Source }

func (s stuck) Run(ctx context.Context, _ gateway.Emit, ready func(error)) error {
	return s.Source.Run(ctx, func(ctx context.Context, _ []gateway.Uplink, _ func(error)) error {
		<-ctx.Done()
		return ctx.Err()
	}, ready)
}

func TestABurstThatCannotBeStoredIsBoundedAndAccountedFor(t *testing.T) {
	const burst = 20_000
	r := newRoof(t, func(o *source.SemtechOptions) {
		o.Rate, o.Queue, o.ReceiveBuffer = 1_000_000, 1<<20, 64<<10
	})
	frames := make([]string, burst)
	for i := range frames {
		if frames[i] = frames[max(i-256, 0)]; i < 256 {
			frames[i] = pushBody(1, r.meter.frame(t))
		}
	}
	running := gatewaytest.Run(t, stuck{r.Source}, gatewaytest.NewReceiver(false))
	a := r.antenna(roofEUI, "127.0.0.1")
	a.alive()
	before := heapInUse()
	for some := range slices.Chunk(frames, 50) { // as fast as they are read: the kernel drops none
		received := r.Counters()["received"]
		for _, body := range some {
			a.send(pushData, body)
		}
		gatewaytest.WaitFor(t, 10*time.Second, "the socket to be read", func() bool {
			return r.Counters()["received"] >= received+uint64(len(some))
		})
	}
	for _, body := range frames { // as fast as they can be sent
		a.send(pushData, body)
	}
	sent := 2*burst + 1 + a.getThrough(t)
	if used := int64(heapInUse()) - int64(before); used > 32<<20 {
		t.Errorf("%d bytes are in use", used)
	}
	if kernel := kernelCount(t, r.listen); kernel != r.Counters()["kernel_drops"] {
		t.Errorf("kernel_drops is %d, the kernel says %d", r.Counters()["kernel_drops"], kernel)
	}
	running.Stop(t)
	got := r.Counters()
	t.Logf("received %d, worked on %d, dropped %d, by the kernel %d", got["received"], got["push_data"], got["dropped"], got["kernel_drops"])
	if got["received"]+got["kernel_drops"] != uint64(sent) {
		t.Errorf("%d received and %d dropped by the kernel, of %d", got["received"], got["kernel_drops"], sent)
	}
	sum := uint64(0)
	for _, name := range []string{"malformed_datagrams", "strangers", "over_rate", "dropped", "push_data", "pull_data", "tx_ack"} {
		sum += got[name]
	}
	if sum != got["received"] {
		t.Errorf("%d are accounted for, of %d received: %v", sum, got["received"], got)
	}
	if got["dropped"] == 0 || got["kernel_drops"] == 0 || got["push_acks"] != 0 {
		t.Errorf("%d dropped, %d by the kernel, %d acknowledged; want some, some and none", got["dropped"], got["kernel_drops"], got["push_acks"])
	}
}

// getThrough sends PULL_DATA until one is answered, and returns how many it took. The answer shows that the kernel's count
// of what it dropped has come too.
func (a *antenna) getThrough(t *testing.T) int {
	t.Helper()
	space := make([]byte, 2048)
	for n := 1; n < 1000; n++ {
		a.send(pullData, "")
		if err := a.socket.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.socket.Read(space); err == nil {
			return n
		}
	}
	t.Fatal("no PULL_DATA got through")
	return 0
}

func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// kernelCount is what /proc/net/udp says of the datagrams dropped at an IPv4 address and port.
func kernelCount(t *testing.T, address string) uint64 {
	t.Helper()
	table, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Skip(err)
	}
	at, err := net.ResolveUDPAddr("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprintf(":%04X", at.Port)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 3 && strings.HasSuffix(fields[1], port) && strings.HasSuffix(fields[2], ":0000") {
			drops, err := strconv.ParseUint(fields[len(fields)-1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return drops
		}
	}
	t.Fatalf("no socket at %s", address)
	return 0
}
