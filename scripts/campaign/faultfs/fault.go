package faultfs

import (
	"slices"
	"syscall"
	"time"
)

// Fault is what goes wrong, and when.
type Fault struct {
	At    Kind          // which operations are counted
	Nth   int           // the fault begins with this one, counted from 1
	Kinds []Kind        // which operations fail from then on; nil: those of At
	Times int           // how many of them fail; 0: all
	Errno syscall.Errno // what they fail with; 0: they do not
	Delay time.Duration // how long they take
	Torn  bool          // the first half of a write that fails is written
}

// Arm sets what goes wrong from now on, in place of what was set before. The zero Fault is none.
func (f *FS) Arm(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault.Kinds == nil {
		fault.Kinds = []Kind{fault.At}
	}
	f.fault, f.armed, f.fired = fault, fault.Nth > 0, 0
	clear(f.seen)
}

// Fired returns how many operations failed or were held up since Arm.
func (f *FS) Fired() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// Seen returns how many operations of a kind there were since Arm.
func (f *FS) Seen(kind Kind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[kind]
}

// strike counts an operation and returns what it fails with, 0 if it does not. The caller holds mu.
func (f *FS) strike(kind Kind) syscall.Errno {
	if kind == Note {
		return 0
	}
	f.seen[kind]++
	if f.armed && f.fault.Delay == 0 && f.hit(kind) {
		return f.fault.Errno
	}
	return 0
}

// hit says whether the fault is about this operation, and counts it. The caller holds mu.
func (f *FS) hit(kind Kind) bool {
	if f.seen[f.fault.At] < f.fault.Nth || f.fault.Times > 0 && f.fired >= f.fault.Times || !slices.Contains(f.fault.Kinds, kind) {
		return false
	}
	f.fired++
	return true
}

// delay waits, while other operations go on.
func (f *FS) delay(kind Kind) {
	f.mu.Lock()
	var wait time.Duration
	if f.armed && f.fault.Delay > 0 {
		f.seen[kind]++ // it is in time that an operation begins
		if f.hit(kind) {
			wait = f.fault.Delay
		}
		f.seen[kind]--
	}
	f.mu.Unlock()
	time.Sleep(wait)
}
