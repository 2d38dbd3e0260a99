package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// document is one YAML file: its tree, where its mistakes go, and which keys already have one.
type document struct {
	file   string
	root   *yaml.Node
	report *report
	names  map[string]string // of list entries for messages, by key path: sources[1] is sources.bins
	faulty map[string]bool   // key paths; what follows from a reported mistake is not reported again
}

// parseDocument reads a file's one YAML document, a mapping. With nil there was a problem, which is reported.
func parseDocument(file string, text []byte, report *report) *document {
	d := &document{file: file, report: report, names: map[string]string{}, faulty: map[string]bool{}}
	var tree yaml.Node
	if err := yaml.Load(text, &tree); err != nil {
		d.syntaxError(text, err)
		return nil
	}
	if tree.Kind != yaml.DocumentNode || len(tree.Content) != 1 || tree.Content[0].Kind != yaml.MappingNode {
		report.add(Problem{File: file, Line: 1, Column: 1, Message: "not a list of keys with values", Hint: "key: value"})
		return nil
	}
	d.root = tree.Content[0]
	d.inspect(d.root)
	return d
}

func (d *document) syntaxError(text []byte, err error) {
	problem := Problem{File: d.file, Line: 1, Column: 1, Message: err.Error()}
	var load *yaml.LoadError
	if errors.As(err, &load) {
		problem.Message = strings.TrimPrefix(load.Message, "yaml: ")
		if problem.Message == "no documents in stream" {
			problem.Message = "nothing but comments in the file"
		}
		if load.ContextMark.Line > 0 && load.ContextMark.Line < load.Mark.Line {
			problem.Message = fmt.Sprintf("%s that begins in line %d: %s", load.ContextMsg, load.ContextMark.Line, problem.Message)
		}
		if load.Mark.Line > 0 {
			problem.Line, problem.Column = load.Mark.Line, load.Mark.Column
		} else if at := bytes.IndexFunc(text, isControl); at >= 0 {
			problem.Line, problem.Column = position(text, at)
		}
	}
	if problem.Column == 1 && firstByte(text, problem.Line) == '\t' {
		problem.Hint = "indent with spaces, not with tabs"
	} else if slices.ContainsFunc(openEnded, func(part string) bool { return strings.Contains(problem.Message, part) }) {
		problem.Hint = "put texts with : , { } or # in quotes, and close every quote"
	}
	d.report.add(problem)
}

// openEnded are parts of what the parser says when the cause may stand lines before the place.
var openEnded = []string{
	"did not find expected", "could not find expected", "unexpected end of stream", "mapping values are not allowed", "cannot start any token",
}

// firstByte returns the first byte of a line, 0 if there is none.
func firstByte(text []byte, line int) byte {
	for ; line > 1; line-- {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	if len(text) == 0 {
		return 0
	}
	return text[0]
}

func isControl(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }

// inspect reports what YAML allows and a configuration must not have: a key twice, aliases, tags.
func (d *document) inspect(node *yaml.Node) {
	switch {
	case node.Kind == yaml.AliasNode:
		d.problem(node, "the alias *"+node.Value, "write the value out: aliases are not supported")
		return
	case node.Style&yaml.TaggedStyle != 0:
		d.problem(node, "the tag "+node.Tag, "leave it out: tags are not supported")
	case node.Kind == yaml.MappingNode:
		d.inspectKeys(node)
	}
	for _, child := range node.Content {
		d.inspect(child)
	}
}

func (d *document) inspectKeys(node *yaml.Node) {
	lines := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode {
			d.problem(key, "a key must be a text", "")
			continue
		}
		if line, ok := lines[key.Value]; ok {
			d.problem(key, fmt.Sprintf("%q stands here again", key.Value), fmt.Sprintf("first in line %d", line))
			continue
		}
		lines[key.Value] = key.Line
	}
}

func (d *document) problem(node *yaml.Node, message, hint string) {
	d.report.add(Problem{File: d.file, Line: node.Line, Column: node.Column, Message: message, Hint: hint})
}

// wrong reports a mistake in the value of a key.
func (d *document) wrong(path string, node *yaml.Node, message, hint string) {
	d.faulty[path] = true
	if path != "" {
		message = d.shown(path) + ": " + message
	}
	d.problem(node, message, hint)
}

// shown is how messages write a key path: as the running program does, which knows sources by name.
func (d *document) shown(path string) string {
	entry, below, _ := strings.Cut(path, "]")
	if name, ok := d.names[entry+"]"]; ok {
		return name + below
	}
	return path
}

// at reports a mistake found in checked values, at the place of its key, unless the key already has one.
func (d *document) at(path, message, hint string) {
	if !d.isFaulty(path) {
		d.wrong(path, locate(d.root, path), message, hint)
	}
}

// blame reports what the owner of some options finds wrong in them. key returns the key of one of its errors, below path.
func (d *document) blame(path string, err error, key func(error) (string, error)) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, each := range joined.Unwrap() {
			d.blame(path, each, key)
		}
		return
	}
	below, cause := key(err)
	if below != "" && path != "" && below[0] != '[' {
		below = "." + below
	}
	d.at(path+below, cause.Error(), "")
}

// isFaulty says whether a key, or one that it stands in, already has a mistake.
func (d *document) isFaulty(path string) bool {
	for end := len(path); end > 0; end = strings.LastIndexAny(path[:end], ".[") {
		if d.faulty[path[:end]] {
			return true
		}
	}
	return false
}

// locate returns the node to point at for a key path ("sources[1].topics[0]"): its value, its key when the value has
// several lines, or the nearest thing round it when there is no such key.
func locate(node *yaml.Node, path string) *yaml.Node {
	place := node
	for path != "" {
		key, value, rest := child(node, path)
		if value == nil {
			return place
		}
		place, node, path = value, value, rest
		if key != nil && (value.Kind != yaml.ScalarNode || value.Value == "") {
			place = key
		}
	}
	return place
}

// child finds the part of a node that a path begins with, and the rest of the path.
func child(node *yaml.Node, path string) (key, value *yaml.Node, rest string) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			name := node.Content[i].Value
			after, ok := strings.CutPrefix(path, name)
			if ok && name != "" && (after == "" || after[0] == '.' || after[0] == '[') {
				return node.Content[i], node.Content[i+1], strings.TrimPrefix(after, ".")
			}
		}
	case yaml.SequenceNode:
		var index int
		if _, err := fmt.Sscanf(path, "[%d]", &index); err == nil && index >= 0 && index < len(node.Content) {
			_, after, _ := strings.Cut(path, "]")
			return nil, node.Content[index], strings.TrimPrefix(after, ".")
		}
	}
	return nil, nil, ""
}
