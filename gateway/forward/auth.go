package forward

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"belfry/gateway/secret"
)

// auth returns how to log in. Files are read again at each connect, so that a renewed one is taken up by itself.
func (o Options) auth() ([]nats.Option, error) {
	switch {
	case o.Credentials != "":
		path := secret.Path(o.Dir, o.Credentials)
		return []nats.Option{nats.UserJWT(
			func() (string, error) {
				content, err := secret.Read(path)
				if err != nil {
					return "", err
				}
				return nkeys.ParseDecoratedJWT(content)
			},
			func(nonce []byte) ([]byte, error) { return sign(path, nkeys.ParseDecoratedNKey, nonce) },
		)}, nil
	case o.NkeySeed != "":
		path := secret.Path(o.Dir, o.NkeySeed)
		public, err := publicKey(path)
		if err != nil {
			return nil, fmt.Errorf("nats.nkey_seed: %w", err)
		}
		return []nats.Option{nats.Nkey(public, func(nonce []byte) ([]byte, error) { return sign(path, nkeys.FromSeed, nonce) })}, nil
	case o.User != "":
		return []nats.Option{nats.UserInfoHandler(func() (string, string) { return o.User, o.readSecret("password_file", o.PasswordFile) })}, nil
	case o.TokenFile != "":
		return []nats.Option{nats.TokenHandler(func() string { return o.readSecret("token_file", o.TokenFile) })}, nil
	}
	return nil, nil
}

// readSecret logs an unreadable file, since the client library has no way to hear of it; the server then refuses us.
func (o Options) readSecret(key, name string) string {
	content, err := secret.Read(secret.Path(o.Dir, name))
	if err != nil {
		o.Log.Warn("no secret for NATS", "err", fmt.Errorf("nats.%s: %w", key, err))
	}
	return string(content)
}

func publicKey(path string) (string, error) {
	seed, err := secret.Read(path)
	if err != nil {
		return "", err
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	defer pair.Wipe()
	return pair.PublicKey()
}

func sign(path string, parse func([]byte) (nkeys.KeyPair, error), nonce []byte) ([]byte, error) {
	content, err := secret.Read(path)
	if err != nil {
		return nil, err
	}
	pair, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer pair.Wipe()
	return pair.Sign(nonce)
}
