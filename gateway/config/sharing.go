package config

import (
	"fmt"

	"belfry/gateway/lorawan"
)

// sharing finds keys that several devices have.
type sharing struct {
	first  map[lorawan.Key]int // line
	shared map[lorawan.Key]*sharedKey
	order  []*sharedKey
}

type sharedKey struct {
	column  string
	lines   []string // the first ones
	last    int
	devices int
}

func newSharing() sharing {
	return sharing{first: map[lorawan.Key]int{}, shared: map[lorawan.Key]*sharedKey{}}
}

// add notes a key of the device in a line; the same key again in that line is not counted.
func (s *sharing) add(key lorawan.Key, column string, number int) {
	first, again := s.first[key]
	if !again {
		s.first[key] = number
		return
	}
	shared := s.shared[key]
	if shared == nil {
		if first == number {
			return
		}
		shared = &sharedKey{column: column, lines: []string{fmt.Sprint(first)}, last: first, devices: 1}
		s.shared[key] = shared
		s.order = append(s.order, shared)
	}
	if shared.last == number {
		return
	}
	shared.last = number
	shared.devices++
	if len(shared.lines) < maxExamples {
		shared.lines = append(shared.lines, fmt.Sprint(number))
	}
}

const maxShared = 10 // reported each by itself

// problems says for each shared key how many devices have it.
func (s *sharing) problems(file string) []Problem {
	var problems []Problem
	for i, shared := range s.order {
		problem := Problem{File: file, Tolerable: true, Hint: "one stolen device opens all of them; give each its own, from: openssl rand -hex 16"}
		if i == maxShared {
			problem.Message = fmt.Sprintf("%d more keys that several devices have", len(s.order)-maxShared)
			return append(problems, problem)
		}
		problem.Message = some(shared.devices, "", "devices with the same "+shared.column+", in lines", shared.lines)
		problems = append(problems, problem)
	}
	return problems
}
