package forward_test

import (
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// authority issues what nsc would: an operator, an account with JetStream, users.
type authority struct {
	t                 testing.TB
	operator, account nkeys.KeyPair
	system            nkeys.KeyPair
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	var err error
	if a.operator, err = nkeys.CreateOperator(); err != nil {
		t.Fatal(err)
	}
	if a.account, err = nkeys.CreateAccount(); err != nil {
		t.Fatal(err)
	}
	if a.system, err = nkeys.CreateAccount(); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) public(pair nkeys.KeyPair) string {
	a.t.Helper()
	public, err := pair.PublicKey()
	if err != nil {
		a.t.Fatal(err)
	}
	return public
}

// sign makes a token of claims.
func (a *authority) sign(by nkeys.KeyPair, subject, name string, expires time.Duration, claims map[string]any) string {
	a.t.Helper()
	claims["version"] = 2
	token := map[string]any{"iat": time.Now().Unix(), "iss": a.public(by), "name": name, "sub": subject, "nats": claims}
	if expires > 0 {
		token["exp"] = time.Now().Add(expires).Unix()
	}
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			a.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	sum := sha512.Sum512_256(fmt.Append(nil, token))
	token["jti"] = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])
	text := encode(map[string]string{"typ": "JWT", "alg": "ed25519-nkey"}) + "." + encode(token)
	signature, err := by.Sign([]byte(text))
	if err != nil {
		a.t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// configure has a server trust the authority.
func (a *authority) configure(o *server.Options) {
	resolver := &server.MemAccResolver{}
	limits := map[string]any{
		"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
		"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
	}
	plain := map[string]any{"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1}
	for _, account := range []struct {
		pair   nkeys.KeyPair
		name   string
		limits map[string]any
	}{{a.account, "town", limits}, {a.system, "SYS", plain}} {
		public := a.public(account.pair)
		token := a.sign(a.operator, public, account.name, 0, map[string]any{"type": "account", "limits": account.limits})
		if err := resolver.Store(public, token); err != nil {
			a.t.Error(err)
		}
	}
	o.TrustedKeys = []string{a.public(a.operator)}
	o.AccountResolver = resolver
	o.SystemAccount = a.public(a.system)
	o.NoSystemAccount = false
}

// credentials is a .creds file of a new user.
func (a *authority) credentials(expires time.Duration) []byte {
	a.t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		a.t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		a.t.Fatal(err)
	}
	token := a.sign(a.account, a.public(user), "belfry", expires, map[string]any{"type": "user", "subs": -1, "data": -1, "payload": -1})
	return fmt.Appendf(nil, "-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"+
		"-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", token, seed)
}

// F69: credentials expire while connected, the server refuses them again and again, and the renewed file is taken up.
func TestExpiredCredentialsAreNamedAndTakenUpOnceRenewed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := startServer(t, a.configure)
	o := options(s.URL())
	o.Dir, o.Credentials = t.TempDir(), "nats.creds"
	writeSecret(t, o, "admin.creds", a.credentials(0))
	js := dial(t, s.URL(), nats.UserCredentials(o.Dir+"/admin.creds"))
	makeStream(t, js, townStream())
	writeSecret(t, o, "nats.creds", a.credentials(3*time.Second))
	m := newMemory()
	fill(m, 100, 10)
	r := start(t, o, m)
	waitPublished(t, m)
	r.waitSaid("nats.credentials", "refused the login")
	fill(m, 100, 10)
	time.Sleep(2 * time.Second) // the client library would give up at the second refusal
	if got := lastSeq(t, js); got != 100 {
		t.Errorf("%d messages on the stream with expired credentials, want 100", got)
	}
	renewed := a.credentials(time.Hour)
	writeSecret(t, o, "nats.creds", renewed)
	waitPublished(t, m)
	onceInOrder(t, js, m)
	wait(t, r.isReady, func() string { return "not ready with the renewed credentials" })
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.all {
		if strings.Contains(text, "BEGIN") || strings.Contains(text, "eyJ") {
			t.Errorf("credentials are in %q", text)
		}
	}
}
