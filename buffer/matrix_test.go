package buffer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// original is a closed buffer, in memory, and what is in it.
type original struct {
	options Options
	files   map[string][]byte
	records []Record // by number
	state   map[string]string
	last    Seq
}

// unique is text that is nowhere else.
func unique(n, size int) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	text := fmt.Sprintf("%d %x ", n, sum)
	return string(bytes.Repeat([]byte(text), size/len(text)+1)[:size])
}

// makeOriginal fills four segments with records of all lanes, some of them longer than a page, and with state.
func makeOriginal(t *testing.T) *original {
	o := &original{options: small(t.TempDir()), files: map[string][]byte{}, state: map[string]string{}}
	o.options.SegmentSize, o.options.MaxSize = 128<<10, 64<<20
	b := open(t, o.options)
	for n := 0; b.Stats().Segments < 4 || len(o.records) == 0 || b.Stats().LastSeq-b.head.First < 60; {
		var groups []Group
		for range 8 {
			n++
			lane, size := Normal, 200+n%7*100
			switch {
			case n%9 == 0:
				lane = Urgent
			case n%14 == 0:
				lane = Quarantine
			case n%31 == 0:
				size = 10_000
			}
			data, key, value, mark := unique(n, size), fmt.Sprint("key", n%50), unique(-n, 100), mark(n)
			o.state[key] = value
			groups = append(groups, Group{Mark: mark, Once: true, Build: func(tx *Tx) error {
				seq := tx.Append(lane, []byte(data))
				o.records = append(o.records, Record{Seq: seq, Lane: lane, Mark: mark, Data: []byte(data)})
				tx.SetState(key, []byte(value))
				return nil
			}})
		}
		mustPut(t, b, groups...)
	}
	o.last = b.Stats().LastSeq
	closeBuffer(t, b)
	for _, path := range append(files(t, o.options.Dir, "*.seg"), filepath.Join(o.options.Dir, manifestName)) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		o.files[filepath.Base(path)] = data
	}
	return o
}

// site is where a value stands in a file: what must be as it was for it to be found.
type site struct {
	key   uint64
	page  int
	parts [][2]int // from the page on; the last one ends with the value
}

// sites lists all places of values in a file, also those that are not in use any more.
func sites(t *testing.T, image []byte) (all []site) {
	pages := newPageFile(bytes.NewReader(image), int64(len(image)))
	for page := range len(image) / pageSize {
		data := image[page*pageSize:]
		h := pages.header(data)
		if h.flags != flagLeaf || h.id != uint64(page) || int(h.count) > pageSize/elementSize {
			continue
		}
		for i := range int(h.count) {
			e := pages.leafElement(data, i)
			if e.end > len(data) {
				t.Fatalf("element %d of page %d", i, page)
			}
			at := pageHeader + i*elementSize
			outer := [][2]int{{at, at + elementSize}, {e.key, e.value}}
			if e.flags == 0 {
				all = append(all, site{binary.BigEndian.Uint64(data[e.key:e.value]), page, append(outer, [2]int{e.value, e.end})})
				continue
			}
			inside := data[e.value+min(bucketHeader, e.end-e.value) : e.end]
			if len(inside) < pageHeader || bytes.Equal(data[e.key:e.value], bucketNames[bucketMeta]) {
				continue
			}
			for j := range int(pages.header(inside).count) {
				in, at, base := pages.leafElement(inside, j), pageHeader+j*elementSize, e.value+bucketHeader
				all = append(all, site{binary.BigEndian.Uint64(inside[in.key:in.value]), page, append(slices.Clone(outer),
					[2]int{base + at, base + at + elementSize}, [2]int{base + in.key, base + in.end})})
			}
		}
	}
	return all
}

// survives tells whether a value can be found in a harmed file, perhaps with its page at another place.
func (s site) survives(before, after []byte, places []int) bool {
	return slices.ContainsFunc(places, func(place int) bool {
		for _, part := range s.parts {
			from, to := place*pageSize+part[0], place*pageSize+part[1]
			if to > len(after) || !bytes.Equal(after[from:to], before[s.page*pageSize+part[0]:s.page*pageSize+part[1]]) {
				return false
			}
		}
		return true
	})
}

// harm is one way to damage a page.
type harm struct {
	name string
	do   func(image []byte, page int) []byte
	// moves says where a page may be found after it, besides its place.
	moves func(page, harmed int) int
}

func stays(page, _ int) int { return page }

var harms = []harm{
	{"zeroed", func(image []byte, page int) []byte { clear(image[page*pageSize : (page+1)*pageSize]); return image }, stays},
	{"first half", func(image []byte, page int) []byte {
		clear(image[page*pageSize : page*pageSize+pageSize/2])
		return image
	}, stays},
	{"second half", func(image []byte, page int) []byte {
		clear(image[page*pageSize+pageSize/2 : (page+1)*pageSize])
		return image
	}, stays},
	{"swapped", func(image []byte, page int) []byte {
		other := page ^ 1
		if (other+1)*pageSize > len(image) {
			return image
		}
		kept := bytes.Clone(image[page*pageSize : (page+1)*pageSize])
		copy(image[page*pageSize:], image[other*pageSize:(other+1)*pageSize])
		copy(image[other*pageSize:], kept)
		return image
	}, func(page, harmed int) int {
		if page == harmed || page == harmed^1 {
			return page ^ 1
		}
		return page
	}},
	{"bit of the head", flipped(10*8 + 1), stays},
	{"bit of an element", flipped((16+16+4)*8 + 3), stays},
	{"bit inside", flipped(2500*8 + 5), stays},
	{"cut", func(image []byte, page int) []byte { return image[:page*pageSize] }, stays},
}

func flipped(bit int) func(image []byte, page int) []byte {
	return func(image []byte, page int) []byte {
		image[page*pageSize+bit/8] ^= 1 << (bit % 8)
		return image
	}
}

func TestEveryDamagedPageCostsOnlyWhatWasOnItAndIsNamed(t *testing.T) {
	o := makeOriginal(t)
	m, err := readManifest(o.options.Dir)
	if err != nil {
		t.Fatal(err)
	}
	slots := make(chan struct{}, 6)
	var running sync.WaitGroup
	for _, at := range []int{1, len(m.Segments) - 1} {
		e := m.Segments[at]
		if !e.Closed {
			e.Last = o.last
		}
		image := o.files[e.fileName()]
		places := sites(t, image)
		for page := range len(image) / pageSize {
			for _, h := range harms {
				slots <- struct{}{}
				running.Go(func() {
					defer func() { <-slots }()
					c := damaged{original: o, entry: e, before: image, after: h.do(bytes.Clone(image), page), newest: at > 1}
					c.name = fmt.Sprintf("segment %d page %d %s", at, page, h.name)
					c.judge(places, func(p int) int { return h.moves(p, page) })
					c.run(t)
				})
			}
		}
	}
	running.Wait()
}

// damaged is a buffer with one harmed segment.
type damaged struct {
	*original
	entry         entry
	name          string
	newest        bool
	before, after []byte
	destroyed     map[Seq]Lane
	stateLost     bool
	named         []Range
	mu            sync.Mutex
}

// judge finds out what is destroyed.
func (c *damaged) judge(all []site, moved func(page int) int) {
	intact := map[string]bool{}
	for _, s := range all {
		value := c.before[s.page*pageSize+s.parts[len(s.parts)-1][0] : s.page*pageSize+s.parts[len(s.parts)-1][1]]
		intact[string(value)] = intact[string(value)] || s.survives(c.before, c.after, []int{s.page, moved(s.page)})
	}
	c.destroyed = map[Seq]Lane{}
	for _, r := range c.inside() {
		found := false
		for value, whole := range intact {
			found = found || whole && bytes.HasSuffix([]byte(value), r.Data)
		}
		if !found {
			c.destroyed[r.Seq] = r.Lane
		}
	}
	for value, whole := range intact {
		isRecord := slices.ContainsFunc(c.inside(), func(r Record) bool { return bytes.HasSuffix([]byte(value), r.Data) })
		c.stateLost = c.stateLost || !isRecord && !whole
	}
}

// inside returns the records of the harmed segment.
func (c *damaged) inside() []Record {
	return c.records[c.entry.First-1 : c.entry.Last]
}

func (c *damaged) run(t *testing.T) {
	options := c.options
	dir, err := os.MkdirTemp(c.options.Dir, "case")
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	options.Dir = dir
	options.Lost = func(lost []Range, cause string) [][]byte {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.named = append(c.named, lost...)
		return [][]byte{fmt.Appendf(nil, "lost %v %s", lost, cause)}
	}
	for name, data := range c.files {
		if name == c.entry.fileName() {
			data = c.after
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Error(err)
			return
		}
	}
	began := time.Now()
	b, err := Open(options)
	if err != nil {
		t.Errorf("%s: %v", c.name, err)
		return
	}
	defer func() { _ = b.Close() }()
	var got []Record
	for lane := Urgent; lane <= Quarantine; lane++ {
		got = append(got, drained(t, b, lane, 0)...)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%s: took %v", c.name, took)
	}
	c.compare(t, got)
	c.account(t, b)
}

// compare wants every record that is not destroyed, once, in the order of its lane, as it was.
func (c *damaged) compare(t *testing.T, got []Record) {
	got = slices.DeleteFunc(got, func(r Record) bool { return r.Seq > c.last }) // notices, and raw damaged records
	var want []Record
	for lane := Urgent; lane <= Quarantine; lane++ {
		for _, r := range c.records {
			if _, gone := c.destroyed[r.Seq]; r.Lane == lane && !gone {
				want = append(want, r)
			}
		}
	}
	same := func(a, b Record) bool {
		return a.Seq == b.Seq && a.Lane == b.Lane && a.Mark == b.Mark && bytes.Equal(a.Data, b.Data)
	}
	if !slices.EqualFunc(got, want, same) {
		var less, more []Seq
		for _, r := range want {
			if !slices.ContainsFunc(got, func(g Record) bool { return same(g, r) }) {
				less = append(less, r.Seq)
			}
		}
		for _, r := range got {
			if !slices.ContainsFunc(want, func(g Record) bool { return same(g, r) }) {
				more = append(more, r.Seq)
			}
		}
		t.Errorf("%s: %d records, want %d; missing %v, too many %v, destroyed %v", c.name, len(got), len(want), less, more, c.destroyed)
	}
}

// account wants the ledger to balance, what is destroyed to be named and nothing else, and the buffer to go on.
func (c *damaged) account(t *testing.T, b *Buffer) {
	b.Published(Urgent, b.Stats().LastSeq)
	b.Published(Normal, b.Stats().LastSeq)
	if _, err := put(t, b, one(Normal, "new")); err != nil {
		t.Errorf("%s: %v", c.name, err)
	}
	s := b.Stats()
	if err := s.Ledger.Balance(); err != nil {
		t.Errorf("%s: %v", c.name, err)
	}
	if s.LastSeq <= c.last {
		t.Errorf("%s: number %d was used again", c.name, s.LastSeq)
	}
	c.mu.Lock()
	named := slices.Clone(c.named)
	c.mu.Unlock()
	counted, destroyed := map[Lane]uint64{}, map[Lane]uint64{}
	covered, unknown := map[Seq]bool{}, false
	for _, r := range named {
		counted[r.Lane] += r.Records
		exact := r.Records == uint64(r.Last-r.First)+1 // else those of other lanes among them are lost too, or it cannot be known
		for seq := r.First; seq <= min(r.Last, c.last); seq++ {
			lane, gone := c.destroyed[seq]
			if !gone && c.records[seq-1].Lane == r.Lane && r.Records > 0 || exact && lane != r.Lane || (seq == r.First || seq == r.Last) && !gone && seq < c.last {
				t.Errorf("%s: %d of lane %d is named in %v, destroyed are %v", c.name, seq, r.Lane, named, c.destroyed)
				return
			}
			covered[seq] = covered[seq] || lane == r.Lane || r.Records == 0
			unknown = unknown || r.Records == 0
		}
	}
	for seq, lane := range c.destroyed {
		destroyed[lane]++
		if !covered[seq] {
			t.Errorf("%s: %d of lane %d is not named in %v", c.name, seq, lane, named)
			return
		}
	}
	for lane := Urgent; lane <= Quarantine; lane++ {
		if counted[lane] != destroyed[lane] && (!unknown || counted[lane] > destroyed[lane]) {
			t.Errorf("%s: named %v, destroyed %v", c.name, counted, destroyed)
		}
	}
	c.compareState(t, b)
}

// compareState wants the state as it was, unless it is destroyed, and repeats recognised.
func (c *damaged) compareState(t *testing.T, b *Buffer) {
	if !c.newest || !c.stateLost {
		for key, want := range c.state {
			if got := string(b.State(key)); got != want {
				t.Errorf("%s: state of %s is %q, want %q", c.name, key, got, want)
				return
			}
		}
	}
	for _, r := range c.records[len(c.records)-20:] {
		if _, gone := c.destroyed[r.Seq]; gone {
			continue
		}
		again := Group{Mark: r.Mark, Once: true, Build: func(tx *Tx) error { tx.Append(Normal, r.Data); return nil }}
		if outcome, err := put(t, b, again); err != nil || outcome.Duplicates != 1 {
			t.Errorf("%s: the repeat of %d is not recognised: %+v %v", c.name, r.Seq, outcome, err)
			return
		}
	}
}
