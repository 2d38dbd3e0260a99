package forward_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"belfry/buffer"
)

func TestAppendIsNotOverlookedWhileAnAcknowledgementComesIn(t *testing.T) {
	s := startServer(t, nil)
	js := dial(t, s.URL())
	makeStream(t, js, townStream())
	m := newMemory()
	start(t, options(s.URL()), m)
	for i := range 3000 {
		m.add(buffer.Normal, record(fmt.Sprint("a", i), "town.a"))
		for end := time.Now().Add(rand.N(300 * time.Microsecond)); time.Now().Before(end); {
		}
		last := m.add(buffer.Normal, record(fmt.Sprint("b", i), "town.b"))
		for end := time.Now().Add(3 * time.Second); m.PublishedUpTo(buffer.Normal) < last; {
			if time.Now().After(end) {
				t.Fatalf("round %d: published up to %d of %d for 3 s, with the server up and nothing in the way", i, m.PublishedUpTo(buffer.Normal), last)
			}
		}
	}
}
