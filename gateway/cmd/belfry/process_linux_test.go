package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"belfry/gateway/gatewaytest"
	"belfry/scripts/campaign/faultfs"
)

func TestRestartAfterAKillTakesLessThanTwoSecondsWithABacklog(t *testing.T) { // F81
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), backlogSensors+20, "")
	const backlog = 20_000
	w.fillBacklog(backlog)
	w.nats.Stop()
	gateway := w.start()
	var took []time.Duration
	for range 3 {
		w.waitSource()
		gateway.kill()
		began := time.Now()
		gateway = w.start()
		w.waitSource()
		took = append(took, time.Since(began))
	}
	if quickest := slices.Min(took); quickest > maxStart {
		t.Errorf("restarts took %v, want at most %v", took, maxStart)
	}
	t.Logf("restarts took %v", took)
	if err := w.nats.Start(); err != nil {
		t.Fatal(err)
	}
	got := w.read(backlog)
	for id, n := range got.ids {
		if n != 1 {
			t.Errorf("%s is on the stream %d times", id, n)
		}
	}
	gateway.stop(t)
	w.checkLedger(t, got.ids)
}

// waitSource waits until messages are taken in, whether or not NATS is there.
func (w *town) waitSource() {
	w.t.Helper()
	gatewaytest.WaitFor(w.t, 20*time.Second, "the source to be ready", func() bool {
		_, body := w.get("/readyz")
		return sourceReady(body)
	})
}

func TestIdleConnectionsDoNotTakeTheDescriptorsThatMessagesNeed(t *testing.T) { // F86
	t.Parallel()
	for name, limitOf := range map[string]func(open int) uint64{
		"64 in all":        func(int) uint64 { return 64 },
		"3 more than used": func(open int) uint64 { return uint64(open + 3) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := gatewaytest.StartMosquitto(t, "")
			w := newTown(t, broker.Address(), 20, "")
			gateway := w.start()
			w.waitReady()
			pid := gateway.command.Process.Pid
			limit := limitOf(descriptors(t, pid))
			if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
				t.Fatal(err)
			}
			before := descriptors(t, pid)
			for range 200 {
				conn, err := net.Dial("tcp", w.status)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprint(conn, "GET /metrics HTTP/1.1\r\n")
			}
			enough := min(int(limit), before+30)
			gatewaytest.WaitFor(t, 20*time.Second, "the connections to take descriptors", func() bool { return descriptors(t, pid) >= enough })
			load := startLoad(t, w)
			load.waitFor(t, 400)
			sent := load.stop(t)
			got := w.read(total(sent))
			got.checkOnceAndInOrder(t, sent)
			gateway.stop(t)
			w.checkLedger(t, got.ids)
		})
	}
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func TestFolderOfTheWrongOwnerOrModeIsRefusedWithTheCommandThatHelps(t *testing.T) { // F53
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	const other, nobody = 1, 65534
	for name, c := range map[string]struct {
		owner, user uint32
		mode        os.FileMode
		want        string
	}{
		"others may write":         {0, 0, 0o777, "chmod go-w "},
		"the group may write":      {0, 0, 0o770, "chmod go-w "},
		"it is another user's":     {other, nobody, 0o700, fmt.Sprintf("chown -R %d ", nobody)},
		"it is root's, not ours":   {0, nobody, 0o755, fmt.Sprintf("chown -R %d ", nobody)},
		"a file in it is not ours": {nobody, nobody, 0o700, fmt.Sprintf("chown -R %d ", nobody)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, "tcp://"+freeAddress(t), 1, "")
			data := filepath.Join(w.dir, "data")
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "a file") { // as a run by root leaves it
				if err := os.WriteFile(filepath.Join(data, "lock"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chown(data, int(c.owner), int(c.owner)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(data, c.mode); err != nil {
				t.Fatal(err)
			}
			path, err := binary()
			if err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{buildDir, w.dir, filepath.Dir(w.dir)} { // another user has to get there
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			command := exec.Command(path, "run", "--config", w.dir)
			command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.user, Gid: c.user}}
			p := w.launch(command)
			select {
			case err := <-p.exited:
				p.exited <- err
			case <-time.After(10 * time.Second):
				t.Fatal("it runs")
			}
			if code := command.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(p.log.String(), c.want+data) {
				t.Errorf("exit code %d, %s; want %d and %s", code, p.log, exitFailed, c.want+data)
			}
		})
	}
}

func TestGoroutinesAndHeapStayFlatUnderLoad(t *testing.T) { // F87, scaled
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "max_queued_messages 100000\n")
	w := newTown(t, broker.Address(), 50, "")
	gateway := w.start()
	w.waitReady()
	publisher := newPublisher(t, broker.Address())
	sent := map[string][]int{}
	n := 0
	loadFor := func(seconds int, meanwhile func()) {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for i := range seconds * 100 {
			<-ticker.C
			for range 5 {
				publisher.send(good(n%w.bins, n))
				sent[binID(n%w.bins)] = append(sent[binID(n%w.bins)], n%10000)
				n++
			}
			if i%100 == 50 {
				w.get("/metrics")
				meanwhile()
			}
		}
		publisher.flush(t)
	}
	loadFor(3, func() {})
	goroutines, heap := w.atRest(t)
	loadFor(10, func() { // the connection ends again and again
		w.nats.Stop()
		if err := w.nats.Start(); err != nil {
			t.Error(err)
		}
	})
	moreGoroutines, moreHeap := w.atRest(t)
	t.Logf("%v goroutines, heap %.1f MiB, then %v goroutines, heap %.1f MiB", goroutines, heap/(1<<20), moreGoroutines, moreHeap/(1<<20))
	if moreGoroutines > goroutines+3 {
		t.Errorf("%v goroutines after the load, %v before", moreGoroutines, goroutines)
	}
	if moreHeap > heap+4<<20 {
		t.Errorf("heap of %.1f MiB after the load, %.1f MiB before", moreHeap/(1<<20), heap/(1<<20))
	}
	got := w.read(total(sent))
	got.checkOnceAndInOrder(t, sent)
	gateway.stop(t)
	w.checkLedger(t, got.ids)
}

// atRest returns the least of what is in use during a few seconds after everything is delivered: the garbage is gone once
// in a while.
func (w *town) atRest(t *testing.T) (goroutines, heap float64) {
	t.Helper()
	w.waitReady()
	gatewaytest.WaitFor(t, 60*time.Second, "everything to be published", func() bool { return w.metric(`belfry_buffer_pending{lane="normal"}`) == 0 })
	for range 15 {
		nowGoroutines, nowHeap := w.metric("go_goroutines"), w.metric("go_memstats_heap_alloc_bytes")
		if goroutines == 0 || nowGoroutines < goroutines {
			goroutines = nowGoroutines
		}
		if heap == 0 || nowHeap < heap {
			heap = nowHeap
		}
		time.Sleep(100 * time.Millisecond)
	}
	return goroutines, heap
}

func TestWatchdogIsFedWhileAnFsyncTakesFiveSeconds(t *testing.T) { // F50
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 10, "")
	disk := w.mountFaults()
	m := newManager(t)
	gateway := w.start(m.environment(watchdog)...)
	w.waitReady()
	disk.Arm(faultfs.Fault{At: faultfs.Sync, Nth: 1, Times: 1, Delay: 5 * time.Second})
	load := startLoad(t, w)
	gatewaytest.WaitFor(t, 20*time.Second, "a slow fsync", func() bool { return disk.Fired() > 0 })
	fed := m.feedings()
	sent := load.stop(t)
	got := w.read(total(sent)) // which needs the fsync
	got.checkOnceAndInOrder(t, sent)
	if times := m.feedings() - fed; times < 10 || m.longestSilence() > 2*watchdog {
		t.Errorf("fed %d times meanwhile, and not for %v", times, m.longestSilence())
	}
	gateway.stop(t)
}
