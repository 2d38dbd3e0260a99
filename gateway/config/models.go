package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"belfry/decoders"
	"belfry/gateway/event"
)

const modelsFolder = "models"

// BuiltinModels returns the models that are part of the program, by name.
func BuiltinModels() (map[string]*event.Model, Problems) {
	l := newLoader("", Env{})
	l.loadBuiltin(nil)
	return l.config.Models, l.report.sorted()
}

// TestedModels returns the built-in models and those of the folder dir, "" for none, also those whose examples fail. The
// problems are those that keep a model from being run at all.
func TestedModels(dir string, env Env) (map[string]*event.Model, Problems) {
	l := newLoader(dir, env)
	l.examplesLater = true
	if dir == "" {
		l.loadBuiltin(nil)
	} else if l.isFolder() {
		l.loadModels()
	}
	return l.config.Models, l.report.sorted()
}

// loadModels reads the models of the town and the built-in ones.
func (l *loader) loadModels() {
	own := l.list(l.folder, modelsFolder, ".yaml", l.report)
	for _, name := range own {
		l.loadModel(l.folder, name, l.report)
	}
	l.loadBuiltin(own)
	slices.Sort(l.known)
}

// loadBuiltin reads the built-in models whose place is not taken by a file of the town.
func (l *loader) loadBuiltin(taken []string) {
	builtin := newReport() // names of built-in files must not look like files of the folder
	for _, name := range l.list(l.env.Models, modelsFolder, ".yaml", builtin) {
		if !slices.Contains(taken, name) {
			l.loadModel(l.env.Models, name, builtin)
		}
	}
	for _, problem := range builtin.sorted() {
		problem.File = "(built in) " + problem.File
		l.report.add(problem)
	}
}

func (l *loader) loadModel(root fs.FS, file string, report *report) {
	name := strings.TrimSuffix(path.Base(file), ".yaml")
	l.known = append(l.known, name)
	text, ok := readFile(root, file, report)
	if !ok {
		return
	}
	d := parseDocument(file, text, report)
	if d == nil {
		return
	}
	runnable := report.counts[file] == 0
	var written modelForm
	d.fill("", d.root, &written)
	if l.trial {
		name = written.Model
	}
	model := written.event(d, l, root, name)
	model.Version = written.version(text)
	if !runnable || !d.onlyExamplesFaulty() {
		model.Examples = nil // they would fail because of the mistakes above
	}
	check := model.Check
	if l.examplesLater {
		check = model.Prepare
	}
	d.blame("", check(), func(err error) (string, error) {
		if mistake, ok := errors.AsType[*event.ModelError](err); ok {
			return mistake.Key, mistake.Err
		}
		return "", err
	})
	if report.counts[file] == 0 {
		l.config.Models[name] = model
	}
}

var (
	modelName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	kindName  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

// event makes the model. name is that of the file.
func (m *modelForm) event(d *document, l *loader, root fs.FS, name string) *event.Model {
	switch {
	case !modelName.MatchString(m.Model):
		d.at("model", notA("name of a model", m.Model), "1 to 64 of a-z, 0-9, ., _ and -")
	case m.Model != name:
		d.at("model", fmt.Sprintf("%q in the file of %q", m.Model, name), "the file of a model is called "+m.Model+".yaml")
	}
	if !kindName.MatchString(m.Kind) {
		d.at("kind", notA("kind of thing", m.Kind), "streetlight, water_meter, waste_container, ...")
	}
	model := &event.Model{
		Name: m.Model, Maker: m.Maker, Product: m.Product, Links: m.Links, Kind: m.Kind, Service: m.Service,
		Interval: m.Interval, MaxAge: m.MaxAge, Decode: m.computed(d, m.decoder(d, l, root)),
		Mapping: event.Mapping{Measurements: m.Measurements, Alarms: m.Alarms},
	}
	if len(m.Measurements)+len(m.Alarms) == 0 {
		d.at("measurements", "neither measurements nor alarms", "names of the vocabulary, each with a field of the decoder")
	}
	for i := range m.Examples {
		model.Examples = append(model.Examples, m.Examples[i].event(d, exampleKey(i)))
	}
	return model
}

func exampleKey(i int) string { return fmt.Sprintf("examples[%d]", i) }

// onlyExamplesFaulty says whether all mistakes are in examples. Those examples are marked, so that their results are not
// a second mistake.
func (d *document) onlyExamplesFaulty() bool {
	for _, key := range slices.Collect(maps.Keys(d.faulty)) {
		example, _, ok := strings.Cut(key, "]")
		if !ok || !strings.HasPrefix(example, "examples[") {
			return false
		}
		d.faulty[example+"]"] = true
	}
	return true
}

// version says which decoder the model has. The built-in ones change with the program only; what others do is written in
// the model's file, or in the codec's.
func (m *modelForm) version(text []byte) string {
	if decoders.Native(m.Decoder) != nil {
		return "native " + m.Decoder
	}
	hash := m.Codec.hash
	if m.Decoder != codecDecoder {
		hash = fmt.Sprintf("%x", sha256.Sum256(text))
	}
	const digits = 12
	return m.Decoder + " sha256:" + hash[:min(digits, len(hash))]
}

const (
	jsonDecoder   = "json"
	layoutDecoder = "layout"
)

// decoder returns the decoder that the model names, nil with a mistake.
func (m *modelForm) decoder(d *document, l *loader, root fs.FS) decoders.Decoder {
	for _, name := range []string{jsonDecoder, layoutDecoder, codecDecoder} {
		if _, options, _ := child(d.root, name); options != nil && m.Decoder != name {
			d.at(name, "these options are for decoder "+name+" only", "decoder: "+name)
		}
	}
	switch m.Decoder {
	case codecDecoder:
		return m.Codec.decoder(d, l, root)
	case jsonDecoder:
		return d.built(jsonDecoder, func() (decoders.Decoder, error) { return decoders.NewJSON(m.JSON) })
	case layoutDecoder:
		return d.built(layoutDecoder, func() (decoders.Decoder, error) { return decoders.NewLayout(m.Layout) })
	}
	decoder := decoders.Native(m.Decoder)
	if decoder == nil {
		d.at("decoder", fmt.Sprintf("no decoder %q", m.Decoder), choices(m.Decoder, append(decoders.Names(), jsonDecoder, layoutDecoder, codecDecoder)))
	}
	return decoder
}

// computed adds the computed values to a decoder, which is nil when it has a mistake.
func (m *modelForm) computed(d *document, decoder decoders.Decoder) decoders.Decoder {
	computing, err := decoders.WithCompute(decoder, m.Compute)
	d.blame("compute", err, cutKey)
	if decoder == nil || err != nil {
		return decoder
	}
	return computing
}

// cutKey takes the key off an error that begins with it.
func cutKey(err error) (string, error) {
	key, message, _ := strings.Cut(err.Error(), ": ")
	return key, errors.New(message)
}

// built makes a decoder of the options under a key, and reports what is wrong in them.
func (d *document) built(key string, build func() (decoders.Decoder, error)) decoders.Decoder {
	decoder, err := build()
	if err != nil {
		d.blame("", err, func(err error) (string, error) {
			below, cause := cutKey(err)
			return join(key, below), cause
		})
		d.faulty["decoder"] = true // there is none
	}
	return decoder
}
