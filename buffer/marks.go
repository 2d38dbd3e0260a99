package buffer

// recentMarks remembers the newest RecentMarks marks. It is used by the writer only.
type recentMarks struct {
	ring  []Mark
	next  int
	index map[Mark]int // where in ring; the newest place of a mark that came more than once
}

func newRecentMarks() *recentMarks {
	return &recentMarks{index: make(map[Mark]int)}
}

func (r *recentMarks) has(mark Mark) bool {
	_, ok := r.index[mark]
	return ok
}

func (r *recentMarks) add(mark Mark) {
	if len(r.ring) < RecentMarks {
		r.ring = append(r.ring, mark)
	} else {
		if old := r.ring[r.next]; r.index[old] == r.next {
			delete(r.index, old)
		}
		r.ring[r.next] = mark
	}
	r.index[mark] = r.next
	r.next = (r.next + 1) % RecentMarks
}
