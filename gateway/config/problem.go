package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Problem is one mistake in the configuration and where it stands.
type Problem struct {
	File    string // relative to the folder
	Line    int    // from 1; 0 when it is about the file as a whole
	Column  int    // from 1; 0 when it is about the line or the file as a whole
	Message string // what is wrong
	Hint    string // what would be right; "" when the message says it
	// Tolerable marks what `belfry check` fails for and `belfry run` starts with: a file that the configuration names and that
	// cannot be read (the source or sink that needs it reports it until it is there), a file that is not read, no sensor.
	Tolerable bool
}

// String prints "file:line:column: what is wrong (what would be right)".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	for _, number := range []int{p.Line, p.Column} {
		if number > 0 {
			fmt.Fprintf(&b, ":%d", number)
		}
	}
	b.WriteString(": " + p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems are sorted by file, line and column.
type Problems []Problem

// Fatal says whether one of the problems keeps the configuration from being used.
func (p Problems) Fatal() bool {
	return slices.ContainsFunc(p, func(problem Problem) bool { return !problem.Tolerable })
}

// String prints one problem a line.
func (p Problems) String() string {
	var b strings.Builder
	for _, problem := range p {
		b.WriteString(problem.String() + "\n")
	}
	return b.String()
}

// maxProblems bounds what is kept for one file: a sheet of 50,000 lines with one wrong column needs no 50,000 messages.
const maxProblems = 500

// report collects problems.
type report struct {
	problems []Problem
	counts   map[string]int  // by file
	hidden   map[string]bool // files of which a fatal problem is not kept
}

func newReport() *report { return &report{counts: map[string]int{}, hidden: map[string]bool{}} }

func (r *report) add(problem Problem) {
	// What a library or a constructor says may have several lines; a problem is one.
	problem.Message = strings.ReplaceAll(problem.Message, "\n", "; ")
	problem.Message = redact(problem.Message)
	problem.Hint = redact(problem.Hint)
	if r.wants(problem.File) {
		r.problems = append(r.problems, problem)
	} else if !problem.Tolerable {
		r.hidden[problem.File] = true
	}
	r.counts[problem.File]++
}

// keyLike is what may be a key of a device that stands in a wrong place, with a digit too few even.
var keyLike = regexp.MustCompile(`[0-9A-Fa-f]{31,}`)

func redact(text string) string { return keyLike.ReplaceAllLiteralString(text, "[redacted]") }

// wants says whether another problem of a file would be kept.
func (r *report) wants(file string) bool { return r.counts[file] < maxProblems }

// sorted returns the problems in the order of their places, each once.
func (r *report) sorted() Problems {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message))
	})
	problems := Problems(slices.Compact(r.problems))
	for file, count := range r.counts {
		if count > maxProblems {
			problems = append(problems, Problem{
				File: file, Message: fmt.Sprintf("%d more problems in this file", count-maxProblems), Tolerable: !r.hidden[file],
			})
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.File, b.File) })
	return problems
}
