package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belfry/gateway/gatewaytest"
)

func TestThirdStartThatCameToNothingIsACrashLoop(t *testing.T) {
	if _, _, err := sinceBoot(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	for n := 1; n <= 5; n++ {
		if _, looping := noteStart(dir); looping != (n >= crashStarts) {
			t.Errorf("start %d: looping is %v", n, looping)
		}
	}
	s, _ := noteStart(dir)
	s.forget() // as after a minute, or a stop as told
	if _, looping := noteStart(dir); looping {
		t.Error("a start after one that came to something counts what was before")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

func TestOnlyStartsOfThisBootWithinTheWindowCount(t *testing.T) {
	boot, uptime, err := sinceBoot()
	if err != nil {
		t.Skip(err)
	}
	line := func(boot string, at time.Duration) string { return fmt.Sprintf("%s %.2f\n", boot, at.Seconds()) }
	other := "00000000-0000-4000-8000-000000000000"
	for name, content := range map[string]string{
		"damaged":       "\x00\xff\n\n" + boot + "\n" + boot + " x\n" + boot + " NaN\n",
		"other boot":    strings.Repeat(line(other, uptime-time.Second), 5),
		"long ago":      strings.Repeat(line(boot, uptime-crashWindow-time.Minute), 5),
		"in the future": strings.Repeat(line(boot, uptime+time.Hour), 5),
		"large":         strings.Repeat("x", 1<<20),
		"cut":           line(boot, uptime-time.Second)[:20],
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, startsFile), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, looping := noteStart(dir); looping {
				t.Error("a crash loop")
			}
			noteStart(dir)
			if _, looping := noteStart(dir); !looping {
				t.Error("the starts after it do not count")
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, startsFile), 0o700); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, looping := noteStart(dir); looping {
				t.Error("a crash loop")
			}
		}
	})
}

func TestCrashLoopOpensTheBufferInSafeModeAndLosesNothing(t *testing.T) { // F85
	if _, _, err := sinceBoot(); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "")
	w := newTown(t, broker.Address(), 5, "")
	publisher := newPublisher(t, broker.Address())
	sent := map[string][]int{}
	gateway := w.start()
	for n := range 5 {
		w.waitReady()
		publisher.send(good(n, n))
		publisher.flush(t)
		sent[binID(n)] = []int{n}
		if safe := strings.Contains(gateway.log.String(), "safe mode"); safe != (n >= 2 && n < 4) {
			t.Errorf("start %d: safe mode is %v", n+1, safe)
		}
		if n == 3 {
			gateway.stop(t) // as told: no crash
		} else {
			gateway.kill()
		}
		gateway = w.start()
	}
	got := w.read(total(sent))
	got.checkOnceAndInOrder(t, sent)
	gateway.stop(t)
	w.checkLedger(t, got.ids)
}
