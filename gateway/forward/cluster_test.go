package forward_test

import (
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/buffer"
	"belfry/gateway/demo"
)

// startCluster starts three servers that carry streams together.
func startCluster(t *testing.T) []*demo.NATS {
	t.Helper()
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		l.Close()
	}
	var routes []*url.URL
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	var servers []*demo.NATS
	for i, port := range ports {
		servers = append(servers, startServer(t, func(o *server.Options) {
			o.ServerName = fmt.Sprint("n", i)
			o.NoSystemAccount = false
			o.Cluster = server.ClusterOpts{Name: "town", Host: "127.0.0.1", Port: port}
			o.Routes = routes
		}))
	}
	return servers
}

func makeReplicatedStream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	config := townStream()
	config.Replicas = 3
	var err error
	wait(t, func() bool { // the servers have to find each other first
		_, err = js.CreateStream(t.Context(), config)
		return err == nil
	}, func() string { return fmt.Sprint("no stream in the cluster: ", err) })
}

// stepDown makes the leader of the stream give way to another server.
func stepDown(servers []*demo.NATS) error {
	var err error
	for _, s := range servers {
		if s.Server().JetStreamIsStreamLeader("$G", "TOWN") {
			err = s.Server().JetStreamStepdownStream("$G", "TOWN")
		}
	}
	return err
}

// F75: the stream's leader changes again and again under load, and a server goes away and comes back.
func TestLeaderChangesLoseRepeatAndReorderNothing(t *testing.T) {
	t.Parallel()
	servers := startCluster(t)
	js := dial(t, servers[0].URL())
	makeReplicatedStream(t, js)
	m := newMemory()
	o := options(servers[0].URL())
	o.Servers = append(o.Servers, servers[1].URL(), servers[2].URL())
	r := start(t, o, m)
	for range 6 {
		fill(m, 500, 40)
		time.Sleep(100 * time.Millisecond)
		if err := stepDown(servers); err != nil {
			t.Log(err)
		}
		fill(m, 100, 40)
		time.Sleep(400 * time.Millisecond)
	}
	servers[1].Stop()
	fill(m, 200, 40)
	if err := servers[1].Start(); err != nil {
		t.Fatal(err)
	}
	waitPublished(t, m)
	onceInOrder(t, js, m)
	if got := r.sink.Counters(); got["verified_loss"]+got["verified_recreated"]+got["verified_removed"] > 0 {
		t.Errorf("a loss was seen where there was none: %v", got)
	}
}

// F73: two gateways heard the same readings and publish them at the same moment into a replicated stream, where one copy
// is refused as being stored already (409/10158) or as out of turn.
func TestSameReadingFromTwoGatewaysAtOnceIsStoredOnce(t *testing.T) {
	t.Parallel()
	servers := startCluster(t)
	js := dial(t, servers[0].URL())
	makeReplicatedStream(t, js)
	first, second := newMemory(), newMemory()
	o1, o2 := options(servers[0].URL()), options(servers[1].URL())
	o2.ClientName = "mairie-sud"
	start(t, o1, first)
	start(t, o2, second)
	const count = 300
	for i := range count {
		packed := record(fmt.Sprint("same-", i), fmt.Sprint("town.99001.water.observation.w", i%10))
		first.add(buffer.Normal, packed)
		second.add(buffer.Normal, packed)
	}
	waitPublished(t, first)
	waitPublished(t, second)
	times := map[string]int{}
	for _, message := range read(t, js) {
		times[message.id]++
	}
	for i := range count {
		if n := times[fmt.Sprint("same-", i)]; n != 1 {
			t.Errorf("reading %d is on the stream %d times", i, n)
		}
	}
}
