package buffer

// markPlace is the part of a mark that says where a message was: only one message can be in a place at a time.
type markPlace [8]byte

func (m Mark) place() markPlace { return markPlace(m[:8]) }

// recentMarks remembers the newest RecentMarks marks, one for each place. It is used by the writer only.
type recentMarks struct {
	ring  []Mark
	next  int
	index map[markPlace]int // where in ring the newest mark of a place is
}

func newRecentMarks() *recentMarks {
	return &recentMarks{index: make(map[markPlace]int)}
}

func (r *recentMarks) has(mark Mark) bool {
	at, ok := r.index[mark.place()]
	return ok && r.ring[at] == mark
}

func (r *recentMarks) add(mark Mark) {
	if len(r.ring) < RecentMarks {
		r.ring = append(r.ring, mark)
	} else {
		if old := r.ring[r.next].place(); r.index[old] == r.next {
			delete(r.index, old)
		}
		r.ring[r.next] = mark
	}
	r.index[mark.place()] = r.next
	r.next = (r.next + 1) % RecentMarks
}

// leave forgets what was in the place of a mark.
func (r *recentMarks) leave(mark Mark) { delete(r.index, mark.place()) }
