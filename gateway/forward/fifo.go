package forward

import "slices"

// fifo is a queue that gives its memory back.
type fifo[T any] struct {
	items []T
	first int
}

func (q *fifo[T]) len() int    { return len(q.items) - q.first }
func (q *fifo[T]) peek() T     { return q.items[q.first] }
func (q *fifo[T]) push(item T) { q.items = append(q.items, item) }
func (q *fifo[T]) all() []T    { return q.items[q.first:] }

// remove takes the i-th item out.
func (q *fifo[T]) remove(i int) T {
	item := q.items[q.first+i]
	q.items = slices.Delete(q.items, q.first+i, q.first+i+1)
	return item
}

func (q *fifo[T]) pop() T {
	var zero T
	item := q.items[q.first]
	q.items[q.first] = zero
	q.first++
	switch {
	case q.first == len(q.items) && cap(q.items) > 1024:
		q.items, q.first = nil, 0
	case q.first == len(q.items):
		q.items, q.first = q.items[:0], 0
	case q.first > 64 && q.first > len(q.items)/2:
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	return item
}
