package config

import (
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"belfry/gateway/source"
)

// sourceForm is one entry of sources. Its kind knows the rest of its keys.
type sourceForm struct {
	path       string
	node       *yaml.Node
	name, kind string
}

func (s *sourceForm) readNode(d *document, path string, node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		d.wrong(path, node, "got "+describe(node)+", want a source", "name: ..., kind: ...")
		return
	}
	s.path, s.node = path, node
	if _, value, _ := child(node, "name"); value != nil {
		s.name, _ = d.text(path+".name", value)
	}
	if tokenForm.MatchString(s.name) {
		d.names[path] = "sources." + s.name
	}
	if _, value, _ := child(node, "kind"); value != nil {
		s.kind, _ = d.text(path+".kind", value)
	}
}

func (l *loader) makeSources(d *document, written *form) {
	if len(written.Sources) == 0 {
		d.at("sources", "missing: nothing would come in", "a list of sources, each with name and kind")
	}
	lines := map[string]int{}
	for _, entry := range written.Sources {
		if entry.node == nil {
			l.unnamed = true
			continue
		}
		l.makeSource(d, entry, lines)
	}
}

func (l *loader) makeSource(d *document, entry sourceForm, lines map[string]int) {
	name := d.name(entry.path+".name", entry.name)
	line := locate(d.root, entry.path+".name").Line
	if first, ok := lines[name]; ok && name != "" {
		d.at(entry.path+".name", fmt.Sprintf("a second source %q", name), fmt.Sprintf("the first is in line %d", first))
	}
	lines[name] = line
	if name == "" {
		l.unnamed = true
	} else {
		l.kinds[name] = entry.kind
	}
	if !slices.Contains(source.Kinds(), entry.kind) {
		d.at(entry.path+".kind", notA("kind of source", entry.kind), choices(entry.kind, source.Kinds()))
		return
	}
	env := source.Env{
		Name: name, Gateway: l.config.Gateway, Dir: l.dir, Log: l.env.Log.With("source", name), Network: l.config.Network,
	}
	var filled any
	made, err := source.New(entry.kind, env, func(options any) error {
		filled = options
		d.fill(entry.path, entry.node, options, "name", "kind")
		return nil // mistakes are reported; the constructor goes on to find its own
	})
	d.blame(entry.path, err, func(err error) (string, error) {
		if option, ok := errors.AsType[*source.OptionError](err); ok {
			return option.Key, option.Err
		}
		return "", err
	})
	if filled != nil {
		l.checkFiles(d, entry.path, filled)
	}
	if err == nil {
		l.config.Sources = append(l.config.Sources, made)
	}
}
