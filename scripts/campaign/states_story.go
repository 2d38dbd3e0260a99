package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"belfry/buffer"
)

// note is one thing that a workload says of itself, in its place among the operations on its disk.
type note struct {
	Kind string      `json:"k"`
	Held []heldNote  `json:"h,omitempty"`
	Lane buffer.Lane `json:"l,omitempty"`
	Seq  buffer.Seq  `json:"s,omitempty"`
	N    int         `json:"n,omitempty"`
	Text string      `json:"t,omitempty"`

	Seqs []buffer.Seq `json:"e,omitempty"`
}

// The kinds of notes. What is asked for may happen from then on, what is done is certain from then on.
const (
	noteHeld     = "held"     // Held is acknowledged
	noteWant     = "want"     // Published(Lane, Seq) follows, with position N
	noteSure     = "sure"     // the marks and positions of all former wants are on disk
	noteReject   = "reject"   // Reject of Seq in Lane follows
	noteRejected = "rejected" // it is on disk
	noteDrop     = "drop"     // Drop of Seq follows; N of Lane was rejected to it, if N is not 0
	noteDropped  = "dropped"  // it is on disk
	noteExpire   = "expire"   // Seqs may be given up
	noteBase     = "base"     // the mark of Lane is Seq at the start, the position N
	noteWrong    = "wrong"    // Text is something that the workload itself found wrong
)

// heldNote is one record of a group that is acknowledged.
type heldNote struct {
	Seq   buffer.Seq  `json:"s"`
	Lane  buffer.Lane `json:"l"`
	Group groupID     `json:"g"`
	Part  int         `json:"p"`
}

// rejectKey is a record that was rejected.
type rejectKey struct {
	lane buffer.Lane
	seq  buffer.Seq
}

// story is what is known of a workload at one point of its recording.
type story struct {
	held     map[buffer.Seq]heldNote
	wanted   [2]buffer.Seq // marks that may have been set
	sure     [2]buffer.Seq // marks that are certain
	wants    []note        // all that were asked for, to judge positions
	rejects  map[rejectKey]bool
	rejected map[rejectKey]bool // and not dropped
	drops    map[buffer.Seq]bool
	dropped  map[buffer.Seq]bool
	expired  map[buffer.Seq]bool
	wrong    []string
}

func newStory() *story {
	return &story{
		held: make(map[buffer.Seq]heldNote), rejects: make(map[rejectKey]bool), rejected: make(map[rejectKey]bool),
		drops: make(map[buffer.Seq]bool), dropped: make(map[buffer.Seq]bool), expired: make(map[buffer.Seq]bool),
	}
}

// add takes in the next note.
func (s *story) add(data []byte) error {
	var n note
	if err := json.Unmarshal(data, &n); err != nil {
		return fmt.Errorf("note %q: %w", data, err)
	}
	key := rejectKey{n.Lane, n.Seq}
	switch n.Kind {
	case noteHeld:
		for _, h := range n.Held {
			s.held[h.Seq] = h
		}
	case noteWant:
		s.wanted[n.Lane] = max(s.wanted[n.Lane], n.Seq)
		s.wants = append(s.wants, n)
	case noteSure:
		s.sure = s.wanted
	case noteBase:
		s.wanted[n.Lane], s.sure[n.Lane] = n.Seq, n.Seq
		s.wants = append(slices.DeleteFunc(s.wants, func(want note) bool { return want.Lane == n.Lane }), n)
	case noteReject:
		s.rejects[key] = true
	case noteRejected:
		s.rejected[key] = true
	case noteDrop:
		s.drops[n.Seq] = true
		if n.N > 0 {
			delete(s.rejected, rejectKey{n.Lane, buffer.Seq(n.N)})
		}
	case noteDropped:
		s.dropped[n.Seq] = true
	case noteExpire:
		for _, seq := range n.Seqs {
			s.expired[seq] = true
		}
	case noteWrong:
		s.wrong = append(s.wrong, n.Text)
	}
	return nil
}

// positionAt returns the first position that may go with a mark: the one it was set with.
func (s *story) positionAt(lane buffer.Lane, mark buffer.Seq) int {
	for _, want := range s.wants {
		if want.Lane == lane && want.Seq >= mark {
			return want.N
		}
	}
	return 0
}
