package buffer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func closeBuffer(t testing.TB, b *Buffer) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit of the only place in a file where text is.
func flip(t *testing.T, path, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for at := 0; ; { // also in pages that are not in use any more
		i := bytes.Index(data[at:], []byte(text))
		if i < 0 {
			break
		}
		at += i
		data[at] ^= 1
		found = true
	}
	if !found {
		t.Fatalf("%q is not in %s", text, path)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// drained is read for a buffer in which readers may find damage: they wait until it is repaired.
func drained(t testing.TB, b *Buffer, lane Lane, from Seq) (all []Record) {
	t.Helper()
	for {
		found := read(t, b, lane, from)
		if all = append(all, found...); len(found) > 0 {
			from = found[len(found)-1].Seq + 1
		}
		b.mu.RLock()
		broken := slices.ContainsFunc(b.segments, func(s *segment) bool { return s.broken != nil })
		b.mu.RUnlock()
		if !broken && len(read(t, b, lane, from)) == 0 {
			return all
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDamagedRecordGoesToQuarantineAndItsNeighboursSurvive(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	mustPut(t, b, one(Normal, "first record"), one(Normal, "second record"), one(Normal, "third record"))
	closeBuffer(t, b)
	flip(t, files(t, o.Dir, "*.seg")[0], "second record")
	b = open(t, o)
	for range 2 {
		wantTexts(t, b, Normal, "1 first record", "3 third record")
	}
	eventually(t, "quarantine", func() bool { return b.Stats().Quarantined > 0 })
	raw := read(t, b, Quarantine, 0)
	if len(raw) != 1 || !bytes.HasSuffix(raw[0].Data, []byte("recond record")) && !bytes.HasSuffix(raw[0].Data, []byte("econd record")) {
		t.Errorf("quarantine: %q", texts(raw))
	}
	b.Published(Normal, 3)
	eventually(t, "mark", func() bool { return b.Stats().Pending[Normal] == 0 })
	b = reopen(t, b)
	wantTexts(t, b, Normal, "1 first record", "3 third record")
	if s := b.Stats(); s.Published != 2 || s.Quarantined != 1 || s.QuarantinedTotal != 1 {
		t.Errorf("stats %+v", s)
	}
}

// threeSegments fills a buffer and closes it.
func threeSegments(t *testing.T) (Options, []string) {
	t.Helper()
	o := small(t.TempDir())
	b := open(t, o)
	for b.Stats().Segments < 4 {
		fill(t, b, Normal, 50)
		mustPut(t, b, one(Urgent, "alarm"))
	}
	closeBuffer(t, b)
	return o, files(t, o.Dir, "*.seg")
}

func TestLostSegmentIsPutAsideAndTheRestGoesOn(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"missing":   os.Remove,
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"garbage":   func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("nonsense"), 4096), 0o600) },
		"cut short": func(path string) error { return os.Truncate(path, 3*pageSize) },
	} {
		for at := range 4 {
			t.Run(fmt.Sprint(name, at), func(t *testing.T) {
				t.Parallel() // mostly waiting
				o, segments := threeSegments(t)
				intact := open(t, o)
				before := intact.Stats()
				all := read(t, intact, Normal, 0)
				closeBuffer(t, intact)
				if err := harm(segments[at]); err != nil {
					t.Fatal(err)
				}
				b := open(t, o)
				left := drained(t, b, Normal, 0)
				if len(left) >= len(all) && at < 3 || len(left) == 0 {
					t.Errorf("%d of %d records left", len(left), len(all))
				}
				mustPut(t, b, one(Normal, "new"))
				if got := b.Stats(); got.LastSeq <= before.LastSeq {
					t.Errorf("number %d was used again (%d before)", got.LastSeq, before.LastSeq)
				}
				last := drained(t, b, Normal, 0)
				drained(t, b, Urgent, 0)
				b.Published(Normal, last[len(last)-1].Seq)
				b.Published(Urgent, last[len(last)-1].Seq)
				eventually(t, "marks", func() bool { return b.Stats().Pending == [2]uint64{} })
				s := b.Stats()
				if s.Damaged == 0 || at < 3 && s.Published+s.Ledger.Lost != s.Appended {
					t.Errorf("ledger does not balance: %+v", s)
				}
				if bad := files(t, o.Dir, "*.bad"); len(bad) != 1 && name != "missing" {
					t.Errorf("put aside: %v", bad)
				}
				b = reopen(t, b)
				if got := b.Stats(); got.Damaged != 0 {
					t.Errorf("reported again: %+v", got)
				}
			})
		}
	}
}

func TestDamagedPagesCostOnlyWhatIsOnThem(t *testing.T) {
	o, segments := threeSegments(t)
	stat, err := os.Stat(segments[1])
	if err != nil {
		t.Fatal(err)
	}
	intact := open(t, o)
	all := read(t, intact, Normal, 0)
	closeBuffer(t, intact)
	original, err := os.ReadFile(segments[1])
	if err != nil {
		t.Fatal(err)
	}
	for page := int64(2); page < stat.Size()/pageSize; page += 7 {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(o.Dir)); err != nil {
			t.Fatal(err)
		}
		harmed := slices.Clone(original)
		clear(harmed[page*pageSize : (page+1)*pageSize])
		if err := os.WriteFile(filepath.Join(copied, filepath.Base(segments[1])), harmed, 0o600); err != nil {
			t.Fatal(err)
		}
		other := o
		other.Dir = copied
		b := open(t, other)
		left := drained(t, b, Normal, 0)
		lost := len(all) - len(left)
		drained(t, b, Urgent, 0)
		eventually(t, "ledger", func() bool {
			b.Published(Normal, b.Stats().LastSeq)
			b.Published(Urgent, b.Stats().LastSeq)
			read(t, b, Urgent, 0)
			return b.Stats().Pending == [2]uint64{}
		})
		s := b.Stats()
		if lost > 10 || uint64(lost) > s.Ledger.Lost || s.Published+s.Ledger.Lost != s.Appended {
			t.Errorf("page %d: %d records lost, stats %+v", page, lost, s)
		}
		closeBuffer(t, b)
	}
}

func TestLostEndOfTheStateLogUsesNoNumberTwice(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	for _, text := range []string{"a", "b", "c"} {
		mustPut(t, b, one(Normal, text))
	}
	closeBuffer(t, b)
	db, err := bolt.Open(files(t, o.Dir, "*.seg")[0], 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(bucketNames[bucketLog])
		k, v := bucket.Cursor().Last()
		harmed := bytes.Clone(v)
		harmed[len(harmed)/2] ^= 1
		return bucket.Put(bytes.Clone(k), harmed)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	mustPut(t, b, one(Normal, "d"))
	wantTexts(t, b, Normal, "1 a", "2 b", "3 c", "4 d")
	if s := b.Stats(); s.Damaged != 1 || s.Pending[Normal] != 4 {
		t.Errorf("stats %+v", s)
	}
}

func TestManifestIsRebuiltFromTheFiles(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"missing": os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("{}\n00000000\n"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := threeSegments(t)
			b := open(t, o)
			want, stats := texts(read(t, b, Normal, 0)), b.Stats()
			closeBuffer(t, b)
			if err := harm(filepath.Join(o.Dir, manifestName)); err != nil {
				t.Fatal(err)
			}
			b = open(t, o)
			wantTexts(t, b, Normal, want...)
			if got := b.Stats(); got.Pending != stats.Pending || got.LastSeq != stats.LastSeq {
				t.Errorf("stats %+v, want %+v", got, stats)
			}
		})
	}
}

func TestSegmentOfANewerVersionIsLeftAlone(t *testing.T) {
	o, segments := threeSegments(t)
	db, err := bolt.Open(segments[3], 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(bucketNames[bucketMeta])
		var m map[string]any
		if err := json.Unmarshal(bucket.Get(keyMeta), &m); err != nil {
			return err
		}
		m["format"] = segmentFormat + 1
		value, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return errors.Join(bucket.Put(keyMeta, value), bucket.Put(keyMetaSum, metaSum(value)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(segments[3])
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, o)
	mustPut(t, b, one(Normal, "new"))
	b = reopen(t, b)
	mustPut(t, b, one(Normal, "newer"))
	if after, err := os.ReadFile(segments[3] + suffixNewer); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
	last := read(t, b, Normal, 0)
	if got := string(last[len(last)-1].Data) + string(last[len(last)-2].Data); got != "newernew" {
		t.Errorf("last records: %q", got)
	}
}

// F43: what a killed process left half made.
// F103: files of other machines are not opened, and what is in them is not lost.
func TestFileOfAnotherByteOrderIsNamed(t *testing.T) {
	o, segments := threeSegments(t)
	b := open(t, o)
	want := texts(read(t, b, Normal, 0))
	closeBuffer(t, b)
	data, err := os.ReadFile(segments[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, pageSize} {
		slices.Reverse(data[at+pageHeader : at+pageHeader+4])
	}
	pages := newPageFile(bytes.NewReader(data), int64(len(data)))
	if _, err := pages.meta(0); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "byte order") {
		t.Errorf("got %v", err)
	}
	for _, at := range []int{0, pageSize} { // as a machine with pages of 16 KiB writes it
		slices.Reverse(data[at+pageHeader : at+pageHeader+4])
		meta := data[at+pageHeader:]
		pages.order.PutUint32(meta[8:], 4*pageSize)
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:metaChecked])
		pages.order.PutUint64(meta[metaChecked:], sum.Sum64())
	}
	if _, err := newPageFile(bytes.NewReader(data), int64(len(data))).meta(0); err == nil || !strings.Contains(err.Error(), "pages of 16384 bytes") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(segments[1], data, 0o600); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	if got := texts(drained(t, b, Normal, 0)); !slices.Equal(got, want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	b = reopen(t, b)
	if s := b.Stats(); s.SetAside != 1 || s.SetAsideBytes != int64(len(data)) || s.Ledger.Lost != 0 {
		t.Errorf("stats %+v", s)
	}
}

// F104: a salvage that is cut off at any point is begun again.
func TestSalvageThatIsCutOffIsBegunAgain(t *testing.T) {
	for name, leave := range map[string]func(path string, harmed []byte) error{
		"while the new file is written": func(path string, harmed []byte) error {
			return errors.Join(os.WriteFile(path, harmed, 0o600), os.WriteFile(path+temporary, harmed[:5*pageSize], 0o600))
		},
		"between the two names": func(path string, harmed []byte) error {
			return errors.Join(os.Remove(path), os.WriteFile(path+suffixAside, harmed, 0o600), os.WriteFile(path+temporary, harmed, 0o600))
		},
	} {
		for at := range 4 {
			t.Run(fmt.Sprint(name, at), func(t *testing.T) {
				t.Parallel()
				o, segments := threeSegments(t)
				b := open(t, o)
				want := texts(read(t, b, Normal, 0))
				closeBuffer(t, b)
				harmed, err := os.ReadFile(segments[at])
				if err != nil {
					t.Fatal(err)
				}
				clear(harmed[:pageSize]) // one of the two meta pages: nothing is lost
				if err := leave(segments[at], harmed); err != nil {
					t.Fatal(err)
				}
				b = open(t, o)
				if got := texts(drained(t, b, Normal, 0)); !slices.Equal(got, want) {
					t.Errorf("%d records, want %d", len(got), len(want))
				}
				if s := b.Stats(); s.Ledger.Lost != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		}
	}
}

func TestLeftoversOfAKilledProcessAreRemoved(t *testing.T) {
	o := small(t.TempDir())
	mustPut(t, open(t, o), one(Normal, "elsewhere"))
	o.Dir = t.TempDir()
	leftover := filepath.Join(o.Dir, strings.Repeat("0", 16)+"-00000009.seg"+temporary)
	if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := open(t, o)
	mustPut(t, b, one(Normal, "a"))
	if _, err := os.Stat(leftover); !os.IsNotExist(err) {
		t.Errorf("leftover: %v", err)
	}
}

func TestRecordsBeforeASegmentThatLostItsHeadAreStillThereWithoutTheManifest(t *testing.T) {
	for _, hurt := range []int{1, 2, 3} {
		o, segments := threeSegments(t)
		b := open(t, o)
		want := read(t, b, Normal, 0)
		closeBuffer(t, b)
		if err := os.Remove(filepath.Join(o.Dir, manifestName)); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(segments[hurt])
		if err != nil {
			t.Fatal(err)
		}
		clear(data[:len(data)/2])
		if err := os.WriteFile(segments[hurt], data, 0o600); err != nil {
			t.Fatal(err)
		}
		e, _ := parseFileName(filepath.Base(segments[hurt]))
		b = open(t, o)
		eventually(t, "every record of the other segments", func() bool {
			there := map[Seq]bool{}
			for _, record := range read(t, b, Normal, 0) {
				there[record.Seq] = true
			}
			for _, record := range want {
				if record.Seq < e.First && !there[record.Seq] {
					return false
				}
			}
			return true
		})
	}
}
