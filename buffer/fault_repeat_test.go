package buffer

import (
	"errors"
	"fmt"
	"testing"
)

// delivery is a group as the delivery of an MQTT message makes it: the place of its mark is the packet id.
func delivery(id byte, text string, repeat bool) Group {
	m := Mark{7: id}
	copy(m[8:], text)
	g := one(Normal, text)
	g.Mark, g.Once = m, repeat
	return g
}

// F17: equal readings that come with one packet id, one after the other, are two; what was repeated of them is one.
func TestEqualReadingsWithOnePacketIDAreKept(t *testing.T) {
	b := open(t, small(t.TempDir()))
	mustPut(t, b, delivery(1, "closed", false), delivery(1, "closed", false))
	mustPut(t, b, delivery(1, "closed", true))
	mustPut(t, b, delivery(1, "closed", false))
	wantTexts(t, b, Normal, "1 closed", "2 closed", "3 closed")
	b = reopen(t, b)
	mustPut(t, b, delivery(1, "closed", true))
	wantTexts(t, b, Normal, "1 closed", "2 closed", "3 closed")
}

// F17: once another message had the packet id, the one before cannot come again: what looks like it is a new reading.
func TestARepeatIsOneOfTheNewestWithItsPacketIDOnly(t *testing.T) {
	b := open(t, small(t.TempDir()))
	mustPut(t, b, delivery(1, "closed", false), delivery(1, "open", false), delivery(2, "half", false))
	b = reopen(t, b)
	mustPut(t, b, delivery(1, "closed", true))
	mustPut(t, b, delivery(1, "closed", true), delivery(2, "half", true))
	wantTexts(t, b, Normal, "1 closed", "2 open", "3 half", "4 closed")
	if got := b.Stats().Duplicates; got != 2 {
		t.Errorf("%d repeats, want 2", got)
	}
}

// F17: a message whose storing failed is not taken for the equal one that had its packet id before.
func TestAFailedReadingIsNotARepeatOfAnEqualOneBefore(t *testing.T) {
	for _, together := range []bool{true, false} {
		t.Run(fmt.Sprintf("in one transaction %t", together), func(t *testing.T) {
			b := open(t, small(t.TempDir()))
			first, second := delivery(1, "closed", false), delivery(1, "closed", false)
			refused := errors.New("not now")
			second.Build = func(*Tx) error { return refused }
			if together {
				if _, err := put(t, b, first, second); !errors.Is(err, refused) {
					t.Fatal(err)
				}
			} else {
				mustPut(t, b, first)
				if _, err := put(t, b, second); !errors.Is(err, refused) {
					t.Fatal(err)
				}
			}
			mustPut(t, b, delivery(1, "closed", true))
			mustPut(t, b, delivery(1, "closed", true))
			wantTexts(t, b, Normal, "1 closed", "2 closed")
		})
	}
}

// F17: a broker that counts its packet ids up comes to each again after 65,535 messages; equal readings are two then too.
func TestPacketIDsThatComeRoundAreNoRepeats(t *testing.T) {
	o := small(t.TempDir())
	o.SegmentSize, o.MaxSize = 16<<20, 64<<20
	b := open(t, o)
	place := func(id int) Group {
		g := one(Normal, "x")
		g.Mark, g.Once = Mark{6: byte(id >> 8), 7: byte(id), 15: 1}, false
		return g
	}
	for id := 1; id <= 65535; {
		var groups []Group
		for ; id <= 65535 && len(groups) < 4096; id++ {
			groups = append(groups, place(id))
		}
		mustPut(t, b, groups...)
	}
	b = reopen(t, b) // and so it knows only what is on disk
	again := place(1)
	again.Once = true // its first delivery was lost on the way
	mustPut(t, b, again)
	if got := b.Stats(); got.Appended != 65536 || got.Duplicates != 0 {
		t.Errorf("%d records and %d repeats, want 65,536 and none", got.Appended, got.Duplicates)
	}
}
