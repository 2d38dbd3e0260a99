package forward_test

import (
	"os"
	"testing"

	"belfry/gateway/demo"
)

// storeCopy is the folder of a stopped server as it was.
type storeCopy struct{ original, copy string }

func copyOf(t testing.TB, s *demo.NATS) storeCopy {
	t.Helper()
	c := storeCopy{original: s.Dir(), copy: t.TempDir()}
	if err := os.CopyFS(c.copy, os.DirFS(c.original)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c storeCopy) restore(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(c.original); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(c.original, os.DirFS(c.copy)); err != nil {
		t.Fatal(err)
	}
}
