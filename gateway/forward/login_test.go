package forward_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"belfry/gateway/forward"
)

func newNkey(t testing.TB) (public string, seed []byte) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	if seed, err = pair.Seed(); err != nil {
		t.Fatal(err)
	}
	return public, seed
}

func writeSecret(t testing.TB, o forward.Options, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(o.Dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNewNkeySeedIsTakenUpWhileTheOldIsRefused(t *testing.T) {
	t.Parallel()
	public, seed := newNkey(t)
	_, old := newNkey(t)
	s := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{admin}
		o.Nkeys = []*server.NkeyUser{{Nkey: public}}
	})
	js := dial(t, s.URL(), nats.UserInfo("admin", "admin"))
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 100, 10)
	o := options(s.URL())
	o.Dir, o.NkeySeed = t.TempDir(), "seed"
	r := start(t, o, m)
	r.waitSaid("nats.nkey_seed", "seed") // there is no file yet
	writeSecret(t, o, "seed", old)
	r.waitSaid("nats.nkey_seed", "refused the login")
	writeSecret(t, o, "seed", seed)
	waitPublished(t, m)
	onceInOrder(t, js, m)
}

func TestTokenIsReadFromItsFile(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.Authorization = "a-token" })
	js := dial(t, s.URL(), nats.Token("a-token"))
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 10, 10)
	o := options(s.URL())
	o.Dir, o.TokenFile = t.TempDir(), "token"
	writeSecret(t, o, "token", []byte("a-token\n"))
	start(t, o, m)
	waitPublished(t, m)
	onceInOrder(t, js, m)
}
