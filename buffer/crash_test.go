package buffer

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"
)

// crashDir tells a copy of the test binary to be the process that is killed, and where its buffer is.
const crashDir = "BUFFER_CRASH_DIR"

func isCrashChild() bool { return os.Getenv(crashDir) != "" }

// crashOptions have limits at which nothing is given up.
func crashOptions(dir string) Options {
	o := small(dir)
	o.MaxSize, o.QuarantineSize = 1<<30, 1<<30
	return o
}

// crashChild appends records until it is killed, and prints each number once it is acknowledged.
func crashChild() {
	b, err := Open(crashOptions(os.Getenv(crashDir)))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		var seq Seq
		group := Group{Build: func(tx *Tx) error {
			data := fmt.Appendf(nil, "%0300d", tx.batch.counters.lastSeq+1)
			seq = tx.Append(Lane(i%3), data)
			tx.SetState("last", fmt.Append(nil, seq))
			return nil
		}}
		err := b.Append(context.Background(), []Group{group}, func(_ Outcome, err error) {
			if err != nil {
				fmt.Println("error", err)
			}
			fmt.Println("held", seq)
		})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		if i%200 == 199 {
			b.Published(Normal, seq/2)
		}
	}
}

func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	held := Seq(0)
	for range 10 {
		held = max(held, killChild(t, dir))
		b := open(t, crashOptions(dir))
		stats := b.Stats()
		if stats.LastSeq < held || stats.Damaged > 0 {
			t.Fatalf("acknowledged up to %d, found up to %d, %d damaged", held, stats.LastSeq, stats.Damaged)
		}
		if got := string(b.State("last")); got != fmt.Sprint(stats.LastSeq) {
			t.Errorf("state is of record %s, the newest record is %d", got, stats.LastSeq)
		}
		checkCrashed(t, b, stats)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if held == 0 {
		t.Error("no child got to acknowledge anything")
	}
}

// killChild runs a child for a moment and returns the highest number that it acknowledged.
func killChild(t *testing.T, dir string) Seq {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var last Seq
	for lines.Scan() {
		if last == 0 {
			time.AfterFunc(time.Duration(rand.IntN(80))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		if _, err := fmt.Sscanf(lines.Text(), "held %d", &last); err != nil {
			t.Errorf("child: %s", lines.Text())
		}
	}
	_ = cmd.Wait() // it was killed
	return last
}

// checkCrashed wants every record that is not published, once and whole. Records are removed only below the mark.
func checkCrashed(t *testing.T, b *Buffer, stats Stats) {
	t.Helper()
	found := make(map[Seq]bool)
	for lane := Urgent; lane <= Quarantine; lane++ {
		for _, r := range read(t, b, lane, 0) {
			if want := fmt.Sprintf("%0300d", r.Seq); string(r.Data) != want || found[r.Seq] {
				t.Fatalf("record %d is %q, or there twice", r.Seq, r.Data)
			}
			found[r.Seq] = true
		}
	}
	for seq := b.PublishedUpTo(Normal) + 1; seq <= stats.LastSeq; seq++ {
		if !found[seq] {
			t.Fatalf("record %d of %d is missing", seq, stats.LastSeq)
		}
	}
}
