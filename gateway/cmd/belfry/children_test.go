package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const waitForChildren = 5 * time.Second

// children are the processes that a process started: Linux only, none elsewhere.
func children(parent int) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		before, after, _ := strings.Cut(string(text), " (")
		_, after, _ = strings.Cut(after, ") ")
		var pid, ppid int
		var state string
		if _, err := fmt.Sscan(before, &pid); err != nil {
			continue
		}
		if _, err := fmt.Sscan(after, &state, &ppid); err == nil && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// anyAlive says whether one of some processes is still there.
func anyAlive(pids []int) bool {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !strings.Contains(string(text), ") Z ") {
			return true
		}
	}
	return false
}
