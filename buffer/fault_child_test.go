package buffer

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// faultDir tells a copy of the test binary to be the process that meets the fault, and where its buffer is.
const faultDir = "BUFFER_FAULT_DIR"

// TestFaultChild is that process: it appends records one by one and says what was acknowledged.
func TestFaultChild(t *testing.T) {
	dir := os.Getenv(faultDir)
	if dir == "" {
		t.Skip("is run by other tests, in a process of its own")
	}
	b, err := Open(small(dir))
	if err != nil {
		fmt.Println("refused", err)
		return
	}
	for i := range 30 {
		text := fmt.Sprintf("%d%01000d", i, 0)
		if _, err := put(t, b, one(Normal, text)); err != nil {
			fmt.Println("failed", i, err)
			continue
		}
		fmt.Println("held", i)
	}
	if err := b.Close(); err != nil {
		fmt.Println("close", err)
	}
}

// faultChild returns the command of that process, after the words of another program that is to run it.
func faultChild(dir string, before ...string) *exec.Cmd {
	words := append(before, os.Args[0], "-test.run=^TestFaultChild$")
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), faultDir+"="+dir)
	return cmd
}

// said returns what followed a word on the lines of a child.
func said(output, word string) (lines []string) {
	for line := range strings.Lines(output) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), word+" "); ok {
			lines = append(lines, rest)
		}
	}
	return lines
}
