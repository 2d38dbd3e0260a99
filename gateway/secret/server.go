package secret

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// ServerTLS names the files of a TLS server, relative to the configuration folder. The zero ServerTLS is no TLS.
type ServerTLS struct {
	Cert     string `yaml:"cert"`      // PEM file of the server's certificate, and those between it and the authority
	Key      string `yaml:"key"`       // PEM file of its private key, mode 0600
	ClientCA string `yaml:"client_ca"` // PEM file of the authorities whose certificates clients must have; "" for none
}

// Check says what is wrong with the names. The files are not looked at.
func (t ServerTLS) Check() error {
	if (t.Cert == "") != (t.Key == "") {
		return errors.New("cert and key go together")
	}
	if t.ClientCA != "" && t.Cert == "" {
		return errors.New("client_ca needs cert and key")
	}
	return nil
}

// Config reads the files and returns a configuration for TLS 1.2 and above.
func (t ServerTLS) Config(dir string) (*tls.Config, error) {
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	pair, err := readPair(dir, t.Cert, t.Key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if t.ClientCA != "" {
		if config.ClientCAs, err = readAuthorities("tls.client_ca", Path(dir, t.ClientCA)); err != nil {
			return nil, err
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

func readPair(dir, certName, keyName string) (pair tls.Certificate, err error) {
	cert, err := os.ReadFile(Path(dir, certName))
	if err != nil {
		return pair, fmt.Errorf("tls.cert: %w", err)
	}
	key, err := Read(Path(dir, keyName))
	if err != nil {
		return pair, fmt.Errorf("tls.key: %w", err)
	}
	pair, err = tls.X509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("tls.cert %s, tls.key %s: %w", certName, keyName, err)
	}
	return pair, nil
}

func readAuthorities(key, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s: no PEM certificate in it", key, path)
	}
	return pool, nil
}
