// Package secret reads key files and certificates, and refuses those that others could have read or swapped.
package secret

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// ErrExposed says that a secret file is readable by others or is a symbolic link.
var ErrExposed = errors.New("exposed secret")

const (
	maxSecret = 64 << 10 // bytes
	maxTable  = 16 << 20 // bytes
)

// Read returns the content of a secret file without trailing line ends. The file must be a regular file of mode 0600 or
// stricter, owned by this process's user or root, not empty and at most 64 KiB.
func Read(path string) ([]byte, error) {
	content, err := read(path, maxSecret)
	if err != nil {
		return nil, err
	}
	content = bytes.TrimRight(content, "\r\n")
	if len(content) == 0 {
		return nil, fmt.Errorf("%s: empty secret file", path)
	}
	return content, nil
}

// ReadTable is Read for a file with the secrets of many devices: at most 16 MiB, and all of its content.
func ReadTable(path string) ([]byte, error) {
	content, err := read(path, maxTable)
	if err == nil && len(bytes.TrimSpace(content)) == 0 {
		return nil, fmt.Errorf("%s: empty secret file", path)
	}
	return content, err
}

// Check says whether Read would work, without keeping what it reads.
func Check(path string) error {
	_, err := Read(path)
	return err
}

func read(path string, limit int) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) // O_NONBLOCK: a pipe must not hang us
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s: %w: it is a symbolic link (put the file itself there)", path, ErrExposed)
	}
	if err != nil {
		return nil, err // names the path
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w: mode %04o lets others read it (run: chmod 600 %s)", path, ErrExposed, mode, path)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s: %w: it belongs to user %d (run: chown to the user of belfry)", path, ErrExposed, owner.Uid)
	}
	content, err := io.ReadAll(io.LimitReader(file, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(content) > limit {
		return nil, fmt.Errorf("%s: larger than %s, not a secret file", path, map[int]string{maxSecret: "64 KiB", maxTable: "16 MiB"}[limit])
	}
	return content, nil
}

// TLS names the files of a TLS client, relative to the configuration folder. The zero TLS trusts the system's authorities.
type TLS struct {
	CA         string `yaml:"ca"`          // PEM file of the only authorities to trust
	Cert       string `yaml:"cert"`        // PEM file of the client certificate
	Key        string `yaml:"key"`         // PEM file of its private key, mode 0600
	ServerName string `yaml:"server_name"` // name to expect in the server's certificate, when not the host's
}

// Config reads the files and returns a configuration for TLS 1.2 and above.
func (t TLS) Config(dir string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	var err error
	if t.CA != "" {
		if config.RootCAs, err = readAuthorities("tls.ca", Path(dir, t.CA)); err != nil {
			return nil, err
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("tls: cert and key go together")
	}
	if t.Cert != "" {
		pair, err := readPair(dir, t.Cert, t.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Path returns name as it is when absolute, else below dir.
func Path(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
