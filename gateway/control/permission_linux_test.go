package control

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestOtherUsersAreTurnedAwayWithWhatToDo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	dir := t.TempDir()
	serve(t, dir, store(t, dir))
	result := make(chan error, 1)
	go func() { // on a thread of its own, which ends with the goroutine: the user is the thread's
		runtime.LockOSThread()
		if err := syscall.Setfsuid(65534); err != nil {
			result <- err
			return
		}
		client, err := Dial(t.Context(), dir)
		if err == nil {
			client.Close()
		}
		result <- err
	}()
	if err := <-result; !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "as the user that runs belfry") {
		t.Errorf("another user got %v", err)
	}
}
