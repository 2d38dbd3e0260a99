package buffer

import "testing"

func TestRecordThatIsRejectedAgainLaterStandsInQuarantineOnce(t *testing.T) {
	b := open(t, small(t.TempDir()))
	mustPut(t, b, one(Normal, "bad"))
	rec := read(t, b, Normal, 0)[0]
	ctx := testContext(t)
	if err := b.Reject(ctx, rec, []byte("why")); err != nil {
		t.Fatal(err)
	}
	b.Published(Normal, rec.Seq)
	mustPut(t, b, one(Normal, "x"))
	// the forwarder rewinds, reads it again from what is held, and is refused again
	if err := b.Reject(ctx, rec, []byte("why")); err != nil {
		t.Fatal(err)
	}
	if s := b.Stats(); s.Quarantined != 1 {
		t.Errorf("%d records in quarantine for one", s.Quarantined)
	}
}
