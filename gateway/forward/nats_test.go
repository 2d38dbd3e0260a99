package forward_test

import (
	"testing"
)

func TestEverythingArrivesOnceAndInOrderPerSubject(t *testing.T) {
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	fill(m, 3000, 50)
	r := start(t, options(s.URL()), m)
	waitPublished(t, m)
	fill(m, 3000, 50)
	waitPublished(t, m)
	r.stop()
	onceInOrder(t, js, m)
}
