package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"belfry/gateway/config"
	"belfry/gateway/event"
)

type testCommand struct {
	Config string `short:"c" placeholder:"DIR" help:"A configuration folder, whose models are tested too; only the built-in ones without."`
	Model  string `placeholder:"NAME" help:"Test this model alone."`
}

// Run prints a line for each model as soon as it is done, then every example that failed, with what came out and what was wanted.
func (c testCommand) Run(p program) error {
	models, problems := config.TestedModels(c.Config, config.Env{Codecs: codecs()})
	names, err := c.names(models)
	if err != nil {
		fmt.Fprint(p.stderr, problems) // one of them may be why there is no such model
		return err
	}
	if c.Model != "" {
		problems = slices.DeleteFunc(problems, func(problem config.Problem) bool { return !strings.HasSuffix(problem.File, "/"+c.Model+".yaml") })
	}
	t := tally{width: len("model"), of: len(names)}
	for _, name := range names {
		t.width = max(t.width, len(name))
	}
	fmt.Fprintf(p.stdout, "%-9s %-*s %8s %8s %8s\n", "", t.width, "model", "examples", "passed", "failed")
	for _, name := range names {
		if p.ctx.Err() != nil {
			return fmt.Errorf("stopped after %s of %d", counted(t.models, "model"), len(names))
		}
		fmt.Fprintln(p.stdout, t.test(models[name]))
	}
	for _, failure := range t.failures {
		fmt.Fprint(p.stdout, "\n"+failure)
	}
	fmt.Fprintf(p.stdout, "\n%s, %s: %d passed, %d failed\n", counted(t.models, "model"), counted(t.examples, "example"), t.passed, t.examples-t.passed)
	if len(problems) > 0 {
		fmt.Fprintf(p.stderr, "%s%s\n", problems, counted(len(problems), "problem"))
	}
	if len(problems) > 0 || t.passed < t.examples {
		return errReported
	}
	return nil
}

// names are those of the models to be tested, sorted.
func (c testCommand) names(models map[string]*event.Model) ([]string, error) {
	all := slices.Sorted(maps.Keys(models))
	if c.Model == "" {
		return all, nil
	}
	if models[c.Model] == nil {
		return nil, fmt.Errorf("no model %q that can be tested%s", c.Model, hint(event.Nearest(c.Model, all)))
	}
	return []string{c.Model}, nil
}

// tally counts what has been tested.
type tally struct {
	width, of                int // of the table's names; models to test
	models, examples, passed int
	failures                 []string
}

// test runs the examples of a model and returns its line of the table.
func (t *tally) test(model *event.Model) string {
	passed := 0
	for i := range model.Examples {
		if err := model.RunExample(i); err != nil {
			t.failures = append(t.failures, describeFailure(model, i, err))
		} else {
			passed++
		}
	}
	count := len(model.Examples)
	t.models, t.examples, t.passed = t.models+1, t.examples+count, t.passed+passed
	failed := ""
	if passed < count {
		failed = fmt.Sprint(count - passed)
	}
	line := fmt.Sprintf("%-9s %-*s %8d %8d %8s", fmt.Sprintf("[%d/%d]", t.models, t.of), t.width, model.Name, count, passed, failed)
	return strings.TrimRight(line, " ")
}

// describeFailure prints a failed example: its payload and every difference.
func describeFailure(model *event.Model, i int, err error) string {
	example := &model.Examples[i]
	payload := fmt.Sprintf("port %d, %x", example.Port, example.Payload)
	if isText(example.Payload) {
		payload = string(example.Payload)
	}
	differences := strings.ReplaceAll(err.Error(), "\n", "\n  ")
	return fmt.Sprintf("%s, examples[%d] %q\n  %s\n  %s\n", model.Name, i, example.Name, payload, differences)
}

// isText says whether a payload can be shown as it is.
func isText(payload []byte) bool {
	for _, b := range payload {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' || b > '~' {
			return false
		}
	}
	return len(payload) > 0
}
