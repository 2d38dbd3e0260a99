package config

import (
	"errors"
	"fmt"
	"io/fs"

	"belfry/gateway/event"
	"belfry/gateway/secret"
)

const mainFile = "belfry.yaml"

// loadMain reads belfry.yaml.
func (l *loader) loadMain() {
	if !l.hasMain() {
		return
	}
	text, ok := readFile(l.folder, mainFile, l.report)
	if !ok {
		return
	}
	d := parseDocument(mainFile, text, l.report)
	if d == nil {
		return
	}
	written := defaults()
	d.fill("", d.root, &written)
	l.checkTown(d, &written)
	l.checkEventKey(d, written.EventKey)
	l.makeNetwork(d, &written.LoRaWAN)
	l.readKeys(d, written.LoRaWAN.Keys)
	l.makeSources(d, &written)
	l.checkNATS(d, written.NATS)
	l.config.Buffer = bufferOptions(d, &written.Buffer)
	l.config.Buffer.Dir = l.path(l.config.Buffer.Dir)
	l.config.Status = checkStatus(d, written.Status)
	l.config.Log = checkLog(d, written.Log)
}

// hasMain says whether belfry.yaml is there, and reports it if not. A belfry.yml is not it.
func (l *loader) hasMain() bool {
	const short = "belfry.yml"
	_, err := fs.Stat(l.folder, mainFile)
	_, errShort := fs.Stat(l.folder, short)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case missing && errShort == nil:
		l.report.add(Problem{File: short, Message: "this file would not be read", Hint: "call it " + mainFile})
	case missing:
		l.report.add(Problem{File: mainFile, Message: "no such file", Hint: "give the configuration folder with --config"})
	case errShort == nil:
		l.unread(short, "file", mainFile+" is", l.report)
	}
	return !missing
}

// checkEventKey reads the key of event ids, without which no event could have the same id again.
func (l *loader) checkEventKey(d *document, name string) {
	if name == "" {
		return
	}
	l.config.EventKeyFile = l.path(name)
	key, err := secret.Read(l.config.EventKeyFile)
	switch {
	case err != nil:
		d.at("event_key", err.Error(), secretHint(err))
	case len(key) < event.MinEventKey:
		d.at("event_key", fmt.Sprintf("%s: %d bytes are too short for a key", name, len(key)),
			fmt.Sprintf("at least %d: head -c 32 /dev/urandom | base64 > %s", event.MinEventKey, name))
	}
}
