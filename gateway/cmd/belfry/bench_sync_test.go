package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"belfry/gateway/gatewaytest"
)

// unsynced is the program with one line changed: bbolt does not wait for the disk. It is what the benchmark measures the
// price of every fsync against; no setting does this.
var unsynced = sync.OnceValues(func() (string, error) {
	const from, to = "NoStatistics: true,", "NoStatistics: true, NoSync: true, NoGrowSync: true,"
	original, err := filepath.Abs("../../../buffer/segment.go")
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if strings.Count(string(source), from) != 1 {
		return "", fmt.Errorf("%s has no single %q any more", original, from)
	}
	changed, overlay := filepath.Join(buildDir, "segment.go"), filepath.Join(buildDir, "overlay.json")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), from, to, 1)), 0o600); err != nil {
		return "", err
	}
	replacements, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, replacements, 0o600); err != nil {
		return "", err
	}
	path := filepath.Join(buildDir, "belfry-unsynced")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// BenchmarkFsync measures what waiting for the disk costs, against Mosquitto's default of 20 messages in flight and
// against 1,000.
func BenchmarkFsync(b *testing.B) {
	for _, inFlight := range []int{20, 1000} {
		b.Run(fmt.Sprintf("%dInFlight", inFlight), func(b *testing.B) {
			broker := gatewaytest.StartMosquitto(b, fmt.Sprintf("max_inflight_messages %d\nmax_queued_messages 1000000\n", inFlight))
			w := newTown(b, broker.Address(), benchSensors, "")
			var synced, not cost
			rounds := 0
			for b.Loop() {
				rounds++
				s, n := benchBelfry(b, w, binary, 2*rounds), benchBelfry(b, w, unsynced, 2*rounds+1)
				fmt.Fprintf(os.Stderr, "round %d, %d in flight\n  belfry               %v\n  the same, no fsync   %v\n", rounds, inFlight, s, n)
				synced.add(s)
				not.add(n)
			}
			b.ReportMetric(float64(rounds*benchMessages)/synced.wall.Seconds(), "events/s")
			b.ReportMetric(100*not.wall.Seconds()/synced.wall.Seconds(), "%-of-unsynced-events/s")
		})
	}
}
