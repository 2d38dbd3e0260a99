package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "belfry"

// layers lists the packages from top to bottom. A package imports only what stands below it.
var layers = []string{
	"scripts/campaign",
	"scripts/campaign/faultfs",
	"gateway/cmd/belfry",
	"gateway/demo",
	"gateway/config",
	"gateway/gatewaytest", // helpers of tests
	"gateway/source",
	"gateway/forward",
	"gateway/status",
	"gateway/control",
	"gateway/codechost",
	"gateway/lorawan/station",
	"gateway/lorawan/semtech",
	"gateway/lorawan",
	"gateway",
	"gateway/event",
	"gateway/secret",
	"gateway/loopback",
	"gateway/strictjson",
	"configs",
	"decoders/codec",
	"decoders",
	"buffer",
}

// sideways are the arrows inside one layer's group that must not be: these know one outside system each.
var sideways = map[string][]string{
	"gateway/source":  {"gateway/forward", "gateway/status", "gateway/control", "gateway/config"},
	"gateway/forward": {"gateway/status", "gateway/control", "gateway/source", "gateway/config"},
	"gateway/event":   {"gateway/secret", "buffer"},
	"decoders":        {"buffer"},
}

// owners lists who may import a third-party module in code that is not a test. A module that is not here may be
// imported by nobody: a new dependency needs a line here and in DECISIONS.md.
var owners = map[string][]string{
	"go.etcd.io/bbolt":                    {"buffer"},
	"golang.org/x/sys":                    {"buffer", "gateway/codechost", "gateway/source", "scripts/campaign", "scripts/campaign/faultfs"},
	"github.com/hanwen/go-fuse/v2":        {"scripts/campaign/faultfs"},
	"github.com/coreos/go-systemd/v22":    {"gateway/cmd/belfry"},
	"github.com/nats-io/nats.go":          {"gateway/forward", "gateway/demo", "scripts/campaign"},
	"github.com/nats-io/nkeys":            {"gateway/forward"},
	"github.com/nats-io/nats-server/v2":   {"gateway/demo", "scripts/campaign"},
	"github.com/mochi-mqtt/server/v2":     {"gateway/demo"},
	"github.com/eclipse/paho.mqtt.golang": {"gateway/source", "gateway/demo", "gateway/gatewaytest", "scripts/campaign"},
	"github.com/expr-lang/expr":           {"decoders"},
	"github.com/dop251/goja":              {"decoders/codec"},
	"github.com/dop251/goja_nodejs":       {"decoders/codec"},
	"github.com/brocaar/lorawan":          {"gateway/lorawan", "gateway/demo"},
	"github.com/gorilla/websocket":        {"gateway/source"},
	"github.com/chirpstack/chirpstack":    {"gateway/source", "gateway/demo"},
	"google.golang.org/protobuf":          {"gateway/source", "gateway/demo"},
	"github.com/tidwall/gjson":            {"gateway/source", "gateway/strictjson", "gateway/lorawan/semtech", "gateway/lorawan/station", "decoders"},
	"go.yaml.in/yaml/v4":                  {"gateway/config"},
	"github.com/alecthomas/kong":          {"gateway/cmd/belfry"},
	"github.com/prometheus/client_golang": {"gateway/status"},
	"golang.org/x/net":                    {"gateway/status", "gateway/control"},
	"go.uber.org/goleak":                  {"gateway/gatewaytest"},
}

func TestImportsPointDownTheTable(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if reason := forbidden(path.Dir(filepath.ToSlash(relative)), imported, strings.HasSuffix(name, "_test.go")); reason != "" {
				t.Errorf("%s imports %s: %s", filepath.ToSlash(relative), imported, reason)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forbidden says why a package may not import another, "" when it may.
func forbidden(importer, imported string, test bool) string {
	if imported == module || strings.HasPrefix(imported, module+"/") {
		return forbiddenOwn(importer, strings.TrimPrefix(imported, module+"/"), test)
	}
	if !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") || test {
		return "" // the standard library; tests may use what they need
	}
	for owned, allowed := range owners {
		if imported == owned || strings.HasPrefix(imported, owned+"/") {
			if slices.Contains(allowed, importer) {
				return ""
			}
			return "only " + strings.Join(allowed, ", ") + " may"
		}
	}
	return "not a dependency in the table (add it with a reason in DECISIONS.md)"
}

func forbiddenOwn(importer, imported string, test bool) string {
	from, to := slices.Index(layers, importer), slices.Index(layers, imported)
	switch {
	case from < 0:
		return importer + " is not in the table of packages"
	case to < 0:
		return imported + " is not in the table of packages"
	case test:
		return "" // a test may look up: the compiler forbids circles
	case to <= from:
		return "it stands above " + importer + " in the table"
	case slices.Contains(sideways[importer], imported):
		return "packages beside each other do not know each other"
	}
	return ""
}

func TestTheTableNoticesAForbiddenImport(t *testing.T) {
	for _, c := range []struct{ importer, imported string }{
		{"decoders", "belfry/buffer"},
		{"buffer", "belfry/gateway/event"},
		{"gateway/forward", "go.etcd.io/bbolt"},
		{"gateway/event", "github.com/nats-io/nats.go/jetstream"},
		{"gateway/source", "belfry/gateway/forward"},
		{"gateway", "example.com/unheard/of"},
		{"elsewhere", "belfry/gateway"},
	} {
		if forbidden(c.importer, c.imported, false) == "" {
			t.Errorf("%s may import %s, want it forbidden", c.importer, c.imported)
		}
	}
}
