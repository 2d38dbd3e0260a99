// Package config reads and checks the folder that describes a town: belfry.yaml, sensors/*.csv, models/*.yaml. It alone
// knows the keys of these files, reports all mistakes in them at once with their places, and contacts nothing.
package config

import (
	"io/fs"
	"log/slog"
	"os"

	"belfry/buffer"
	"belfry/configs"
	"belfry/gateway"
	"belfry/gateway/codechost"
	"belfry/gateway/event"
	"belfry/gateway/forward"
	"belfry/gateway/lorawan"
)

// Config is a folder of configuration, checked and complete.
type Config struct {
	Dir          string // the folder, to which secret and certificate files are relative
	Gateway      string // the name of this gateway
	Town         Town
	Prefix       string           // first token of all NATS subjects
	EventKeyFile string           // path of the key for event ids, a readable secret; "" when none is configured
	Network      *lorawan.Network // of all sources, with its devices
	Keys         Keys
	Sources      []gateway.Source
	Inventory    *gateway.Inventory
	Models       map[string]*event.Model // by name, the built-in ones too
	NATS         forward.Options
	Buffer       buffer.Options // Log and Expired are the caller's
	Status       Status
	Log          Log
}

// Town says whose data this is.
type Town struct {
	Name    string
	Commune string // INSEE code
	Owner   string // SIREN
}

// Keys counts the sensors whose frames the radio network can read, by how they are activated.
type Keys struct{ OTAA, ABP int }

// Status says where metrics and health are served.
type Status struct{ Listen string }

// Log says how the program logs.
type Log struct {
	Format string // "text" or "json"
	Level  slog.Level
}

// Env is what Load needs beside the folder.
type Env struct {
	Log    *slog.Logger // for the sources; nil discards
	Models fs.FS        // has the built-in models in "models"; nil for those of the program
	// Codecs runs the JavaScript of models; nil: models that have some are a mistake. It must outlive the Config.
	Codecs *codechost.Pool
}

// loader is one run of Load.
type loader struct {
	dir          string
	folder       fs.FS
	env          Env
	report       *report
	config       *Config
	kinds        map[string]string // of the sources, by name
	unnamed      bool              // a source has no name that could be read
	known        []string          // names of all models, also of those with mistakes
	used         map[string]bool   // names of the folders that belfry.yaml names files in
	keys         keyFile
	radioDevices []lorawan.Device // of the network

	examplesLater bool   // models are not refused for examples that fail
	trial         bool   // models are tried out, see TryModel
	codec         string // the file that takes the place of the model's, see TryCodec
}

// Load reads the folder dir and checks all of it. The Config is nil when a problem is fatal; with problems that are all
// tolerable there is a Config too. It reads files in and below dir only, and those that belfry.yaml names.
func Load(dir string, env Env) (*Config, Problems) {
	l := newLoader(dir, env)
	l.load()
	problems := l.report.sorted()
	if problems.Fatal() {
		return nil, problems
	}
	return l.config, problems
}

func (l *loader) load() {
	if l.isFolder() {
		l.loadMain()
		l.checkNames()
		l.loadModels()
		l.loadSensors()
	}
}

func newLoader(dir string, env Env) *loader {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Models == nil {
		env.Models = configs.Files
	}
	return &loader{
		dir: dir, folder: os.DirFS(dir), env: env, report: newReport(), kinds: map[string]string{},
		used:   map[string]bool{},
		config: &Config{Dir: dir, Models: map[string]*event.Model{}},
	}
}
