package control

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"belfry/buffer"
	"belfry/gateway/event"
)

// The bounds of one page: what is looked at, and what is in it.
const (
	maxLooks     = 2000
	maxPageBytes = 1 << 20
	readAtOnce   = 250
)

var laneNames = map[buffer.Lane]string{buffer.Urgent: "urgent", buffer.Normal: "normal", buffer.Quarantine: "quarantine"}

// Records implements Buffer.
func (f *Folder) Records(ctx context.Context, query Query) (Page, error) {
	if err := query.check(); err != nil {
		return Page{}, err
	}
	page := Page{Records: []Record{}, Last: f.Store.Stats().LastSeq}
	cursors := f.cursors(query, page.Last)
	size := 0
	for looks := 0; looks < maxLooks && size < maxPageBytes; looks++ {
		if err := ctx.Err(); err != nil {
			return Page{}, err
		}
		next, err := earliest(cursors)
		if err != nil {
			return Page{}, fmt.Errorf("read the buffer: %w", err)
		}
		if next == nil {
			page.Next = 0
			return page, nil
		}
		record := next.take()
		page.Next = record.Seq + 1
		if shown, ok := query.show(record, next.state); ok && !shown.Time.Before(query.Since) {
			page.Records = append(page.Records, shown)
			size += 64 + len(shown.ID) + len(shown.Subject)
			if query.Content {
				size += record.size()
			}
			if len(page.Records) == query.Limit {
				return page, nil
			}
		}
	}
	return page, nil
}

func (q *Query) check() error {
	switch {
	case q.Lane != "" && q.Lane != "urgent" && q.Lane != "normal" && q.Lane != "quarantine":
		return fmt.Errorf("no lane %q (there are urgent, normal and quarantine)", q.Lane)
	case q.State != "" && q.State != Pending && q.State != Held:
		return fmt.Errorf("no state %q (there are pending and held)", q.State)
	}
	return nil
}

// cursor reads one lane.
type cursor struct {
	store    *buffer.Buffer
	lane     buffer.Lane
	next, to buffer.Seq
	state    string
	read     []buffer.Record
	done     bool
}

func (f *Folder) cursors(q Query, last buffer.Seq) []*cursor {
	to := last
	if q.To > 0 {
		to = min(to, q.To)
	}
	var cursors []*cursor
	add := func(lane buffer.Lane, state string, from, to buffer.Seq) {
		cursors = append(cursors, &cursor{store: f.Store, lane: lane, next: max(from, q.From, 1), to: to, state: state})
	}
	ofQuarantine := q.Stage != "" || q.Source != "" || q.Model != ""
	for lane := buffer.Urgent; lane <= buffer.Quarantine; lane++ {
		switch {
		case q.Lane != "" && q.Lane != laneNames[lane]:
		case lane == buffer.Quarantine && q.State == "":
			add(lane, Quarantined, 1, to)
		case lane < buffer.Quarantine && !ofQuarantine:
			mark := f.Store.PublishedUpTo(lane)
			if q.State != Pending {
				add(lane, Held, 1, min(mark, to))
			}
			if q.State != Held {
				add(lane, Pending, mark+1, to)
			}
		}
	}
	return cursors
}

// peek returns the next record, nil when there is none.
func (c *cursor) peek() (*buffer.Record, error) {
	if len(c.read) == 0 && !c.done && c.next <= c.to {
		var err error
		if c.read, err = c.store.Read(c.lane, c.next, readAtOnce); err != nil {
			return nil, err
		}
		c.done = len(c.read) == 0
	}
	if len(c.read) == 0 || c.read[0].Seq > c.to {
		return nil, nil
	}
	return &c.read[0], nil
}

func (c *cursor) take() stored {
	record := c.read[0]
	c.read, c.next = c.read[1:], record.Seq+1
	return stored{record}
}

// earliest returns the cursor whose next record has the lowest number, nil when no cursor has one.
func earliest(cursors []*cursor) (*cursor, error) {
	var first *cursor
	var seq buffer.Seq
	for _, c := range cursors {
		record, err := c.peek()
		if err != nil {
			return nil, err
		}
		if record != nil && (first == nil || record.Seq < seq) {
			first, seq = c, record.Seq
		}
	}
	return first, nil
}

// stored is a record of the buffer on its way to be shown.
type stored struct{ buffer.Record }

func (s stored) size() int { return len(s.Data) }

// show returns a record as people see it; false when the query does not want it.
func (q *Query) show(s stored, state string) (Record, bool) {
	shown := Record{Seq: s.Seq, Lane: laneNames[s.Lane], State: state, Bytes: len(s.Data)}
	if s.Lane == buffer.Quarantine {
		return shown, q.showMessage(s, &shown)
	}
	record, err := event.ParseRecord(s.Data)
	var head struct {
		Subject string
		Time    time.Time
	}
	if err != nil || json.Unmarshal(record.Body, &head) != nil {
		shown.State = Damaged
		if q.Content {
			shown.Data = s.Data
		}
		return shown, q.Sensor == ""
	}
	shown.ID, shown.Subject, shown.Sensor, shown.Time = record.ID, record.Subject, head.Subject, head.Time
	if q.Content {
		shown.Event = record.Body
	}
	return shown, q.Sensor == "" || q.Sensor == head.Subject
}

func (q *Query) showMessage(s stored, shown *Record) bool {
	message, err := event.ParseQuarantined(s.Data)
	if err != nil || message.Stage == "" {
		shown.State = Damaged
		if q.Content {
			shown.Data = s.Data
		}
		return q.Sensor == "" && (q.Stage == "" || q.Stage == Damaged) && q.Source == "" && q.Model == ""
	}
	shown.Sensor, shown.Time = message.Sensor, message.Received
	if message.Stage == "publish" {
		describeEvent(&message, shown)
	}
	if !q.Content {
		message.Payload, message.Raw = nil, nil
	}
	shown.Message = &message
	return is(q.Sensor, shown.Sensor) && is(q.Stage, message.Stage) && is(q.Source, message.Source) && is(q.Model, message.Model)
}

// describeEvent says which event it is that could not be published.
func describeEvent(message *event.Quarantined, shown *Record) {
	record, err := event.ParseRecord(message.Raw)
	if err != nil {
		return
	}
	var head struct{ Subject string }
	if json.Unmarshal(record.Body, &head) == nil {
		shown.Sensor = head.Subject
	}
	shown.ID, shown.Subject = record.ID, record.Subject
}

func is(want, got string) bool { return want == "" || want == got }
