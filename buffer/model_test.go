package buffer

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// model is what a buffer should be, in memory.
type model struct {
	records [3][]Record
	last    Seq
	marks   [2]Seq
	state   map[string][]byte
}

// machine does the same to a buffer and to its model.
type machine struct {
	t       *testing.T
	options Options
	buffer  *Buffer
	model   model
}

func TestBufferDoesWhatItsModelDoes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "model")
		if err != nil {
			r.Fatal(err)
		}
		m := &machine{t: t, options: small(dir), model: model{state: map[string][]byte{}}}
		m.options.SegmentSize, m.options.MaxSize = minSegmentSize, 64<<20
		m.options.QuarantineSize, m.options.Hold, m.options.CommitDelay = 64<<20, time.Hour, time.Millisecond
		m.open(r)
		defer func() { _ = m.buffer.Close() }()
		r.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"read":    m.read,
			"publish": m.publish,
			"reject":  m.reject,
			"drop":    m.drop,
			"fail":    m.fail,
			"restart": m.restart,
			"":        m.check,
		})
	})
}

func (m *machine) open(r *rapid.T) {
	var err error
	if m.buffer, err = Open(m.options); err != nil {
		r.Fatal(err)
	}
}

func (m *machine) append(r *rapid.T) {
	var groups []Group
	for range rapid.IntRange(1, 30).Draw(r, "groups") {
		lanes := rapid.SliceOfN(rapid.IntRange(0, 2), 0, 4).Draw(r, "lanes")
		size := rapid.IntRange(1, 2000).Draw(r, "size")
		key := fmt.Sprint(rapid.IntRange(0, 5).Draw(r, "key"))
		fails := rapid.IntRange(0, 9).Draw(r, "fails") == 0
		groups = append(groups, Group{Build: func(tx *Tx) error {
			for _, lane := range lanes {
				tx.Append(Lane(lane), fmt.Appendf(nil, "%0*d", size, lane))
			}
			tx.SetState(key, append(tx.State(key), byte(size)))
			if fails {
				return errors.New("no")
			}
			return nil
		}})
		if fails {
			continue
		}
		for _, lane := range lanes {
			m.model.last++
			data := fmt.Appendf(nil, "%0*d", size, lane)
			m.model.records[lane] = append(m.model.records[lane], Record{Seq: m.model.last, Lane: Lane(lane), Data: data})
		}
		m.model.state[key] = append(slices.Clone(m.model.state[key]), byte(size))
	}
	_, _ = put(m.t, m.buffer, groups...) // some fail
}

func (m *machine) read(r *rapid.T) {
	lane := rapid.IntRange(0, 2).Draw(r, "lane")
	from := Seq(rapid.Uint64Range(0, uint64(m.model.last)+2).Draw(r, "from"))
	limit := rapid.IntRange(1, 50).Draw(r, "limit")
	var want []Record
	for _, record := range m.model.records[lane] {
		if record.Seq >= from && len(want) < limit {
			want = append(want, record)
		}
	}
	got, err := m.buffer.Read(Lane(lane), from, limit)
	if err != nil {
		r.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Fatalf("lane %d from %d (-want +got):\n%s", lane, from, diff)
	}
}

func (m *machine) publish(r *rapid.T) {
	lane := rapid.IntRange(0, 1).Draw(r, "lane")
	upTo := Seq(rapid.Uint64Range(0, uint64(m.model.last)+2).Draw(r, "up to"))
	m.buffer.Published(Lane(lane), upTo)
	m.model.marks[lane] = max(m.model.marks[lane], min(upTo, m.model.last))
}

func (m *machine) reject(r *rapid.T) {
	lane := rapid.IntRange(0, 1).Draw(r, "lane")
	for _, record := range m.model.records[lane] {
		if record.Seq > m.model.marks[lane] && m.model.state[fmt.Sprint("rejected", record.Seq)] == nil {
			if err := m.buffer.Reject(testContext(m.t), record, []byte("why")); err != nil {
				r.Fatal(err)
			}
			m.model.last++
			m.model.records[Quarantine] = append(m.model.records[Quarantine], Record{Seq: m.model.last, Lane: Quarantine, Data: []byte("why")})
			key := fmt.Sprint("rejected", record.Seq)
			mustPut(m.t, m.buffer, Group{Build: func(tx *Tx) error { tx.SetState(key, []byte{1}); return nil }})
			m.model.state[key] = []byte{1}
			return
		}
	}
}

func (m *machine) drop(r *rapid.T) {
	records := m.model.records[Quarantine]
	if len(records) == 0 {
		return
	}
	i := rapid.IntRange(0, len(records)-1).Draw(r, "which")
	if err := m.buffer.Drop(testContext(m.t), records[i].Seq); err != nil {
		r.Fatal(err)
	}
	m.model.records[Quarantine] = slices.Delete(records, i, i+1)
}

// fail lets the next commit fail; the one after makes up for it.
func (m *machine) fail(r *rapid.T) {
	f := &failing{before: 1}
	if rapid.Bool().Draw(r, "after") {
		f = &failing{after: 1}
	}
	setHook(m.t, m.buffer, f.hook)
	key := "failed"
	mustPut(m.t, m.buffer, Group{Build: func(tx *Tx) error { tx.SetState(key, []byte{2}); return nil }})
	m.model.state[key] = []byte{2}
}

func (m *machine) restart(r *rapid.T) {
	if err := m.buffer.Close(); err != nil {
		r.Fatal(err)
	}
	m.open(r)
	var pending [2]uint64
	for lane, mark := range m.model.marks {
		for _, record := range m.model.records[lane] {
			if record.Seq > mark {
				pending[lane]++
			}
		}
	}
	if got := m.buffer.Stats().Pending; got != pending {
		r.Fatalf("pending %v after a restart, want %v", got, pending)
	}
}

func (m *machine) check(r *rapid.T) {
	state := make(map[string][]byte)
	m.buffer.EachState("", func(key string, value []byte) { state[key] = value })
	if !maps.EqualFunc(state, m.model.state, func(a, b []byte) bool { return string(a) == string(b) }) {
		r.Fatalf("state %v, want %v", state, m.model.state)
	}
	s := m.buffer.Stats()
	if s.LastSeq != m.model.last || s.Quarantined != uint64(len(m.model.records[Quarantine])) || s.Damaged != 0 {
		r.Fatalf("stats %+v, model at %d with %d in quarantine", s, m.model.last, len(m.model.records[Quarantine]))
	}
	if err := s.Ledger.Balance(); err != nil {
		r.Fatal(err)
	}
	for lane, mark := range m.model.marks {
		if got := m.buffer.PublishedUpTo(Lane(lane)); got != mark {
			r.Fatalf("mark of lane %d is %d, want %d", lane, got, mark)
		}
	}
}
