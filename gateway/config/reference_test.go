package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"belfry/gateway/source"
)

const reference = "../../configs/reference.yaml"

func TestFilesToCopyLoad(t *testing.T) {
	for _, name := range []string{"belfry.yaml", "reference.yaml", "demo/belfry.yaml"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "belfry.yaml"), readText(t, filepath.Join("../../configs", name)))
			write(t, filepath.Join(dir, "sensors/bins.csv"), "id,device,model\nBAC-0001,0012000000000012,dingtek-df702\n")
			if _, problems := Load(dir, Env{}); len(problems) > 0 {
				t.Errorf("problems:\n%s", problems)
			}
		})
	}
	if config, problems := Load("../../configs", Env{}); config == nil || len(problems) != 1 || problems[0].Message != "no sensor" {
		t.Errorf("the folder itself has problems:\n%s", problems)
	}
}

// behindHash is a key that the reference has behind a # because it has no default; prose has a blank and a capital.
var behindHash = regexp.MustCompile(`(?m)^(\s*)#((  )*[a-z0-9_]+:( |$))`)

// TestReferenceHasEveryKey compares the keys of the reference, those behind a # too, with those of the structs.
func TestReferenceHasEveryKey(t *testing.T) {
	text := behindHash.ReplaceAllString(readText(t, reference), "$1$2")
	d := parseDocument("reference.yaml", []byte(text), newReport())
	if d == nil {
		t.Fatal("not YAML once the keys behind a # are there")
	}
	got := keysOfNode(d.root, "")
	want := keysOfType(reflect.TypeFor[form](), "")
	for _, kind := range source.Kinds() {
		below := "sources[" + kind + "]"
		want = append(want, below+".name", below+".kind")
		want = append(want, keysOfType(reflect.TypeOf(optionsOf(t, kind)).Elem(), below)...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("keys (-structs +reference):\n%s", diff)
	}
}

// TestReferenceStatesTheDefaults fills forms that have the defaults from the reference and compares before and after.
func TestReferenceStatesTheDefaults(t *testing.T) {
	report := newReport()
	d := parseDocument("reference.yaml", []byte(readText(t, reference)), report)
	want, got := defaults(), defaults()
	d.fill("", d.root, &got)
	want.Gateway, want.Town, want.Sources, want.NATS.Servers, want.NATS.Stream = got.Gateway, got.Town, got.Sources, got.NATS.Servers, got.NATS.Stream
	if !reflect.DeepEqual(want, got) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if len(got.Sources) != len(source.Kinds()) {
		t.Errorf("got %d sources, want one of each kind of %v", len(got.Sources), source.Kinds())
	}
	required := []string{"server", "topics", "application", "listen", "gateways"}
	for _, entry := range got.Sources {
		env := source.Env{Name: entry.name, Gateway: got.Gateway}
		_, err := source.New(entry.kind, env, func(options any) error {
			before := reflect.New(reflect.TypeOf(options).Elem()).Elem()
			before.Set(reflect.ValueOf(options).Elem())
			d.fill(entry.path, entry.node, options, "name", "kind")
			fields, fieldsBefore := map[string]reflect.Value{}, map[string]reflect.Value{}
			keysOf(reflect.ValueOf(options).Elem(), fields)
			for _, key := range keysOf(before, fieldsBefore) {
				stated, is := fields[key].Interface(), fieldsBefore[key].Interface()
				if !slices.Contains(required, key) && !reflect.DeepEqual(stated, is) {
					t.Errorf("source %s: %s is stated as %v, the default is %v", entry.kind, key, stated, is)
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("source %s: %v", entry.kind, err)
		}
	}
	if len(report.problems) > 0 {
		t.Errorf("problems: %v", report.problems)
	}
}

func TestEveryKeyOfTheReferenceHasAComment(t *testing.T) {
	lines := strings.Split(readText(t, reference), "\n")
	key := regexp.MustCompile(`^\s*#?(- )?[a-z0-9_]+: \S`)
	for i, line := range lines {
		if !key.MatchString(line) {
			continue
		}
		above := strings.TrimSpace(lines[max(i-1, 0)])
		if !strings.HasPrefix(above, "# ") {
			t.Errorf("reference.yaml:%d: no comment above %q", i+1, strings.TrimSpace(line))
		}
	}
}

// optionsOf returns the options of a kind of source as its constructor hands them over to be filled: with the defaults.
func optionsOf(t *testing.T, kind string) (options any) {
	t.Helper()
	_, _ = source.New(kind, source.Env{Name: "source", Gateway: "gateway"}, func(o any) error {
		options = o
		return errors.New("seen enough")
	})
	if options == nil {
		t.Fatalf("source %s does not read its options", kind)
	}
	return options
}

// keysOfType lists the key paths of a form: those that have a value, not those that only hold others.
func keysOfType(typ reflect.Type, path string) []string {
	var keys []string
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		element := field.Type
		if element.Kind() == reflect.Slice {
			element = element.Elem()
		}
		switch {
		case name == "-" || name == "" && options == "" || element == reflect.TypeFor[sourceForm]():
		case element.Kind() == reflect.Struct:
			keys = append(keys, keysOfType(element, join(path, name))...)
		default:
			keys = append(keys, join(path, name))
		}
	}
	return keys
}

// keysOfNode is the same for what is written. Lists have no index; entries of sources have their kind instead.
func keysOfNode(node *yaml.Node, path string) []string {
	var keys []string
	switch {
	case node.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			keys = append(keys, keysOfNode(node.Content[i+1], join(path, node.Content[i].Value))...)
		}
	case node.Kind == yaml.SequenceNode && len(node.Content) > 0 && node.Content[0].Kind == yaml.MappingNode:
		for _, entry := range node.Content {
			below := path
			if _, kind, _ := child(entry, "kind"); kind != nil && path == "sources" {
				below += "[" + kind.Value + "]"
			}
			keys = append(keys, keysOfNode(entry, below)...)
		}
	default:
		keys = append(keys, path)
	}
	return keys
}

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
