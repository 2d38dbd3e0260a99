package forward

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belfry/buffer"
)

var exported = cmp.AllowUnexported(position{}, checkpoint{})

func TestPositionIsReadAsItWasWritten(t *testing.T) {
	p := position{created: 1<<62 + 3, again: [2]buffer.Seq{0, 7}, whole: 9}
	for i := range uint64(maxPoints) {
		p.points = append(p.points, checkpoint{seq: i, id: hashID("x") + i, marks: [2]buffer.Seq{buffer.Seq(i), buffer.Seq(i * i)}})
	}
	encoded := p.encode()
	got, ok := parsePosition(encoded)
	if diff := cmp.Diff(p, got, exported); !ok || diff != "" {
		t.Errorf("ok %v (-want +got):\n%s", ok, diff)
	}
	for _, bad := range [][]byte{nil, {}, {positionV1}, encoded[:len(encoded)-1], append([]byte{positionV1 + 1}, encoded[1:]...)} {
		if _, ok := parsePosition(bad); ok {
			t.Errorf("%d bytes beginning with %.2x were taken for a position", len(bad), bad)
		}
	}
}

// TestWhatIsLookedAtAgainIsInProportionToTheLoss holds how the checkpoints are spread, for any length of the stream.
func TestWhatIsLookedAtAgainIsInProportionToTheLoss(t *testing.T) {
	for range 200 {
		p := position{points: []checkpoint{{}}}
		stride := 1 + rand.Uint64N(40)
		var last uint64
		for range rand.IntN(20_000) + 1 {
			last += 1 + rand.Uint64N(stride)
			p.add(checkpoint{seq: last})
			if len(p.points) > maxPoints {
				t.Fatalf("%d checkpoints, want at most %d", len(p.points), maxPoints)
			}
		}
		for range 20 {
			lost := 1 + rand.Uint64N(last)
			base := uint64(0)
			for _, point := range p.points {
				if point.seq <= last-lost {
					base = point.seq
				}
			}
			if again := last - base; again > 2*spread*(lost+2*stride) {
				t.Fatalf("of %d, %d were lost and %d are looked at again; checkpoints %v", last, lost, again, p.points)
			}
		}
	}
}
