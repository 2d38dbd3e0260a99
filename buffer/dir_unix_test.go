//go:build unix

package buffer

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Folders of tests are for their owner only, whatever the user's umask is.
func init() { syscall.Umask(0o022) }

func TestFolderThatOthersMayWriteToIsRefusedWithTheCommandThatHelps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "buffer")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o777, 0o770, 0o702, 0o1777 &^ 0o1000} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		b, err := Open(small(dir))
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "chmod go-w "+dir) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, small(dir))
}
