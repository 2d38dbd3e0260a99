package buffer

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// FuzzCheckedFileIsSafeToMap harms a good file anyhow. If the check finds nothing wrong with it, bbolt can be trusted with
// it: every record comes out as it was, or says that it is damaged.
func FuzzCheckedFileIsSafeToMap(f *testing.F) {
	o := small(f.TempDir())
	b := open(f, o)
	for n := range 20 {
		mustPut(f, b, one(Lane(n%3), unique(n, 100+n*150)), one(Normal, unique(-n-1, 50)))
	}
	e, uuid := b.head.entry, b.head.uuid
	if err := b.Close(); err != nil {
		f.Fatal(err)
	}
	image, err := os.ReadFile(b.head.path)
	if err != nil {
		f.Fatal(err)
	}
	want := contents(f, b.head.path)
	path := filepath.Join(f.TempDir(), e.fileName())
	f.Add([]byte{0, 0, 10, 0, 1})
	f.Add([]byte{0, 0x10, 8, 0, 2, 0, 0x20, 12, 0, 1})
	f.Fuzz(func(t *testing.T, changes []byte) {
		harmed := bytes.Clone(image)
		for ; len(changes) >= 5; changes = changes[5:] { // a place, and what to change there
			at := int(binary.LittleEndian.Uint32(changes)) % len(harmed)
			harmed[at] ^= changes[4]
		}
		if err := os.WriteFile(path, harmed, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := checkFile(path, segmentFormat)
		if err != nil {
			return
		}
		for key, value := range contents(t, path) {
			if _, err := checked(place{uuid, bucketID(key[0]), binary.BigEndian.Uint64([]byte(key[1:]))}, []byte(value)); err == nil && value != want[key] {
				t.Errorf("%x is %q, want %q", key, value, want[key])
			} else if err != nil && len(c.damaged) == 0 {
				t.Errorf("%x is damaged, and the check did not say so", key)
			}
		}
	})
}

// contents reads and changes a file with bbolt alone.
func contents(t testing.TB, path string) map[string]string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(copied, 0o600, &bolt.Options{Timeout: time.Second, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	all := make(map[string]string)
	err = db.Update(func(tx *bolt.Tx) error {
		for id := range bucketMeta {
			bucket := tx.Bucket(bucketNames[id])
			if err := bucket.ForEach(func(k, v []byte) error { all[string(byte(id))+string(k)] = string(v); return nil }); err != nil {
				return err
			}
			if err := bucket.Put(bytes.Repeat([]byte{0xFF}, 8), []byte("new")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A segment of the default size must be checked and salvaged in a moment: the writer waits for it.
func BenchmarkSegmentOfDefaultSize(b *testing.B) {
	o := Options{Dir: b.TempDir(), CommitDelay: time.Millisecond}
	buffer := open(b, o)
	for buffer.Stats().Segments < 2 {
		mustPut(b, buffer, many(Normal, 2000, 300)...)
	}
	s := buffer.segments[0]
	path := s.path
	closeBuffer(b, buffer)
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if _, err := checkFile(path, segmentFormat); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("salvage", func(b *testing.B) {
		for b.Loop() {
			again := newSegment(o.Dir, s.entry, s.sizes)
			if _, err := again.salvage(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			for _, aside := range []string{path + suffixAside} {
				if err := os.Remove(aside); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
	})
}
