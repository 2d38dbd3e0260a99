package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"belfry/gateway/secret"
)

// eventKey returns the key that event ids are made with: the configured file, else one in the buffer's folder, which is
// made at the first start.
func eventKey(configured, bufferDir string) ([]byte, error) {
	path := eventKeyPath(configured, bufferDir)
	key, err := secret.Read(path)
	if err != nil && configured != "" {
		return nil, fmt.Errorf("event_key: %w", err)
	}
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("buffer.dir: %w", err)
	}
	if err := makeEventKey(path); err != nil {
		return nil, fmt.Errorf("buffer.dir: %w (make the folder for the user that runs belfry: install -d -m 700 -o USER %s)", err, bufferDir)
	}
	return secret.Read(path)
}

func eventKeyPath(configured, bufferDir string) string {
	if configured != "" {
		return configured
	}
	return filepath.Join(bufferDir, "event.key")
}

// makeEventKey writes a new key so that after a power cut the file is whole or absent.
func makeEventKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(hex.EncodeToString(key[:]) + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
