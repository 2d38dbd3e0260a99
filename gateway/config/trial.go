package config

import (
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"belfry/gateway/event"
)

// TryModel reads the file of a model that is tried out: the file may have any name, its examples are not run, and its codec is
// never suspended. The model is nil when there are problems.
func TryModel(file string, env Env) (*event.Model, Problems) {
	dir, name := filepath.Split(file)
	l := newLoader(filepath.Clean(dir), env)
	return l.try(l.folder, name)
}

// TryCodec reads a model as TryModel does, from a configuration folder or, with dir "", from the built-in ones, and puts the
// codec of a file in the place of its own.
func TryCodec(dir, model, codec string, env Env) (*event.Model, Problems) {
	l := newLoader(dir, env)
	l.codec = codec
	name, root := path.Join(modelsFolder, model+".yaml"), l.folder
	if dir == "" {
		root = l.env.Models
	} else if _, err := fs.Stat(root, name); err != nil {
		l.dir, root = "", l.env.Models
	}
	tried, problems := l.try(root, name)
	if tried != nil && !strings.HasPrefix(tried.Version, codecDecoder+" ") {
		return nil, Problems{{File: name, Message: "the model is not decoded by a codec", Hint: "compare files of models"}}
	}
	return tried, problems
}

func (l *loader) try(root fs.FS, file string) (*event.Model, Problems) {
	l.trial, l.examplesLater = true, true
	l.loadModel(root, file, l.report)
	problems := l.report.sorted()
	for i := range problems {
		if problems[i].File = filepath.Join(l.dir, problems[i].File); l.dir == "" {
			problems[i].File = "(built in) " + file
		}
	}
	for _, model := range l.config.Models {
		return model, problems
	}
	return nil, problems
}
