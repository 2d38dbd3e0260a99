package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"belfry/gateway/gatewaytest"
	"belfry/scripts/campaign/faultfs"
)

// predicament is a state in which the gateway is told to stop.
type predicament struct {
	town   *town
	broker *gatewaytest.Mosquitto
	begin  func() // makes it
	end    func() // makes all well again, before the next start
	says   string // what the log must say
}

func TestStopIsQuickAndSafeInEveryState(t *testing.T) { // F83
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, p *predicament){
		"NATS is away": func(_ *testing.T, p *predicament) {
			p.begin = p.town.nats.Stop
			p.end = func() { _ = p.town.nats.Start() } // a failure shows
		},
		"NATS is a black hole": func(t *testing.T, p *predicament) {
			hole := startHole(t, strings.TrimPrefix(p.town.nats.URL(), "nats://"))
			p.town.replace(p.town.nats.URL(), "nats://"+hole.address())
			p.begin, p.end = hole.hold, hole.release
		},
		"the broker is a black hole": func(_ *testing.T, p *predicament) { p.begin, p.end = p.broker.Pause, p.broker.Resume },
		"nothing is wrong":           func(*testing.T, *predicament) {},
		"the disk is full": func(t *testing.T, p *predicament) {
			data := p.town.mountTmpfs("16m")
			ballast := filepath.Join(data, "ballast")
			p.begin = func() { fill(t, data, ballast) }
			p.end = func() { _ = os.Remove(ballast) }
		},
		"fsync takes 5 s": func(t *testing.T, p *predicament) {
			disk := p.town.mountFaults()
			p.begin = func() { disk.Arm(faultfs.Fault{At: faultfs.Sync, Nth: 1, Delay: 5 * time.Second}) }
			p.end = func() { disk.Arm(faultfs.Fault{}) }
			p.says = "part=buffer"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := gatewaytest.StartMosquitto(t, "")
			p := &predicament{town: newTown(t, broker.Address(), 20, ""), broker: broker, begin: func() {}, end: func() {}}
			prepare(t, p)
			p.check(t)
		})
	}
}

// check stops a gateway under load in the predicament, and wants everything to be on the stream once after the next start.
func (p *predicament) check(t *testing.T) {
	w := p.town
	gateway := w.start()
	w.waitReady()
	load := startLoad(t, w)
	load.waitFor(t, 100)
	p.begin()
	time.Sleep(2 * time.Second) // in the predicament, under load: there is nothing to wait for
	gateway.stop(t)
	if !strings.Contains(gateway.log.String(), p.says) {
		t.Errorf("the log does not say %q", p.says)
	}
	p.end()
	sent := load.stop(t)
	gateway = w.start()
	got := w.read(total(sent))
	got.checkOnceAndInOrder(t, sent)
	gateway.stop(t)
}

func TestSecondSignalEndsItAtOnce(t *testing.T) { // F83
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 1, "")
	hole := startHole(t, strings.TrimPrefix(w.nats.URL(), "nats://"))
	w.replace(w.nats.URL(), "nats://"+hole.address())
	m := newManager(t)
	gateway := w.start(m.environment(watchdog)...)
	w.waitReady()
	load := startLoad(t, w)
	w.read(10) // the one subject is known
	hole.hold()
	gatewaytest.WaitFor(t, 20*time.Second, "records that wait behind a message in flight", func() bool {
		return w.metric("belfry_buffer_pending{lane=\"normal\"}") > 20 && w.metric("belfry_forward_in_flight") > 0
	})
	for range 2 {
		if err := gateway.command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		m.waitFor("STOPPING=1") // the first was heard; it waits for acknowledgements now
	}
	began := time.Now()
	err := <-gateway.exited
	gateway.exited <- err
	if took := time.Since(began); took > time.Second || err == nil {
		t.Errorf("it ended %v after the second signal with %v, want at once, by the signal", took, err)
	}
	hole.release()
	sent := load.stop(t)
	gateway = w.start()
	got := w.read(total(sent))
	got.checkOnceAndInOrder(t, sent)
	gateway.stop(t)
}

// load sends 200 messages a second until it is stopped, fewer than fill the broker's queue in a short absence.
type load struct {
	publisher *publisher
	done      chan struct{}
	running   sync.WaitGroup

	mu   sync.Mutex
	sent map[string][]int // guarded by mu
}

func startLoad(t *testing.T, w *town) *load {
	t.Helper()
	l := &load{publisher: newPublisher(t, w.broker), done: make(chan struct{}), sent: map[string][]int{}}
	l.running.Go(func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for n := 0; n < 900; n++ { // Mosquitto keeps 1,000
			select {
			case <-l.done:
				return
			case <-ticker.C:
			}
			l.mu.Lock()
			l.publisher.send(good(n%w.bins, n))
			l.sent[binID(n%w.bins)] = append(l.sent[binID(n%w.bins)], n)
			l.mu.Unlock()
		}
	})
	t.Cleanup(func() { l.end() })
	return l
}

func (l *load) end() {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	l.running.Wait()
}

func (l *load) waitFor(t *testing.T, messages int) {
	t.Helper()
	gatewaytest.WaitFor(t, 20*time.Second, "some load", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return total(l.sent) >= messages
	})
}

// stop returns what the broker has acknowledged.
func (l *load) stop(t *testing.T) map[string][]int {
	t.Helper()
	l.end()
	l.publisher.flush(t)
	return l.sent
}

// metric is the value of one line of /metrics, -1 when there is none.
func (w *town) metric(name string) float64 {
	_, body := w.get("/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			if number, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				return number
			}
		}
	}
	return -1
}

// replace changes the configuration.
func (w *town) replace(old, text string) {
	w.t.Helper()
	config, err := os.ReadFile(filepath.Join(w.dir, "belfry.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("belfry.yaml", strings.ReplaceAll(string(config), old, text))
}

// mountTmpfs gives the buffer a small disk of its own and returns its folder.
func (w *town) mountTmpfs(size string) string {
	w.t.Helper()
	if os.Getuid() != 0 {
		w.t.Skip("needs root, to mount a small tmpfs")
	}
	data := filepath.Join(w.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "mode=700,size="+size); err != nil {
		w.t.Skipf("mount: %v", err)
	}
	w.t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil { // the gateway may be about to end
			w.t.Error(err)
		}
	})
	return data
}

// fill takes all of a disk.
func fill(t *testing.T, dir, ballast string) {
	t.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, stat.Bsize)
	for err == nil {
		_, err = file.Write(block)
	}
}

// mountFaults gives the buffer a disk that can be slow.
func (w *town) mountFaults() *faultfs.FS {
	w.t.Helper()
	if err := faultfs.Available(); err != nil {
		w.t.Skipf("no file system in user space: %v", err)
	}
	backing, data := filepath.Join(w.dir, "backing"), filepath.Join(w.dir, "data")
	for _, dir := range []string{backing, data} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
	disk, err := faultfs.Mount(backing, data)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		disk.Arm(faultfs.Fault{})
		if err := disk.Unmount(); err != nil {
			w.t.Error(err)
		}
	})
	return disk
}

// hole is a connection to a server through which nothing more goes once it is held, though it stays open.
type hole struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	wait  chan struct{} // guarded by mu; nil while all goes through
	conns []net.Conn    // guarded by mu
}

func startHole(t *testing.T, server string) *hole {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{listener: listener, server: server}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			h.mu.Lock()
			h.conns = append(h.conns, client, server)
			h.mu.Unlock()
			running.Go(func() { h.pass(client, server) })
			running.Go(func() { h.pass(server, client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		h.release()
		h.mu.Lock()
		for _, conn := range h.conns {
			conn.Close()
		}
		h.mu.Unlock()
		running.Wait()
	})
	return h
}

func (h *hole) address() string { return h.listener.Addr().String() }

func (h *hole) hold() {
	h.mu.Lock()
	h.wait = make(chan struct{})
	h.mu.Unlock()
}

func (h *hole) release() {
	h.mu.Lock()
	if h.wait != nil {
		close(h.wait)
		h.wait = nil
	}
	h.mu.Unlock()
}

func (h *hole) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(held{to, h}, from) // until one side goes
}

// held is a connection that takes nothing while the hole is held.
type held struct {
	net.Conn
	hole *hole
}

func (c held) Write(p []byte) (int, error) {
	c.hole.mu.Lock()
	wait := c.hole.wait
	c.hole.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return c.Conn.Write(p)
}
