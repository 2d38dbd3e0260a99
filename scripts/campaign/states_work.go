package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"belfry/buffer"
	"belfry/scripts/campaign/faultfs"
)

func init() { children["work"] = workChild }

// workSettings say what a workload does.
type workSettings struct {
	Dir      string
	Seed     uint64
	Segment  int64
	MaxSize  int64
	Hold     time.Duration
	Sessions int  // how often the buffer is opened
	Groups   int  // of each writer in a session
	Window   int  // appends of a writer that wait for their acknowledgement
	Observe  bool // publish observations only, so that notices of what expired stay
	Slow     bool // publish little
	Failing  bool // the disk fails: what is refused is tried again
	Tries    int  // how often
}

func (s workSettings) options(log io.Writer) buffer.Options {
	return buffer.Options{
		Dir: s.Dir, SegmentSize: s.Segment, MaxSize: s.MaxSize, QuarantineSize: 1 << 30, Hold: s.Hold,
		CommitDelay: 500 * time.Microsecond, Log: textLog(log),
	}
}

// work is one workload. It says on its disk what it knows.
type work struct {
	workSettings
	notes  *os.File
	buffer *buffer.Buffer
	where  int // the newest position

	mu       sync.Mutex // guards what follows
	problems bytes.Buffer
	gaveUp   bool
}

// workDone is what a workload says in the end, before what the buffer logged, unless it says why it gave up.
const workDone = "done"

// workChild runs a workload on a mount: args are its settings as JSON. When it is done it says so and waits for the end
// of its input.
func workChild(args []string) int {
	var w work
	if err := json.Unmarshal([]byte(args[0]), &w.workSettings); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	var err error
	if w.notes, err = os.OpenFile(filepath.Join(w.Dir, faultfs.Notes), os.O_WRONLY, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	for session := range w.Sessions {
		err := w.session(session)
		if err == nil && w.gaveUp {
			err = errors.New("the disk does not get well")
		}
		if err != nil && w.Failing {
			fmt.Printf("gave up in session %d: %v %q\n", session, err, w.said())
			_, _ = io.Copy(io.Discard, os.Stdin)
			return 0
		}
		if err != nil {
			w.note(note{Kind: noteWrong, Text: fmt.Sprintf("session %d: %v %s", session, err, w.said())})
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	fmt.Println(workDone, strings.ReplaceAll(w.said(), "\n", "; "))
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func (w *work) note(n note) {
	data, err := json.Marshal(n)
	if err == nil {
		_, err = w.notes.Write(data)
	}
	if err != nil {
		panic(fmt.Sprintf("note: %v", err)) // without notes nothing can be judged
	}
}

func (w *work) wrong(format string, args ...any) {
	w.note(note{Kind: noteWrong, Text: fmt.Sprintf(format, args...)})
}

// Write takes the buffer's log.
func (w *work) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.problems.Len() < 1<<10 {
		w.problems.Write(line)
	}
	return len(line), nil
}

// said returns what the buffer logged.
func (w *work) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problems.String()
}

func (w *work) session(session int) error {
	if err := w.open(); err != nil {
		return err
	}
	if session == 0 {
		if err := w.noteBase(); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	forwarded := make(chan struct{})
	go func() { // waited for below
		defer close(forwarded)
		w.forward(ctx, rand.New(rand.NewPCG(w.Seed, uint64(session))))
	}()
	var writers sync.WaitGroup
	for writer := range workWriters {
		writers.Go(func() { w.write(writer, rand.New(rand.NewPCG(w.Seed, uint64(session*workWriters+writer)<<8))) })
	}
	writers.Wait()
	stop()
	<-forwarded
	err := w.buffer.Close()
	if err == nil && w.buffer.Stats().Failing == nil {
		w.note(note{Kind: noteSure})
	} else if w.Failing {
		err = nil
	}
	return err
}

// open opens the buffer, again and again if its disk fails.
func (w *work) open() (err error) {
	options := w.options(w)
	options.Expired = w.expired
	for try := 0; ; try++ {
		if w.buffer, err = buffer.Open(options); err == nil || !w.Failing || try >= w.Tries {
			return err
		}
		time.Sleep(10 * time.Millisecond) // as the supervisor of a real program would
	}
}

// expired tells of what is given up.
func (w *work) expired(records []buffer.Record, reason string) [][]byte {
	notice := fmt.Appendf(nil, "x")
	var gone []buffer.Seq
	for _, record := range records {
		notice = fmt.Appendf(notice, " %d", record.Seq)
		gone = append(gone, record.Seq)
	}
	w.note(note{Kind: noteExpire, Seqs: gone, Text: reason})
	return [][]byte{notice}
}

// noteBase notes what the buffer holds at first.
func (w *work) noteBase() error {
	base, book := note{Kind: noteHeld}, newGroupBook(w.Seed)
	for lane := buffer.Urgent; lane <= buffer.Quarantine; lane++ {
		records, err := readAll(w.buffer, lane)
		if err != nil {
			return err
		}
		for _, r := range records {
			c, err := identify(book, r)
			if err != nil {
				w.wrong("record %d: %v", r.Seq, err)
			}
			switch c.kind {
			case 'g':
				base.Held = append(base.Held, heldNote{r.Seq, r.Lane, c.group, c.part})
			case 'r':
				w.note(note{Kind: noteReject, Lane: c.lane, Seq: c.seq})
				w.note(note{Kind: noteRejected, Lane: c.lane, Seq: c.seq})
			case 'x':
				w.note(note{Kind: noteExpire, Seqs: c.gone})
			}
		}
	}
	w.where = readPosition(w.buffer.Position())
	for lane := buffer.Urgent; lane < buffer.Quarantine; lane++ {
		w.note(note{Kind: noteBase, Lane: lane, Seq: w.buffer.PublishedUpTo(lane), N: w.where})
	}
	w.note(base)
	return nil
}

// readAll reads all of a lane.
func readAll(b *buffer.Buffer, lane buffer.Lane) (all []buffer.Record, err error) {
	for from := buffer.Seq(0); ; {
		records, err := b.Read(lane, from, 500)
		if err != nil || len(records) == 0 {
			return all, err
		}
		all = append(all, records...)
		from = records[len(records)-1].Seq + 1
	}
}

func positionOf(n int) []byte { return fmt.Appendf(nil, "position %d of the far side", n) }

func readPosition(data []byte) (n int) {
	_, _ = fmt.Sscanf(string(data), "position %d of", &n)
	return n
}

// write appends the groups of one writer, beginning behind the newest that the state knows.
func (w *work) write(writer int, random *rand.Rand) {
	last, _, err := readWriterState(w.buffer.State(writerKey(writer)))
	if err != nil {
		w.wrong("%v", err)
	}
	window := make(chan struct{}, w.Window)
	for first := last + 1; first <= last+w.Groups; {
		n := min(1+random.IntN(3), last+w.Groups+1-first)
		if random.IntN(3) > 0 {
			n = 1
		}
		window <- struct{}{}
		if !w.append(writer, first, n, func() { <-window }) {
			return
		}
		if first > 1 && random.IntN(20) == 0 && !w.Failing {
			w.repeat(makeGroup(w.Seed, groupID{writer, first - 1}), len(window) == 0)
		}
		first += n
	}
	for range w.Window {
		window <- struct{}{}
	}
}

// append appends groups and notes that they are held. On a failing disk it waits, and tries them again.
func (w *work) append(writer, first, n int, done func()) bool {
	var groups []buffer.Group
	var held []*heldGroup
	for index := first; index < first+n; index++ {
		h := &heldGroup{workGroup: makeGroup(w.Seed, groupID{writer, index})}
		held = append(held, h)
		groups = append(groups, buffer.Group{Mark: h.mark, Once: true, Build: func(tx *buffer.Tx) error { return w.build(tx, h) }})
	}
	result := make(chan error, 1)
	for try := 0; ; try++ {
		err := w.buffer.Append(context.Background(), groups, func(outcome buffer.Outcome, err error) {
			if err == nil && outcome.Stored+outcome.Duplicates != n {
				err = fmt.Errorf("outcome %+v of %d groups", outcome, n)
			}
			if err == nil && outcome.Duplicates > 0 && try == 0 {
				err = fmt.Errorf("group %d of writer %d is a repeat at the first try", first, writer)
				w.wrong("%v", err)
			}
			if err == nil {
				w.noteHeld(held)
			}
			result <- err
			if !w.Failing || err == nil {
				done()
			}
		})
		if err != nil {
			w.wrong("append: %v", err)
			return false
		}
		if !w.Failing {
			go func() { // ends with the callback
				if err := <-result; err != nil {
					w.wrong("append of group %d of writer %d: %v", first, writer, err)
				}
			}()
			return true
		}
		if err := <-result; err == nil {
			return true
		}
		if try >= w.Tries {
			w.mu.Lock()
			w.gaveUp = true
			w.mu.Unlock()
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// heldGroup is a group and the numbers that it was last given.
type heldGroup struct {
	workGroup
	seqs []buffer.Seq
}

func (w *work) build(tx *buffer.Tx, h *heldGroup) error {
	index, _, err := readWriterState(tx.State(writerKey(h.id.Writer)))
	if err != nil || index >= h.id.Index {
		w.wrong("group %v is built on the state of group %d: %v", h.id, index, err)
	}
	h.seqs = h.seqs[:0]
	for part, data := range h.data {
		h.seqs = append(h.seqs, tx.Append(h.lanes[part], data))
	}
	tx.SetState(writerKey(h.id.Writer), writerState(h.id.Index, h.seqs[0]))
	return nil
}

// noteHeld notes what was just acknowledged. Of what a former try stored the numbers are those of that try.
func (w *work) noteHeld(groups []*heldGroup) {
	n := note{Kind: noteHeld}
	for _, g := range groups {
		for part, seq := range g.seqs {
			n.Held = append(n.Held, heldNote{seq, g.lanes[part], g.id, part})
		}
	}
	w.note(n)
}

// repeat appends a group again: it must be recognised once it is on disk.
func (w *work) repeat(g workGroup, alone bool) {
	result := make(chan buffer.Outcome, 1)
	build := func(*buffer.Tx) error { return errors.New("built again") }
	err := w.buffer.Append(context.Background(), []buffer.Group{{Mark: g.mark, Once: true, Build: build}}, func(o buffer.Outcome, err error) {
		if err != nil {
			w.wrong("repeat of group %v: %v", g.id, err)
		}
		result <- o
	})
	if err != nil {
		w.wrong("repeat: %v", err)
	} else if alone {
		<-result
	}
}

// forward publishes, rejects and drops until ctx is done.
func (w *work) forward(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		appended := w.buffer.Appended()
		for lane := buffer.Urgent; lane < buffer.Quarantine; lane++ {
			if (lane != buffer.Urgent || !w.Observe) && (!w.Slow || random.IntN(8) == 0) {
				w.publish(ctx, lane, random)
			}
		}
		if random.IntN(8) == 0 {
			w.drop(ctx, random)
		}
		select {
		case <-appended:
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (w *work) publish(ctx context.Context, lane buffer.Lane, random *rand.Rand) {
	records, err := w.buffer.Read(lane, w.buffer.PublishedUpTo(lane)+1, 40)
	if err != nil && !w.Failing {
		w.wrong("read: %v", err)
	}
	if len(records) == 0 {
		return
	}
	records = records[:1+random.IntN(len(records))]
	if random.IntN(6) == 0 {
		r := records[random.IntN(len(records))]
		w.note(note{Kind: noteReject, Lane: lane, Seq: r.Seq})
		switch err := w.buffer.Reject(ctx, r, rejectData(lane, r.Seq)); {
		case err == nil:
			w.note(note{Kind: noteRejected, Lane: lane, Seq: r.Seq})
		case ctx.Err() != nil:
		case w.Failing:
			return // it is not dealt with
		default:
			w.wrong("reject: %v", err)
		}
	}
	if ctx.Err() != nil {
		return
	}
	w.where++
	upTo := records[len(records)-1].Seq
	w.note(note{Kind: noteWant, Lane: lane, Seq: upTo, N: w.where})
	w.buffer.SetPosition(positionOf(w.where))
	w.buffer.Published(lane, upTo)
}

func (w *work) drop(ctx context.Context, random *rand.Rand) {
	records, err := w.buffer.Read(buffer.Quarantine, 0, 100)
	if err != nil && !w.Failing {
		w.wrong("read: %v", err)
	}
	if len(records) == 0 {
		return
	}
	r := records[random.IntN(len(records))]
	seq := r.Seq
	c, err := identify(newGroupBook(w.Seed), r)
	if err != nil {
		w.wrong("record %d: %v", seq, err)
	}
	w.note(note{Kind: noteDrop, Seq: seq, Lane: c.lane, N: int(c.seq)})
	if err := w.buffer.Drop(ctx, seq); err == nil {
		w.note(note{Kind: noteDropped, Seq: seq})
	} else if ctx.Err() == nil && !w.Failing {
		w.wrong("drop: %v", err)
	}
}
