package buffer

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cut takes the power from the disk: what was not synced is gone, and nothing more is written.
func (d *disk) cut() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Error(err)
		return
	}
	defer f.Close()
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	flag := uint32(noLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		d.t.Error("this ext4 cannot be shut down: ", errno)
	}
}

// F43: the power goes while segments are made one after the other.
func TestPowerCutWhileASegmentIsMadeCostsNothingAcknowledged(t *testing.T) {
	t.Parallel()
	d := newDisk(t, t.TempDir(), 64<<20)
	o := small(d.dir)
	o.SegmentSize, o.MaxSize, o.CommitDelay = minSegmentSize, 32<<20, time.Millisecond
	held, made := 0, 0
	for range 12 {
		b := open(t, o)
		wantHeld(t, b, held)
		var failed error
		cut := make(chan struct{})
		time.AfterFunc(time.Duration(5+rand.IntN(60))*time.Millisecond, func() { d.cut(); close(cut) })
		for failed == nil {
			var outcome Outcome
			outcome, failed = put(t, b, many(Normal, 30, 1000)...) // half a segment
			held += outcome.Stored
		}
		<-cut
		made += b.Stats().Segments
		_ = b.Close() // its disk is gone
		d.unmount()
		d.mount()
	}
	b := open(t, o)
	defer func() { _ = b.Close() }()
	wantHeld(t, b, held)
	if held == 0 || made < 24 {
		t.Errorf("%d records in %d segments: too few to tell", held, made)
	}
}

// wantHeld wants what was acknowledged, and at most the one batch more that was on its way.
func wantHeld(t *testing.T, b *Buffer, held int) {
	t.Helper()
	s := b.Stats()
	if got := len(read(t, b, Normal, 0)); got < held || s.Damaged != 0 {
		t.Fatalf("%d records can be read, %d were acknowledged; stats %+v", got, held, s)
	}
}
