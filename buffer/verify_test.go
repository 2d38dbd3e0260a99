package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// verify returns how many records are good, and what is wrong.
func verify(t *testing.T, b *Buffer) (good uint64, wrong []string) {
	t.Helper()
	err := b.Verify(testContext(t), func(f Finding) {
		if f.Err == nil {
			good += f.Records
			return
		}
		if !errors.Is(f.Err, ErrCorrupt) {
			t.Errorf("%s: %v is not ErrCorrupt", f.File, f.Err)
		}
		wrong = append(wrong, fmt.Sprintf("lane %d, %d to %d, %d records", f.Lane, f.First, f.Last, f.Records))
	})
	if err != nil {
		t.Fatal(err)
	}
	return good, wrong
}

// closed is a buffer in a folder that nobody uses: numbers 1 to 3000 normal, then 10 urgent and 10 in quarantine.
func closed(t *testing.T) Options {
	t.Helper()
	o := small(t.TempDir())
	o.MaxSize = 64 << 20
	b := open(t, o)
	fill(t, b, Normal, 1233)
	mustPut(t, b, one(Normal, "look here"))
	fill(t, b, Normal, 1766)
	fill(t, b, Urgent, 10)
	fill(t, b, Quarantine, 10)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	o.ReadOnly = true
	return o
}

func TestVerifyFindsAGoodBufferGoodAndChangesNothing(t *testing.T) {
	o := closed(t)
	before := fingerprint(t, o.Dir)
	b := open(t, o)
	if good, wrong := verify(t, b); good != 3020 || len(wrong) > 0 {
		t.Errorf("%d good records, want 3020; wrong: %q", good, wrong)
	}
	if after := fingerprint(t, o.Dir); !maps.Equal(before, after) {
		t.Error("the folder changed")
	}
}

func TestVerifyOfABufferInUseSeesWhatIsThereWhenItBegins(t *testing.T) {
	o := small(t.TempDir())
	o.MaxSize = 64 << 20
	b := open(t, o)
	if good, wrong := verify(t, b); good != 0 || len(wrong) > 0 {
		t.Errorf("empty: %d good, wrong: %q", good, wrong)
	}
	fill(t, b, Normal, 3000)
	b.Published(Normal, 1500)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = put(t, b, Group{Build: func(tx *Tx) error { tx.Append(Normal, []byte("more")); return nil }})
			}
		}
	}()
	for range 20 {
		if _, wrong := verify(t, b); len(wrong) > 0 {
			t.Errorf("wrong: %q", wrong)
			break
		}
	}
	close(stop)
	<-stopped
}

func TestVerifyNamesTheRecordThatIsDamaged(t *testing.T) {
	o := closed(t)
	var spoilt string
	for _, path := range files(t, o.Dir, "*.seg") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(data, []byte("look here")); at >= 0 {
			data[at] ^= 1
			spoilt = path
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if spoilt == "" {
		t.Fatal("the record is in no file")
	}
	good, wrong := verify(t, open(t, o))
	if good != 3019 || len(wrong) != 1 || wrong[0] != "lane 1, 1234 to 1234, 1 records" {
		t.Errorf("%d good, wrong: %q; want record 1234 of lane 1", good, wrong)
	}
}

func TestVerifyNamesTheFileThatIsMissing(t *testing.T) {
	o := closed(t)
	segments := files(t, o.Dir, "*.seg")
	if len(segments) < 3 {
		t.Fatalf("%d segments, the test needs three", len(segments))
	}
	if err := os.Remove(segments[1]); err != nil {
		t.Fatal(err)
	}
	found := false
	b := open(t, o)
	err := b.Verify(testContext(t), func(f Finding) {
		found = found || f.Err != nil && f.File == filepath.Base(segments[1]) && f.Last > f.First
	})
	if err != nil || !found {
		t.Errorf("%s is not named: %v", segments[1], err)
	}
}
