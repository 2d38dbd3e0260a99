package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"belfry/gateway/config"
	"belfry/gateway/control"
	"belfry/gateway/event"
)

// twoFiles is a flag with two values.
type twoFiles struct{ old, new string }

// Decode implements kong.MapperValue.
func (f *twoFiles) Decode(ctx *kong.DecodeContext) error {
	for _, file := range []*string{&f.old, &f.new} {
		if err := ctx.Scan.PopValueInto("file", file); err != nil {
			return errors.New("two files are needed, OLD and NEW")
		}
		if extension := filepath.Ext(*file); extension != ".js" && extension != ".yaml" {
			return fmt.Errorf("%s is neither a codec (.js) nor a model (.yaml)", *file)
		}
	}
	return nil
}

// comparing is one run of decode --compare.
type comparing struct {
	folder   string // of the configuration; "" for none
	models   map[string]*event.Model
	old, new *event.Model
	print    func(*comparison) error
	counts   summary
}

// summary is what a comparison found.
type summary struct {
	Model    string         `json:"model"`
	Frames   map[string]int `json:"frames"`   // by where they come from
	Verdicts map[string]int `json:"verdicts"` // same, better, worse, changed
}

// compare decodes with two decoders and prints what differs. That something is worse is a failure.
func (c decodeCommand) compare(p program) error {
	run := comparing{counts: summary{Frames: map[string]int{}, Verdicts: map[string]int{same: 0, better: 0, worse: 0, changed: 0}}}
	name, err := run.load(p, c)
	if err != nil {
		return err
	}
	run.counts.Model = name
	out := newLines(p.stdout)
	run.print = func(found *comparison) error { return out.text(found.text()) }
	if c.JSON {
		run.print = func(found *comparison) error { return out.json(found) }
	}
	if err := errors.Join(run.quarantine(p, name), run.examples(name)); err != nil {
		return errors.Join(err, out.flush())
	}
	if c.JSON {
		err = out.json(run.counts)
	} else {
		err = out.text(run.counts.text())
	}
	if err := errors.Join(err, out.flush()); err != nil {
		return quiet(err)
	}
	if run.counts.Verdicts[worse] > 0 {
		return errReported
	}
	return nil
}

// load reads the configuration and both decoders, and returns the name of their model.
func (run *comparing) load(p program, c decodeCommand) (name string, err error) {
	if run.folder = c.Config; run.folder == "" {
		const usual = "/etc/belfry"
		if _, err := os.Stat(filepath.Join(usual, "belfry.yaml")); err == nil {
			run.folder = usual
		}
	}
	c.Config = run.folder
	if run.models, err = c.models(p.stderr); err != nil {
		return "", err
	}
	sides := []side{{c.Compare.old, &run.old}, {c.Compare.new, &run.new}}
	name = c.Model
	for _, s := range sides {
		if filepath.Ext(s.file) == ".yaml" {
			if err := s.take(p, func(env config.Env) (*event.Model, config.Problems) { return config.TryModel(s.file, env) }); err != nil {
				return "", err
			}
			name = cmp.Or(name, (*s.model).Name)
		}
	}
	if name == "" {
		if name, err = run.modelOf(c.Compare.old, c.Compare.new); err != nil {
			return "", err
		}
	}
	for _, s := range sides {
		switch {
		case *s.model != nil:
			continue
		case run.models[name] == nil:
			return "", fmt.Errorf("no model %q%s", name, hint(event.Nearest(name, slices.Collect(maps.Keys(run.models)))))
		}
		if err := s.take(p, func(env config.Env) (*event.Model, config.Problems) {
			return config.TryCodec(run.folder, name, s.file, env)
		}); err != nil {
			return "", err
		}
	}
	return name, nil
}

// side is one of the two files, and where its model goes.
type side struct {
	file  string
	model **event.Model
}

func (s side) take(p program, read func(config.Env) (*event.Model, config.Problems)) error {
	model, problems := read(config.Env{Codecs: codecs()})
	*s.model = model
	return printProblems(p.stderr, problems)
}

// modelOf finds the model that has one of the codecs.
func (run *comparing) modelOf(files ...string) (string, error) {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		sum := sha256.Sum256(text)
		version := "codec sha256:" + hex.EncodeToString(sum[:6])
		var names []string
		for name, model := range run.models {
			if model.Version == version {
				names = append(names, name)
			}
		}
		switch len(names) {
		case 0:
		case 1:
			return names[0], nil
		default:
			slices.Sort(names)
			return "", fmt.Errorf("which model? %s have this codec (say --model NAME)", strings.Join(names, " and "))
		}
	}
	return "", errors.New("which model? None has one of these codecs now (say --model NAME)")
}

// quarantine compares on the messages of the model that could not be decoded.
func (run *comparing) quarantine(p program, name string) error {
	fmt.Fprintln(p.stderr, "The bytes of messages that were decoded are not kept: compared are those in quarantine, and the examples of the model.")
	if run.folder == "" {
		fmt.Fprintln(p.stderr, "No configuration, so there is no quarantine to look at (say --config DIR).")
		return nil
	}
	err := bufferFolder{Config: run.folder}.use(p, false, func(b control.Buffer) error {
		query := control.Query{Lane: "quarantine", Model: name, Content: true}
		return control.Each(p.ctx, b, query, 0, func(record control.Record) error {
			m := record.Message
			if m == nil || m.Payload == nil || m.Stage == "publish" {
				return nil
			}
			sent := m.Received
			if !m.Time.IsZero() {
				sent = m.Time
			}
			return run.frame(sentFrame{From: "quarantine", Seq: record.Seq, Sensor: m.Sensor, Port: m.Port, Payload: m.Payload, Sent: sent})
		})
	})
	if errors.Is(err, errNoBuffer) {
		fmt.Fprintln(p.stderr, err)
		return nil
	}
	return err
}

// examples compares on the examples of the model: of both files, and of the configuration.
func (run *comparing) examples(name string) error {
	seen := map[string]bool{}
	for _, model := range []*event.Model{run.models[name], run.old, run.new} {
		if model == nil {
			continue
		}
		for i := range model.Examples {
			e := &model.Examples[i]
			sent := e.Received
			if sent.IsZero() {
				sent = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			}
			key := fmt.Sprintf("%d %x %d", e.Port, e.Payload, sent.UnixNano())
			if seen[key] {
				continue
			}
			seen[key] = true
			if err := run.frame(sentFrame{From: "example", Name: e.Name, Port: e.Port, Payload: e.Payload, Sent: sent}); err != nil {
				return err
			}
		}
	}
	return nil
}

// frame compares on one frame.
func (run *comparing) frame(f sentFrame) error {
	found := comparison{sentFrame: f, Before: f.decode(run.old), After: f.decode(run.new)}
	found.judge()
	run.counts.Frames[f.From]++
	run.counts.Verdicts[found.Verdict]++
	if found.Verdict == same {
		return nil
	}
	return run.print(&found)
}

func (s *summary) text() string {
	return fmt.Sprintf("%s: %d same, %d better, %d worse, %d changed (%s in quarantine, %s)", s.Model, s.Verdicts[same], s.Verdicts[better],
		s.Verdicts[worse], s.Verdicts[changed], counted(s.Frames["quarantine"], "message"), counted(s.Frames["example"], "example"))
}
