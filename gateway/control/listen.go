package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

const (
	socketName = "control"
	socketMode = 0o600
	maxAddress = 107 // bytes of the path of a unix socket, without the zero at its end
)

// address returns a path for the socket in a folder that is short enough to be bound or dialled. release must be called
// after that, and not before.
func address(dir string) (path string, release func(), err error) {
	path = filepath.Join(dir, socketName)
	if len(path) <= maxAddress {
		return path, func() {}, nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), socketName), func() { _ = folder.Close() }, nil
}

// listen binds the socket of a folder. The caller has the buffer in it open, so a socket that is there belongs to a
// process that is gone.
func listen(ctx context.Context, dir string) (net.Listener, error) {
	if err := removeSocket(dir); err != nil {
		return nil, err
	}
	path, release, err := address(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	// On Linux a socket file gets the mode of the socket: it is never there with another.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return raw.Control(restrict) }}
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // the path may be of a descriptor that is closed by then
	if err := os.Chmod(filepath.Join(dir, socketName), socketMode); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// removeSocket removes the socket in a folder; what is no socket is left alone.
func removeSocket(dir string) error {
	path := filepath.Join(dir, socketName)
	stat, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if stat.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the way and is no socket (move it away)", path)
	}
	return os.Remove(path)
}
