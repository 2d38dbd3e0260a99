package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"belfry/buffer"
)

// textLog is a log whose lines can be read in a finding.
func textLog(to io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelError, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// finding is one thing that is not as it must be.
type finding struct {
	Kind string // "lost", "twice", "reordered" or "unexplained"
	Text string
}

// inspection compares a folder with what is known of the workload that left it.
type inspection struct {
	story    *story
	book     *groupBook
	options  buffer.Options
	failures bool // there were failed appends: groups of a writer may be missing in between
	random   *rand.Rand

	log      bytes.Buffer
	begun    bool // the folder is more than a first segment without a manifest, which may be reported as damage
	findings []finding
	buffer   *buffer.Buffer
	found    map[buffer.Seq]buffer.Record
	groups   map[groupID]map[int]buffer.Seq
	newest   [workWriters]int // index of the newest group found
	rejects  map[rejectKey]bool
	notices  map[buffer.Seq]bool // what notices say has expired
	stats    buffer.Stats
	marks    [2]buffer.Seq
}

func (c *inspection) find(kind, format string, args ...any) {
	if len(c.findings) < 5 {
		c.findings = append(c.findings, finding{kind, fmt.Sprintf(format, args...)})
	}
}

func (c *inspection) unexplained(format string, args ...any) { c.find("unexplained", format, args...) }

// run checks the folder of the options, and returns what it found. thorough opens it twice.
func (c *inspection) run(thorough bool) []finding {
	for _, text := range c.story.wrong {
		c.unexplained("workload: %s", text)
	}
	c.options.Log = textLog(&c.log)
	c.begun = c.manifest() || len(c.story.held) > 0
	if !c.open() {
		return c.finish()
	}
	c.read()
	c.compareRecords()
	c.compareGroups()
	c.compareMarks()
	c.compareState()
	c.compareStats()
	c.append()
	for lane, mark := range c.marks {
		if now := c.buffer.PublishedUpTo(buffer.Lane(lane)); now != mark {
			c.find("lost", "mark of lane %d goes from %d to %d by itself", lane, mark, now)
		}
	}
	c.close()
	if thorough && len(c.findings) == 0 {
		c.again()
	}
	return c.finish()
}

// finish adds what the buffer said to the first finding.
func (c *inspection) finish() []finding {
	if c.log.Len() > 0 && (c.begun || len(c.findings) > 0) {
		said := strings.ReplaceAll(strings.TrimSpace(c.log.String()), "\n", "; ")
		if len(c.findings) == 0 {
			c.unexplained("the buffer complains")
		}
		c.findings[0].Text += " [" + said[:min(len(said), 600)] + "]"
	}
	return c.findings
}

func (c *inspection) manifest() bool {
	_, err := os.Stat(filepath.Join(c.options.Dir, "manifest"))
	return err == nil
}

func (c *inspection) open() bool {
	b, err := buffer.Open(c.options)
	if err != nil {
		c.unexplained("does not open: %v", err)
		return false
	}
	c.buffer = b
	return true
}

func (c *inspection) close() {
	if err := c.buffer.Close(); err != nil {
		c.unexplained("close: %v", err)
	}
}

// read takes in all records.
func (c *inspection) read() {
	c.found = make(map[buffer.Seq]buffer.Record)
	c.groups = make(map[groupID]map[int]buffer.Seq)
	c.rejects = make(map[rejectKey]bool)
	c.notices = make(map[buffer.Seq]bool)
	c.newest = [workWriters]int{}
	c.stats = c.buffer.Stats()
	for lane := buffer.Urgent; lane <= buffer.Quarantine; lane++ {
		records, err := readAll(c.buffer, lane)
		if err != nil {
			c.unexplained("read of lane %d: %v", lane, err)
		}
		var before buffer.Seq
		order := make(map[int]int)
		for _, r := range records {
			if r.Seq <= before {
				c.find("reordered", "record %d of lane %d comes after %d", r.Seq, lane, before)
			}
			before = r.Seq
			if _, ok := c.found[r.Seq]; ok {
				c.find("twice", "number %d is there twice", r.Seq)
			}
			c.found[r.Seq] = r
			c.take(r, order)
		}
		if lane < buffer.Quarantine {
			c.marks[lane] = c.buffer.PublishedUpTo(lane)
		}
	}
}

// take takes in one record. order has the newest group of each writer in this lane.
func (c *inspection) take(r buffer.Record, order map[int]int) {
	is, err := identify(c.book, r)
	if err != nil {
		c.unexplained("record %d is wrong: %v", r.Seq, err)
		return
	}
	switch is.kind {
	case 'g':
		if at, ok := c.groups[is.group][is.part]; ok {
			c.find("twice", "part %d of group %v is there as %d and %d", is.part, is.group, at, r.Seq)
		}
		if c.groups[is.group] == nil {
			c.groups[is.group] = make(map[int]buffer.Seq)
		}
		c.groups[is.group][is.part] = r.Seq
		if is.group.Index < order[is.group.Writer] {
			c.find("reordered", "group %v is at %d, behind group %d", is.group, r.Seq, order[is.group.Writer])
		}
		order[is.group.Writer] = is.group.Index
		c.newest[is.group.Writer] = max(c.newest[is.group.Writer], is.group.Index)
	case 'r':
		key := rejectKey{is.lane, is.seq}
		if c.rejects[key] {
			c.find("twice", "record %d of lane %d is in quarantine twice", key.seq, key.lane)
		}
		if !c.story.rejects[key] {
			c.unexplained("record %d of lane %d is in quarantine, rejected by nobody", key.seq, key.lane)
		}
		c.rejects[key] = true
	case 'x':
		for _, seq := range is.gone {
			if !c.story.expired[seq] || c.notices[seq] {
				c.unexplained("notice says that %d expired: asked %v, said before %v", seq, c.story.expired[seq], c.notices[seq])
			}
			c.notices[seq] = true
		}
	}
}

// gone says whether a record may be away: published and its file deleted, or given up.
func (c *inspection) gone(lane buffer.Lane, seq buffer.Seq) bool {
	if lane == buffer.Quarantine {
		return c.story.drops[seq]
	}
	return seq <= c.marks[lane] && (seq <= c.story.wanted[lane] || c.notices[seq] || c.story.rejects[rejectKey{lane, seq}])
}

// compareRecords wants every record that was acknowledged.
func (c *inspection) compareRecords() {
	for seq, h := range c.story.held {
		r, ok := c.found[seq]
		if !ok && !c.gone(h.Lane, seq) {
			c.find("lost", "record %d (part %d of group %v, lane %d, mark %d, asked for %d) is not there",
				seq, h.Part, h.Group, h.Lane, c.marks[min(h.Lane, 1)], c.story.wanted[min(h.Lane, 1)])
		}
		if at, known := c.groups[h.Group][h.Part]; ok && (!known || at != seq) {
			c.unexplained("record %d is %q and not part %d of group %v", seq, head(r.Data), h.Part, h.Group)
		}
	}
	for key := range c.story.rejected {
		if !c.rejects[key] && !c.notices[key.seq] {
			c.find("lost", "record %d of lane %d was rejected and is not in quarantine", key.seq, key.lane)
		}
	}
	for seq := range c.story.dropped {
		if r, ok := c.found[seq]; ok && r.Lane == buffer.Quarantine {
			c.unexplained("record %d was dropped and is in quarantine", seq)
		}
	}
}

// compareGroups wants whole groups, and those of a writer without gaps.
func (c *inspection) compareGroups() {
	for id, parts := range c.groups {
		g := c.book.group(id)
		var first buffer.Seq
		for part, seq := range parts {
			first = seq - buffer.Seq(part)
		}
		for part, lane := range g.lanes {
			if _, ok := parts[part]; !ok && !c.gone(lane, first+buffer.Seq(part)) {
				c.unexplained("group %v has no part %d", id, part)
			}
		}
	}
	if c.failures {
		return
	}
	for writer, newest := range c.newest {
		for lane := buffer.Urgent; lane < buffer.Quarantine; lane++ {
			for index := c.firstUnpublished(writer, lane); index > 0 && index < newest; index++ {
				id := groupID{writer, index}
				if c.groups[id] == nil && slices.Contains(c.book.group(id).lanes, lane) {
					c.unexplained("group %v is not there, groups before and behind it are", id)
				}
			}
		}
	}
}

// firstUnpublished returns the oldest group of a writer with a record of a lane that is not published, 0 if there is none.
func (c *inspection) firstUnpublished(writer int, lane buffer.Lane) (first int) {
	for id, parts := range c.groups {
		if id.Writer != writer || first > 0 && id.Index > first {
			continue
		}
		for part, seq := range parts {
			if c.book.group(id).lanes[part] == lane && seq > c.marks[lane] {
				first = id.Index
			}
		}
	}
	return first
}

// compareMarks wants marks between those that are certain and those that were asked for, and the position that goes with them.
func (c *inspection) compareMarks() {
	where := readPosition(c.buffer.Position())
	for lane, mark := range c.marks {
		limit := c.story.wanted[lane]
		if len(c.story.expired) > 0 { // a segment is given up to its end, whatever is there
			limit = c.stats.LastSeq
		}
		if mark < c.story.sure[lane] || mark > limit {
			c.unexplained("mark of lane %d is %d, certain was %d, asked for %d", lane, mark, c.story.sure[lane], c.story.wanted[lane])
		}
		want := c.story.positionAt(buffer.Lane(lane), mark)
		if mark <= c.story.wanted[lane] && len(c.story.expired) == 0 && where < want {
			c.unexplained("mark of lane %d is %d, set with position %d, but the position is %d", lane, mark, want, where)
		}
	}
}

// compareState wants the state that the newest records left.
func (c *inspection) compareState() {
	for writer, newest := range c.newest {
		index, seq, err := readWriterState(c.buffer.State(writerKey(writer)))
		if err != nil {
			c.unexplained("writer %d: %v", writer, err)
			continue
		}
		known := newest
		for _, h := range c.story.held {
			if h.Group.Writer == writer {
				known = max(known, h.Group.Index)
			}
		}
		if index < known {
			c.unexplained("state of writer %d is of group %d, but group %d is there", writer, index, known)
		}
		if index > newest && newest > 0 {
			g := c.book.group(groupID{writer, index})
			for part, lane := range g.lanes {
				if !c.gone(lane, seq+buffer.Seq(part)) {
					c.unexplained("state of writer %d is of group %d at %d, which is not there", writer, index, seq)
				}
			}
		}
		if at, ok := c.groups[groupID{writer, index}][0]; ok && at != seq {
			c.unexplained("state of writer %d says group %d is at %d, it is at %d", writer, index, seq, at)
		}
	}
}

// compareStats wants counters that agree with the records.
func (c *inspection) compareStats() {
	if c.stats.Damaged > 0 && c.begun || c.stats.Failing != nil {
		c.unexplained("%d records damaged, failing: %v", c.stats.Damaged, c.stats.Failing)
	}
	var pending [2]uint64
	var quarantined uint64
	var newest buffer.Seq
	for seq, r := range c.found {
		newest = max(newest, seq)
		if r.Lane == buffer.Quarantine {
			quarantined++
		} else if seq > c.marks[r.Lane] {
			pending[r.Lane]++
		}
	}
	if c.stats.Pending != pending || c.stats.Quarantined != quarantined || c.stats.LastSeq < newest {
		c.unexplained("counters say %d pending, %d in quarantine, newest %d; there are %d, %d, %d",
			c.stats.Pending, c.stats.Quarantined, c.stats.LastSeq, pending, quarantined, newest)
	}
	if err := c.stats.Ledger.Balance(); err != nil {
		c.unexplained("the ledger does not balance: %v", err)
	}
	if bad, _ := filepath.Glob(filepath.Join(c.options.Dir, "*.bad")); len(bad) > 0 && !c.failures { // what could not be read for a while is kept
		c.unexplained("put aside: %v", bad)
	}
}

// append wants that repeats are recognised, that what was never stored is not taken for one, and that the buffer goes on.
func (c *inspection) append() {
	known := c.recent()
	for len(known) > 3 {
		i := c.random.IntN(len(known))
		known = slices.Delete(known, i, i+1)
	}
	var groups []buffer.Group
	for _, id := range known {
		groups = append(groups, buffer.Group{Mark: c.book.group(id).mark, Once: true, Build: func(*buffer.Tx) error {
			return fmt.Errorf("group %v is not recognised", id)
		}})
	}
	writer := c.random.IntN(workWriters)
	index, _, _ := readWriterState(c.buffer.State(writerKey(writer)))
	next := c.book.group(groupID{writer, index + 1})
	var seq buffer.Seq
	groups = append(groups, buffer.Group{Mark: next.mark, Once: true, Build: func(tx *buffer.Tx) error {
		seq = tx.Append(buffer.Normal, probeData)
		tx.SetState("probe", probeData)
		return nil
	}})
	type result struct {
		outcome buffer.Outcome
		err     error
	}
	results := make(chan result, 1)
	err := c.buffer.Append(context.Background(), groups, func(o buffer.Outcome, err error) { results <- result{o, err} })
	if err != nil {
		c.unexplained("append: %v", err)
		return
	}
	select {
	case r := <-results:
		if r.err != nil || r.outcome != (buffer.Outcome{Stored: 1, Duplicates: len(known)}) {
			c.find("twice", "append of %d known groups %v and new group %v: %+v, %v", len(known), known, next.id, r.outcome, r.err)
			return
		}
	case <-time.After(20 * time.Second):
		c.unexplained("append is not done after 20 s")
		return
	}
	if last := c.newestKnown(); seq <= last {
		c.find("twice", "number %d is given again, %d is used", seq, last)
	}
	records, err := c.buffer.Read(buffer.Normal, seq, 1)
	if err != nil || len(records) != 1 || !bytes.Equal(records[0].Data, probeData) {
		c.unexplained("what was appended as %d is not there: %d records, %v", seq, len(records), err)
	}
}

// newestKnown returns the newest number that anybody has seen.
func (c *inspection) newestKnown() (last buffer.Seq) {
	for seq := range c.found {
		last = max(last, seq)
	}
	for seq := range c.story.held {
		last = max(last, seq)
	}
	return last
}

// recent lists groups that must be recognised: they are in the newest two segments.
func (c *inspection) recent() (known []groupID) {
	files, _ := filepath.Glob(filepath.Join(c.options.Dir, "*.seg"))
	var first []buffer.Seq
	for _, file := range files {
		var seq buffer.Seq
		if _, err := fmt.Sscanf(filepath.Base(file), "%016x-", (*uint64)(&seq)); err == nil {
			first = append(first, seq)
		}
	}
	slices.Sort(first)
	if len(first) == 0 {
		return nil
	}
	from := first[max(0, len(first)-2)]
	for id, parts := range c.groups {
		if seq, ok := parts[0]; ok && seq >= from {
			known = append(known, id)
		}
	}
	slices.SortFunc(known, func(a, b groupID) int { return (a.Index-b.Index)*workWriters + a.Writer - b.Writer })
	return known
}

// again opens the folder once more: it must hold what it held, and what was appended.
func (c *inspection) again() {
	before := c.found
	if !c.open() {
		return
	}
	c.read()
	for seq, r := range before {
		if got, ok := c.found[seq]; !ok || !bytes.Equal(got.Data, r.Data) {
			c.find("lost", "record %d is not there when the buffer is opened again", seq)
		}
	}
	if len(c.found) != len(before)+1 || !bytes.Equal(c.buffer.State("probe"), probeData) {
		c.unexplained("opened again there are %d records instead of %d", len(c.found), len(before)+1)
	}
	if err := c.buffer.Stats().Ledger.Balance(); err != nil {
		c.unexplained("opened again the ledger does not balance: %v", err)
	}
	c.close()
}

// removeAll empties the way for the next state.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove a state: %w", err)
	}
	return nil
}
