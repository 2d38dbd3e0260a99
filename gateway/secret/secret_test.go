package secret

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnlyFilesOfTheirOwnerAreRead(t *testing.T) {
	for _, c := range []struct {
		mode    os.FileMode
		exposed bool
	}{
		{0o600, false}, {0o400, false}, {0o700, false},
		{0o640, true}, {0o604, true}, {0o644, true}, {0o660, true}, {0o620, true}, {0o602, true}, {0o777, true},
	} {
		got, err := Read(write(t, "hush\r\n", c.mode))
		if c.exposed {
			if !errors.Is(err, ErrExposed) || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("mode %04o: got %v, want ErrExposed with the remedy", c.mode, err)
			}
		} else if err != nil || string(got) != "hush" {
			t.Errorf("mode %04o: got %q, %v, want the secret without its line end", c.mode, got, err)
		}
	}
}

func TestSymbolicLinkIsRefused(t *testing.T) {
	path := write(t, "hush", 0o600)
	link := path + "-link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(link); !errors.Is(err, ErrExposed) {
		t.Errorf("got %v, want ErrExposed", err)
	}
}

func TestWhatIsNoSecretFileIsNamed(t *testing.T) {
	if _, err := Read(write(t, "\n", 0o600)); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty file: got %v", err)
	}
	if _, err := Read(write(t, strings.Repeat("x", maxSecret+1), 0o600)); err == nil || !strings.Contains(err.Error(), "64 KiB") {
		t.Errorf("large file: got %v", err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v", err)
	}
	if _, err := Read(t.TempDir()); err == nil {
		t.Error("a folder is read")
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(pipe); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("pipe: got %v, want an error at once", err)
	}
}

// TestTableIsReadWithTheSameChecks has more than fits into one secret; its limit is exact.
func TestTableIsReadWithTheSameChecks(t *testing.T) {
	content := strings.Repeat("x", maxTable-1) + "\n"
	if got, err := ReadTable(write(t, content, 0o600)); err != nil || string(got) != content {
		t.Errorf("largest table: got %d bytes, %v", len(got), err)
	}
	if _, err := ReadTable(write(t, content+"\n", 0o600)); err == nil || !strings.Contains(err.Error(), "16 MiB") {
		t.Errorf("too large: got %v", err)
	}
	if _, err := ReadTable(write(t, "hush", 0o640)); !errors.Is(err, ErrExposed) {
		t.Errorf("mode 0640: got %v, want ErrExposed", err)
	}
	if _, err := ReadTable(write(t, " \n\n", 0o600)); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty table: got %v", err)
	}
}

func TestTLSNamesTheFileThatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("no PEM"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tls  TLS
		want string
	}{
		{TLS{CA: "none.pem"}, "tls.ca: "},
		{TLS{CA: "ca.pem"}, "ca.pem: no PEM certificate"},
		{TLS{Cert: "a.pem"}, "cert and key go together"},
		{TLS{Cert: "none.pem", Key: "none.key"}, "tls.cert: "},
		{TLS{Cert: "ca.pem", Key: "none.key"}, "tls.key: "},
	} {
		if _, err := c.tls.Config(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.tls, err, c.want)
		}
	}
	config, err := TLS{ServerName: "broker"}.Config(dir)
	if err != nil || config.MinVersion < 0x0303 || config.InsecureSkipVerify || config.ServerName != "broker" {
		t.Errorf("got %+v, %v, want TLS 1.2 at least, checked", config, err)
	}
}

func TestServerTLSNamesTheFileThatIsWrong(t *testing.T) {
	junk, exposed := write(t, "no PEM", 0o600), write(t, "no PEM", 0o644)
	for want, names := range map[string]ServerTLS{
		"tls: cert and key go together":          {Cert: junk},
		"tls: client_ca needs cert and key":      {ClientCA: junk},
		"tls.cert: open ":                        {Cert: "none", Key: junk},
		"tls.key: open ":                         {Cert: junk, Key: "none"},
		"tls.key: " + exposed:                    {Cert: junk, Key: exposed},
		"tls.cert " + junk + ", tls.key " + junk: {Cert: junk, Key: junk},
	} {
		if _, err := names.Config(t.TempDir()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
