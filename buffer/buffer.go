// Package buffer is a durable queue of opaque records on bbolt, with a small state that commits with it.
// It knows nothing of events, sensors or NATS.
package buffer

import (
	"errors"
	"log/slog"
	"time"
)

var (
	// ErrFull says that the size limit is reached and the policy is to refuse.
	ErrFull = errors.New("buffer is full")
	// ErrCorrupt says that a record or a file is not what was written.
	ErrCorrupt = errors.New("corrupt")
	// ErrLocked says that another process has the folder.
	ErrLocked = errors.New("in use by another process")
	// ErrReadOnly says that the buffer was opened to look at it only.
	ErrReadOnly = errors.New("buffer is open for reading only")
	// ErrClosed says that the buffer was closed before the call was done.
	ErrClosed = errors.New("buffer is closed")
)

// Seq numbers the records of a buffer: from 1, dense over all lanes, never used again.
type Seq uint64

// Lane is one of the queues of a buffer. They share the numbering and the transactions.
type Lane uint8

// The lanes. Inside a lane records come out in the order they went in.
const (
	Urgent     Lane = iota // alarms and notices: forwarded before, expired after observations
	Normal                 // observations
	Quarantine             // never forwarded; kept for people
)

// Record is one buffered record.
type Record struct {
	Seq  Seq
	Lane Lane
	Mark Mark
	Data []byte
}

// Range is a run of numbers of one lane whose records are lost. Records says how many they are: all numbers from First
// to Last, unless some of them belong to other lanes; 0 when that cannot be known.
type Range struct {
	Lane        Lane
	First, Last Seq
	Records     uint64
}

// Mark recognises a repeat: the buffer remembers the marks of the newest records (at least the last
// RecentMarks of them that are in the last two segments), over restarts too, since the mark is part of the record.
// Its first 8 bytes are a place, where the transport has one message at a time (an MQTT packet id): of a place only the
// newest mark is remembered. A mark that is a hash as a whole has a place of its own.
type Mark [16]byte

// RecentMarks is how many marks are remembered: fewer than MQTT has packet ids, so that a mark is forgotten before a
// broker that counts them up comes to its id again.
const RecentMarks = 65000

// Options say where and how a buffer keeps its records. Zero values mean the defaults given here.
type Options struct {
	Dir            string
	MaxSize        int64         // bytes of all files; 1 GiB; at least 4 segments
	MaxAge         time.Duration // how long a record is kept undelivered; 30 days of running time
	Refuse         bool          // when full: refuse new records instead of expiring the oldest
	Hold           time.Duration // how long a published record outlives its acknowledgement; 5 min; negative: not at all
	CommitDelay    time.Duration // how long the first record of a group may wait; 250 ms
	SegmentSize    int64         // bytes; 32 MiB
	SegmentAge     time.Duration // 6 h
	QuarantineSize int64         // bytes of payload kept in quarantine; a tenth of MaxSize
	QuarantineAge  time.Duration // 30 days of running time
	Log            *slog.Logger

	// ReadOnly opens a folder to look at it: nothing in it is changed, what would change it fails with ErrReadOnly. A
	// folder that a gateway uses is refused all the same.
	ReadOnly bool

	// Expired is called on the writer's goroutine with records that are about to be given up, and why
	// ("max_size", "max_age", "quarantine_size", "quarantine_age"). What it returns is appended to the urgent lane in the
	// transaction that gives them up. May be nil.
	Expired func(records []Record, reason string) [][]byte

	// Lost is the same for records that damage has cost, and what was damaged. Records of Urgent and Normal are named
	// when a reader gets to where they should be. May be nil.
	Lost func(lost []Range, cause string) [][]byte

	// Safe is for a folder of which something may be what made the process end again and again: every segment is opened
	// and checked at the start, not only when it is read, and what is not as it should be is treated as damaged.
	Safe bool

	// Died is called in place of a panic on the writer's goroutine, with its value. It must end the process: nothing is
	// written any more, and what was acknowledged is on disk. nil lets the panic go on.
	Died func(cause any)

	format    int          // for tests: the newest format of segments that is understood
	interrupt func() error // for tests: fails between two transactions of adopt
}

// Group is what one message leaves behind: all of it is committed in one transaction, or nothing.
type Group struct {
	// Mark is stored with the group's first record. The zero Mark is none.
	Mark Mark
	// Once drops the group when its Mark is among the recent ones. A group without Once is new for sure: what was in the
	// place of its Mark before is forgotten, even if the group cannot be stored.
	Once bool
	// Hurry says that somebody waits for the commit: the group, and what is queued with it, is not kept for others.
	Hurry bool
	// Build appends records and changes state through tx. It runs on the writer's goroutine, after the builds of all
	// groups before it, and again from the same state if the transaction must be made anew; it must not block, nor keep tx.
	// An error drops the group and fails its Append.
	Build func(tx *Tx) error
}

// Outcome tells what became of an Append.
type Outcome struct {
	Stored     int // groups whose records are on disk
	Duplicates int // groups dropped because of their Mark
}

// Stats is the state of a buffer at one moment. Counters go on over restarts.
type Stats struct {
	Pending          [2]uint64 // records not yet published, by lane (Urgent, Normal)
	Held             uint64    // published, still on disk
	Quarantined      uint64    // records in quarantine now
	Appended         uint64    // records ever stored, without quarantine
	Ledger           Ledger
	Published        uint64        // records ever published
	QuarantinedTotal uint64        // records ever put into quarantine
	Expired          uint64        // records ever given up
	Duplicates       uint64        // groups ever dropped as repeats
	Damaged          uint64        // records found damaged since the start
	Commits          uint64        // since the start
	CommitBytes      uint64        // written by them: whole pages, without what the file system adds
	CommitTime       time.Duration // spent in commits since the start
	Bytes            int64         // size of all files
	MaxBytes         int64
	Segments         int
	LastSeq          Seq
	Oldest           time.Duration // how long the oldest unpublished record has waited, in running time
	LastCommit       time.Time
	Alive            time.Time // when the writer last turned or committed, which it does each second unless a commit takes longer
	Failing          error     // why the last commit failed, nil when it did not
	SetAside         int       // damaged files that were renamed and are kept for people; not part of Bytes
	SetAsideBytes    int64
}
