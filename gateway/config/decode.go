package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"belfry/decoders"
)

// nodeReader is a type that reads its own node, for what has several forms or must keep its place.
type nodeReader interface {
	readNode(d *document, path string, node *yaml.Node)
}

// fill sets target, a pointer to a struct with yaml tags, from a mapping. Fields without a key keep their values. Keys in
// others are known and left alone.
func (d *document) fill(path string, node *yaml.Node, target any, others ...string) {
	if node.Kind != yaml.MappingNode {
		d.fillValue(path, node, reflect.ValueOf(target).Elem())
		return
	}
	d.fillStruct(path, node, reflect.ValueOf(target).Elem(), others...)
}

func (d *document) fillStruct(path string, node *yaml.Node, target reflect.Value, others ...string) {
	fields := map[string]reflect.Value{}
	known := keysOf(target, fields)
	for _, other := range others {
		fields[other] = reflect.Value{}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		field, ok := fields[key.Value]
		switch {
		case ok && field.IsValid():
			d.fillValue(join(path, key.Value), value, field)
		case !ok && key.Kind == yaml.ScalarNode:
			d.unknownKey(path, key, append(others, known...))
		}
	}
}

func (d *document) unknownKey(path string, key *yaml.Node, known []string) {
	near := suggest(key.Value, known)
	d.faulty[join(path, key.Value)] = true
	if near == "" {
		d.problem(key, fmt.Sprintf("unknown key %q", key.Value), "known here: "+strings.Join(known, ", "))
		return
	}
	d.faulty[join(path, near)] = true
	d.problem(key, fmt.Sprintf("unknown key %q", key.Value), fmt.Sprintf("did you mean %q?", near))
}

// keysOf lists the keys of a struct in the order of its fields, and fills in which field each is.
func keysOf(target reflect.Value, fields map[string]reflect.Value) []string {
	var keys []string
	for i := range target.NumField() {
		name, options, _ := strings.Cut(target.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			keys = append(keys, keysOf(target.Field(i), fields)...)
		case name != "" && name != "-":
			keys = append(keys, name)
			fields[name] = target.Field(i)
		}
	}
	return keys
}

func (d *document) fillValue(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind == yaml.AliasNode || node.Style&yaml.TaggedStyle != 0 {
		d.faulty[path] = true // reported by inspect
		return
	}
	switch v := target.Addr().Interface().(type) {
	case nodeReader:
		v.readNode(d, path, node)
	case *time.Duration:
		scalar(d, path, node, v, durationOf)
	case *time.Time:
		scalar(d, path, node, v, timeOf)
	case *decoders.Value:
		scalar(d, path, node, v, valueOf)
	case encoding.TextUnmarshaler:
		if text, ok := d.text(path, node); ok {
			if err := v.UnmarshalText([]byte(text)); err != nil {
				d.wrong(path, node, err.Error(), "")
			}
		}
	default:
		d.fillKind(path, node, target)
	}
}

func (d *document) fillKind(path string, node *yaml.Node, target reflect.Value) {
	switch target.Kind() {
	case reflect.Struct:
		if d.want(path, node, yaml.MappingNode) {
			d.fillStruct(path, node, target)
		}
	case reflect.Map:
		if d.want(path, node, yaml.MappingNode) {
			d.fillMap(path, node, target)
		}
	case reflect.Slice:
		if d.want(path, node, yaml.SequenceNode) {
			d.fillSlice(path, node, target)
		}
	case reflect.Pointer:
		if node.ShortTag() != "!!null" {
			target.Set(reflect.New(target.Type().Elem()))
			d.fillValue(path, node, target.Elem())
		}
	case reflect.String:
		if text, ok := d.text(path, node); ok {
			target.SetString(text)
		}
	default:
		d.fillNumber(path, node, target)
	}
}

func (d *document) fillMap(path string, node *yaml.Node, target reflect.Value) {
	target.Set(reflect.MakeMap(target.Type()))
	for i := 0; i+1 < len(node.Content); i += 2 {
		value := reflect.New(target.Type().Elem()).Elem()
		d.fillValue(join(path, node.Content[i].Value), node.Content[i+1], value)
		target.SetMapIndex(reflect.ValueOf(node.Content[i].Value).Convert(target.Type().Key()), value)
	}
}

func (d *document) fillSlice(path string, node *yaml.Node, target reflect.Value) {
	target.Set(reflect.MakeSlice(target.Type(), len(node.Content), len(node.Content)))
	for i, element := range node.Content {
		d.fillValue(path+"["+strconv.Itoa(i)+"]", element, target.Index(i))
	}
}

// want says whether a node is of a kind. A key without a value is not, but no mistake either: its defaults stay.
func (d *document) want(path string, node *yaml.Node, kind yaml.Kind) bool {
	if node.Kind == kind {
		return true
	}
	if node.ShortTag() != "!!null" {
		d.wrong(path, node, "got "+describe(node)+", want "+kindNames[kind], "")
	}
	return false
}

var kindNames = map[yaml.Kind]string{yaml.MappingNode: "keys with values", yaml.SequenceNode: "a list"}

func describe(node *yaml.Node) string {
	if name, ok := kindNames[node.Kind]; ok {
		return name
	}
	if node.ShortTag() == "!!null" {
		return "nothing"
	}
	return strconv.Quote(node.Value)
}

func join(path, key string) string {
	if path == "" || key == "" {
		return path + key
	}
	return path + "." + key
}
