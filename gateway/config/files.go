package config

import (
	"errors"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"belfry/gateway/secret"
)

// secretKeys are the keys of secret files whose names do not end in "_file".
var secretKeys = []string{"credentials", "nkey_seed"}

// checkFiles looks at the files that options name: secret.TLS, secret.ServerTLS, and every text whose key says that it is a secret file.
// A secret that others can read stops the start; a file that cannot be read is left to who needs it.
func (l *loader) checkFiles(d *document, path string, options any) {
	l.checkFilesOf(d, path, reflect.ValueOf(options).Elem())
}

func (l *loader) checkFilesOf(d *document, path string, options reflect.Value) {
	switch tls := options.Interface().(type) {
	case secret.TLS:
		l.checkTLS(d, path, tls)
		return
	case secret.ServerTLS:
		l.checkServerTLS(d, path, tls)
		return
	}
	for i := range options.NumField() {
		field := options.Field(i)
		if !options.Type().Field(i).IsExported() {
			continue
		}
		key, _, _ := strings.Cut(options.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case field.Kind() == reflect.Struct:
			l.checkFilesOf(d, join(path, key), field)
		case field.Kind() == reflect.String && (strings.HasSuffix(key, "_file") || slices.Contains(secretKeys, key)):
			l.checkSecret(d, join(path, key), field.String())
		}
	}
}

func (l *loader) checkSecret(d *document, path, name string) {
	if name == "" || d.isFaulty(path) {
		return
	}
	if err := secret.Check(l.path(name)); err != nil {
		d.tolerate(path, err, secretHint(err))
	}
}

// secretHint says how to make a secret that is missing.
func secretHint(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "make it with mode 0600"
	}
	return ""
}

func (l *loader) checkTLS(d *document, path string, tls secret.TLS) {
	if tls == (secret.TLS{}) {
		return
	}
	if (tls.Cert == "") != (tls.Key == "") {
		d.at(path, "cert and key go together", "give both or none")
		return
	}
	l.checkPEM(d, path, map[string]string{"ca": tls.CA, "cert": tls.Cert}, tls.Key, func() error {
		_, err := tls.Config(l.dir)
		return err
	})
}

// checkServerTLS leaves what is wrong with the names to the constructor of the options.
func (l *loader) checkServerTLS(d *document, path string, tls secret.ServerTLS) {
	if tls == (secret.ServerTLS{}) || tls.Check() != nil {
		return
	}
	l.checkPEM(d, path, map[string]string{"cert": tls.Cert, "client_ca": tls.ClientCA}, tls.Key, func() error {
		_, err := tls.Config(l.dir)
		return err
	})
}

// checkPEM looks at the files of a TLS end, by their keys, and at its private key; whole then tries all of them together.
func (l *loader) checkPEM(d *document, path string, files map[string]string, private string, whole func() error) {
	readable := true
	for key, name := range files {
		if name == "" {
			continue
		}
		if _, err := os.ReadFile(l.path(name)); err != nil {
			d.tolerate(join(path, key), err, "")
			readable = false
		}
	}
	l.checkSecret(d, join(path, "key"), private)
	if !readable || d.isFaulty(join(path, "key")) {
		return
	}
	if err := whole(); err != nil {
		d.tolerate(path, err, "")
	}
}

// tolerate reports a file that cannot be used; only an exposed secret is fatal.
func (d *document) tolerate(path string, err error, hint string) {
	d.faulty[path] = true
	place := locate(d.root, path)
	d.report.add(Problem{
		File: d.file, Line: place.Line, Column: place.Column, Message: d.shown(path) + ": " + err.Error(), Hint: hint,
		Tolerable: !errors.Is(err, secret.ErrExposed),
	})
}
